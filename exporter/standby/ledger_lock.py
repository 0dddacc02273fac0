"""The lock file next to a ledger. One process at a time holds it; the system releases it when that process ends."""

from __future__ import annotations

import errno
import fcntl
import os
from contextlib import ExitStack
from typing import TYPE_CHECKING

from exporter.errors import NO_LOCKS_HINT, LedgerError

if TYPE_CHECKING:
    from typing import IO

MAX_NAME_BYTES = 256
HELD_BY_ANOTHER = {errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES}
"""Errors of a lock that another process holds; EACCES comes from network file systems."""

NO_LOCKS = {errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL}
"""Errors of a file system that has no locks."""


class LedgerLock:
    """An exclusive lock on `<ledger>.lock`, which holds the name of the lock's holder.

    It is a file of its own because SQLite locks the ledger file itself. It is never deleted: a process that waits for
    the lock has it open.
    """

    def __init__(self, ledger_path: str) -> None:
        self._path = f"{ledger_path}.lock"
        self._file: IO[bytes] | None = None
        self.holder = ""
        """Name of the holder as of the last `acquire`; empty if unknown."""

    def acquire(self, name: str) -> bool:
        """Acquires the lock if it is free, writes `name` into the file, and returns whether this process holds it.

        Raises LedgerError if the file cannot be opened or locked.
        """
        try:
            self._file = self._file or self._try(name)
        except OSError as error:
            refused = LedgerError(f"cannot lock {self._path}: {error.strerror}")
            refused.hint = NO_LOCKS_HINT if error.errno in NO_LOCKS else LedgerError.hint
            raise refused from error
        return self._file is not None

    def release(self) -> None:
        """Releases the lock if this process holds it."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _try(self, name: str) -> IO[bytes] | None:
        with ExitStack() as stack:
            # Mode `a` does not truncate: the holder's name must stay for those who fail to get the lock.
            file = stack.enter_context(open(self._path, "ab+", opener=_open))
            if not _lock(file):
                file.seek(0)
                self.holder = file.read(MAX_NAME_BYTES).decode(errors="replace").strip()
                return None
            file.truncate(0)
            file.write(name.encode())
            file.flush()
            self.holder = name
            stack.pop_all()
            return file


def _open(path: str, flags: int) -> int:
    """Opens the file for this user alone; refuses a symbolic link, with which another user chooses what is written."""
    return os.open(path, flags | os.O_NOFOLLOW, 0o600)


def _lock(file: IO[bytes]) -> bool:
    """Tries to lock the file; returns whether it is locked and still the file at its path.

    An operator may have deleted it meanwhile: then this process would lock the deleted file, the next one a new file,
    and both would hold "the" lock.
    """
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return os.path.samestat(os.fstat(file.fileno()), os.stat(file.name))  # noqa: PTH116 - as fstat
    except FileNotFoundError:
        return False
    except OSError as error:
        if error.errno in HELD_BY_ANOTHER:
            return False
        raise
