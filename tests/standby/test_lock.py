"""One process at a time holds the lock beside a ledger."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from exporter.errors import LedgerError
from exporter.standby.lock import LedgerLock

if TYPE_CHECKING:
    from pathlib import Path


def test_one_holder(tmp_path: Path) -> None:
    """The second is told who holds it, and gets it when the first gives it back."""
    first, second = (LedgerLock(str(tmp_path / "ledger.db")) for _ in range(2))

    assert first.take("one")
    assert first.take("one")
    assert not second.take("two")
    assert second.holder == "one"
    first.release()
    assert second.take("two")
    assert not first.take("one")
    assert first.holder == "two"
    second.release()


def test_a_file_that_was_deleted_is_no_lock(tmp_path: Path) -> None:
    """Whoever waits looks at the file that is there now."""
    first, second = (LedgerLock(str(tmp_path / "ledger.db")) for _ in range(2))
    assert first.take("one")
    assert not second.take("two")
    (tmp_path / "ledger.db.lock").unlink()
    first.release()

    assert second.take("two")
    assert not first.take("one")
    second.release()


def test_no_folder(tmp_path: Path) -> None:
    """A file that cannot be made is an error of the ledger, which names it."""
    with pytest.raises(LedgerError, match=r"ledger\.db\.lock"):
        LedgerLock(str(tmp_path / "none" / "ledger.db")).take("one")
