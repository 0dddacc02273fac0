"""Moves a damaged ledger out of the way."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from exporter.errors import LedgerError


def quarantine(path: str, new_path: str) -> None:
    """Renames a ledger and its write-ahead log, and replaces one that was renamed before; raises LedgerError."""
    try:
        Path(path).replace(new_path)
        Path(f"{new_path}-wal").unlink(missing_ok=True)
        with suppress(FileNotFoundError):
            Path(f"{path}-wal").rename(f"{new_path}-wal")
        Path(f"{path}-shm").unlink(missing_ok=True)
    except OSError as error:
        raise LedgerError(f"the damaged ledger {path} could not be renamed: {error}") from error
