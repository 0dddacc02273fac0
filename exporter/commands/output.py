"""The output of commands: lines, errors, and the paths of written files."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def print_line(text: str) -> None:
    """Prints a line of a result at once."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def print_error(text: str) -> None:
    """Prints an error."""
    sys.stderr.write(f"ims-exporter: {text}\n")


def write_files(folder: Path, write: Callable[[Path], list[Path]]) -> bool:
    """Writes files to a folder and prints their paths; prints an error and returns False if that fails."""
    try:
        paths = write(folder)
    except OSError as error:
        is_no_folder = isinstance(error, FileExistsError | NotADirectoryError)
        print_error(f"cannot write to {folder}: {'not a folder' if is_no_folder else error.strerror}")
        return False
    for path in paths:
        print_line(str(path))
    return True
