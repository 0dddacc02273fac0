"""The lock beside a ledger: one process at a time holds it, and the system takes it back however that one ends."""

from __future__ import annotations

import errno
import fcntl
import os
from contextlib import ExitStack
from typing import TYPE_CHECKING

from exporter.errors import LedgerError

if TYPE_CHECKING:
    from typing import IO

LONGEST_NAME = 256
IS_HELD = {errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES}
"""What the system answers when another process holds a lock; network file systems have a word of their own."""


class LedgerLock:
    """An exclusive lock on a file of its own, as SQLite locks the ledger's; the file stays when the lock is gone."""

    def __init__(self, ledger_path: str) -> None:
        self._path = f"{ledger_path}.lock"
        self._held: IO[bytes] | None = None
        self.holder = ""
        """Who holds it, by the name that was left in the file; empty as long as that is not known."""

    def take(self, name: str) -> bool:
        """Takes the lock if it is free, and leaves the name for others to read; says whether it is held now.

        Raises LedgerError where the file cannot be had.
        """
        try:
            self._held = self._held or self._tried(name)
        except OSError as error:
            raise LedgerError(f"the lock {self._path} cannot be had: {error.strerror}") from error
        return self._held is not None

    def release(self) -> None:
        """Gives the lock back, if it is held."""
        if self._held is not None:
            self._held.close()
            self._held = None

    def _tried(self, name: str) -> IO[bytes] | None:
        with ExitStack() as stack:
            file = stack.enter_context(open(self._path, "ab+"))  # noqa: PTH123 - open for as long as it is locked
            if not _locked(file):
                file.seek(0)
                self.holder = file.read(LONGEST_NAME).decode(errors="replace").strip()
                return None
            file.truncate(0)
            file.write(name.encode())
            file.flush()
            self.holder = name
            stack.pop_all()
            return file


def _locked(file: IO[bytes]) -> bool:
    """Says whether the lock is ours now, and on the file that others find under its name."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return os.path.samestat(os.fstat(file.fileno()), os.stat(file.name))  # noqa: PTH116 - as fstat
    except FileNotFoundError:
        return False
    except OSError as error:
        if error.errno in IS_HELD:
            return False
        raise
