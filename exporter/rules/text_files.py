"""Files that a command writes to a folder of the operator, such as rules and dashboards."""

from __future__ import annotations

import secrets
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


def write_texts(folder: Path, texts: Mapping[str, str]) -> list[Path]:
    """Writes texts to files of a folder, creates the folder if it is missing, and returns the paths of the files.

    Each file is replaced in one step, so that no reader finds half of one. A symbolic link in the place of a file is
    replaced too: writing through it would let whoever made it choose which file of the operator is overwritten.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        _replace(folder / name, text)
    return [folder / name for name in texts]


def _replace(path: Path, text: str) -> None:
    new = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        with new.open("x", encoding="utf-8") as file:  # `x` follows no link
            file.write(text)
        new.replace(path)
    except BaseException:
        with suppress(OSError):
            new.unlink()
        raise
