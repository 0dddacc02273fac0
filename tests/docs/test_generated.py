"""The generated files are up to date, and a stale one is reported."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tools.generated import generated, stale, write

if TYPE_CHECKING:
    from pathlib import Path


def test_nothing_is_stale() -> None:
    """Every generated file equals what its generator writes."""
    assert stale(generated()) == ""


def test_stale_files_are_reported_until_written(tmp_path: Path) -> None:
    """A missing or different file is reported as a diff until it is written."""
    files = {tmp_path / "page.md": "one\ntwo\n"}
    (tmp_path / "page.md").write_text("one\n2\n")

    reported = stale(files)
    write(files)

    assert "\n-2\n+two\n" in reported
    assert stale(files) == ""
    assert stale({tmp_path / "new.md": "text\n"})
