"""Moving a damaged ledger aside."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from exporter.errors import LedgerError


def set_aside(path: str, kept_as: str) -> None:
    """Renames a ledger with its write-ahead log, in place of one renamed so before; raises LedgerError."""
    try:
        Path(path).replace(kept_as)
        Path(f"{kept_as}-wal").unlink(missing_ok=True)
        with suppress(FileNotFoundError):
            Path(f"{path}-wal").rename(f"{kept_as}-wal")
        Path(f"{path}-shm").unlink(missing_ok=True)
    except OSError as error:
        raise LedgerError(f"the damaged ledger {path} could not be moved aside: {error}") from error
