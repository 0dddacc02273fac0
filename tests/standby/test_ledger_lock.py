"""One process at a time holds the ledger's lock."""

from __future__ import annotations

import errno
import fcntl
import os
from typing import TYPE_CHECKING

import pytest

from exporter.errors import LedgerError
from exporter.standby.ledger_lock import LedgerLock
from exporter.standby.standby import exclusive_ledger

if TYPE_CHECKING:
    from pathlib import Path


def test_one_holder(tmp_path: Path) -> None:
    """While one process holds the lock, another one learns its name; after the release it acquires the lock."""
    first, second = (LedgerLock(str(tmp_path / "ledger.db")) for _ in range(2))

    assert first.acquire("one")
    assert first.acquire("one")
    assert not second.acquire("two")
    assert second.holder == "one"
    first.release()
    assert second.acquire("two")
    assert not first.acquire("one")
    assert first.holder == "two"
    second.release()


def test_a_deleted_lock_file(tmp_path: Path) -> None:
    """A process does not acquire the lock on a deleted file, only on the file that is there now."""
    first, second = (LedgerLock(str(tmp_path / "ledger.db")) for _ in range(2))
    assert first.acquire("one")
    assert not second.acquire("two")
    (tmp_path / "ledger.db.lock").unlink()
    first.release()

    assert second.acquire("two")
    assert not first.acquire("one")
    second.release()


def test_no_folder(tmp_path: Path) -> None:
    """A lock file that cannot be created is a LedgerError that names it."""
    with pytest.raises(LedgerError, match=r"ledger\.db\.lock"):
        LedgerLock(str(tmp_path / "none" / "ledger.db")).acquire("one")


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP])
def test_a_file_system_without_locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """If the file system refuses locks, the hint says to put the ledger on another one."""

    def refuse(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.raises(LedgerError, match="cannot lock") as refused:
        LedgerLock(str(tmp_path / "ledger.db")).acquire("one")

    assert "put the ledger on a local disk" in refused.value.hint


def test_the_lock_file_is_no_symbolic_link(tmp_path: Path) -> None:
    """A lock file that is a symbolic link is refused, and the file that it points to is not written."""
    victim = tmp_path / "victim"
    victim.write_text("kept")
    (tmp_path / "ledger.db.lock").symlink_to(victim)

    with pytest.raises(LedgerError, match=r"cannot lock .+ symbolic links"):
        LedgerLock(str(tmp_path / "ledger.db")).acquire("one")
    with pytest.raises(LedgerError), exclusive_ledger(str(tmp_path / "ledger.db")):
        pass
    assert victim.read_text() == "kept"


def test_the_lock_file_is_private(tmp_path: Path) -> None:
    """Only the user of the exporter can read and write the lock file, whatever the umask."""
    lock = LedgerLock(str(tmp_path / "ledger.db"))
    before = os.umask(0)
    try:
        assert lock.acquire("one")
    finally:
        os.umask(before)
    lock.release()

    assert (tmp_path / "ledger.db.lock").stat().st_mode & 0o777 == 0o600
