"""A settings file is YAML within bounds of size, expanded aliases, and types of values."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from exporter.config.yaml_file import MAX_BYTES, read_settings_file
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
def test_aliases_that_expand_to_too_many_values(text: str, tmp_path: Path) -> None:
    """A small file whose aliases expand to very many values, or that contain themselves, is refused at once."""
    began = time.process_time()

    assert "the aliases expand to too many values" in refused(tmp_path, text)
    assert time.process_time() - began < 1


def test_aliases_may_be_used(tmp_path: Path) -> None:
    """Aliases within the limit are accepted."""
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
    """A value that does not have the type of its tag or form is a problem with a place, without the value."""
    message = refused(tmp_path, f"region_id: cn-a\nx: {value}\n")

    assert message == "is not YAML at line 2, column 4: the value does not have its type"


@pytest.mark.parametrize("value", ["!!map [a]", "!!map a", "!!set [a]", "!!omap [a]", "!!seq a"])
def test_a_tag_of_another_kind(value: str, tmp_path: Path) -> None:
    """A tag for another type, such as `!!map` of a list, is a problem with a place."""
    assert refused(tmp_path, f"x: {value}\n").startswith("is not YAML at line 1, column ")


def test_a_file_that_is_too_large(tmp_path: Path) -> None:
    """A file that is too large is refused after the maximum size has been read."""
    assert refused(tmp_path, "#" * (MAX_BYTES + 1)) == f"is larger than {MAX_BYTES} bytes"
