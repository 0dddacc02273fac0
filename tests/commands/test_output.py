"""Files that cannot be written are one line, and the exit code is 1."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.support.command_line import CommandLine


@pytest.mark.parametrize("command", ["rules", "dashboards"])
@pytest.mark.parametrize("folder", ["file", "file/inside"])
def test_files_that_cannot_be_written(cli: CommandLine, command: str, folder: str) -> None:
    """A folder that cannot be created is one line, and the exit code is 1."""
    Path("file").touch()

    ended = cli.run(command, folder)

    assert (ended.code, ended.out) == (1, "")
    assert ended.err == f"ims-exporter: cannot write to {folder}: not a folder\n"


@pytest.mark.parametrize(("command", "name"), [("rules", "ims-jobs.rules.yaml"), ("dashboards", "ims-overview.json")])
def test_symbolic_links_are_replaced(cli: CommandLine, command: str, name: str) -> None:
    """A symbolic link in the place of a file is replaced by the file, and what it points to is not written."""
    victim = Path("victim")
    victim.write_text("kept")
    Path("out").mkdir()
    (Path("out") / name).symlink_to(victim.resolve())

    ended = cli.run(command, "out")

    assert ended.code == 0, ended.err
    assert victim.read_text() == "kept"
    assert not (Path("out") / name).is_symlink()
    assert not list(Path("out").glob(".*"))
