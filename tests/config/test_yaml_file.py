"""A settings file is YAML within bounds: what it stands for, how large it is, and of which types its values are."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from exporter.config.yaml_file import MOST_BYTES, read_settings_file
from exporter.errors import SettingsError
from tests.fuzz.yaml_files import LAUGHS, MERGED_LAUGHS

if TYPE_CHECKING:
    from pathlib import Path

CANARY = "LTAI5tCanaryCanary"


def refused(folder: Path, text: str) -> str:
    """Returns what is wrong with a file that has this text."""
    path = folder / "settings.yaml"
    path.write_text(text)
    with pytest.raises(SettingsError) as caught:
        read_settings_file(str(path))
    return str(caught.value)


@pytest.mark.parametrize("text", [LAUGHS, MERGED_LAUGHS, "a: &a [*a]\n", "a: &a {b: *a}\n", "a: &a {<<: *a}\n"])
def test_aliases_that_stand_for_too_much(text: str, tmp_path: Path) -> None:
    """A small file whose aliases stand for very much, or for themselves, is refused at once."""
    began = time.process_time()

    assert "the aliases stand for too much" in refused(tmp_path, text)
    assert time.process_time() - began < 1


def test_aliases_may_be_used(tmp_path: Path) -> None:
    """What targets have in common may be written once."""
    path = tmp_path / "settings.yaml"
    path.write_text("a: &a {x: 1}\nb: *a\nc: {<<: *a, y: 2}\n")

    assert read_settings_file(str(path)) == {"a": {"x": 1}, "b": {"x": 1}, "c": {"x": 1, "y": 2}}


@pytest.mark.parametrize(
    "value",
    [
        "!!int ''",
        "!!float ''",
        f"!!bool {CANARY}",
        f"!!timestamp {CANARY}",
        f"!!int {CANARY}",
        "2001-99-99",
        f"{'1:' * 200}1.5",
    ],
)
def test_a_value_that_is_not_of_its_type(value: str, tmp_path: Path) -> None:
    """A value that is not what its tag or its form says is a problem with a place, and is not repeated."""
    message = refused(tmp_path, f"region_id: cn-a\nx: {value}\n")

    assert message == "is not YAML at line 2, column 4: the value is not of its type"


@pytest.mark.parametrize("value", ["!!map [a]", "!!map a", "!!set [a]", "!!omap [a]", "!!seq a"])
def test_a_tag_of_another_kind(value: str, tmp_path: Path) -> None:
    """A list that is said to be a mapping, and the like, is a problem with a place."""
    assert refused(tmp_path, f"x: {value}\n").startswith("is not YAML at line 1, column ")


def test_a_file_that_is_too_large(tmp_path: Path) -> None:
    """Of a file that cannot be a configuration no more is read than it takes to see that."""
    assert refused(tmp_path, "#" * (MOST_BYTES + 1)) == f"is larger than {MOST_BYTES} bytes"
