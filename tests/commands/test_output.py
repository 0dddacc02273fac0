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
