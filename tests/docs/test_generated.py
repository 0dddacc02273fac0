"""Files written by a program are what it writes, and a stale one is told."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tools.generated import generated, stale, write

if TYPE_CHECKING:
    from pathlib import Path


def test_nothing_is_stale() -> None:
    """Every generated file is what its program writes today."""
    assert stale(generated()) == ""


def test_what_is_stale_is_told_and_mended(tmp_path: Path) -> None:
    """A file that is missing or differs is told line by line, until it is written."""
    files = {tmp_path / "page.md": "one\ntwo\n"}
    (tmp_path / "page.md").write_text("one\n2\n")

    told = stale(files)
    write(files)

    assert "\n-2\n+two\n" in told
    assert stale(files) == ""
    assert stale({tmp_path / "new.md": "text\n"})
