"""Two processes that open one ledger file, against the rule, do no harm to it."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING, Any

import pytest

from exporter.errors import LedgerError
from exporter.jobs.snapshot import PollKey
from exporter.polling.ledger import Ledger, store
from exporter.polling.ledger.counting import Reasons
from exporter.polling.ledger.schema import MIGRATIONS, migrate
from exporter.polling.reconcile import reconcile
from exporter.polling.records import Observed, Row

if TYPE_CHECKING:
    from pathlib import Path

KEY = PollKey("prod", "cn-shanghai", "smart")
NOW = 1_700_000_000


class Forestalled(sqlite3.Connection):
    """A connection in whose place another process makes the tables, right after the version was read."""

    path = ""

    def execute(self, *statement: Any) -> sqlite3.Cursor:  # noqa: ANN401 - passed on as it is
        """Executes it."""
        found = super().execute(*statement)
        if "user_version" in statement[0] and self.path:
            path, self.path = self.path, ""
            Ledger(path).close()
        return found


def test_tables_made_by_another_process_meanwhile(tmp_path: Path) -> None:
    """Of two processes that begin a ledger at the same time, each finds it ready."""
    path = str(tmp_path / "ledger.db")
    connection = sqlite3.connect(path, isolation_level=None, factory=Forestalled)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.path = path

    migrate(connection)

    assert connection.execute("PRAGMA user_version").fetchone() == (len(MIGRATIONS),)
    assert not connection.in_transaction
    connection.close()


def test_page_of_a_survey_stored_twice(tmp_path: Path) -> None:
    """A page of a survey that another process has stored already is refused, and not counted again."""
    ledger = Ledger(str(tmp_path / "ledger.db"))
    outcome = reconcile(ledger.load(KEY, ()), Observed(started_at=NOW, is_deep=True, slack_seconds=120, rows=()))
    ledger.commit(KEY, ledger.load(KEY, ()), outcome, Reasons(), taken_at=NOW, window_start=0)
    state = ledger.start_survey(KEY, NOW, 0)
    rows = (Row("job", "ASR", "Finished", NOW - 9000, NOW - 8000),)

    following, _ = ledger.store_survey_page(KEY, state, rows, "")
    with pytest.raises(LedgerError, match="another process"):
        ledger.store_survey_page(KEY, state, rows, "")

    assert following is not None
    assert ledger.store_survey_page(KEY, following, (), "") == (None, [])
    outcome = reconcile(ledger.load(KEY, ()), Observed(started_at=NOW, is_deep=True, slack_seconds=120, rows=()))
    snapshot = ledger.commit(KEY, ledger.load(KEY, ()), outcome, Reasons(), taken_at=NOW, window_start=0)
    assert snapshot.jobs["ASR", "Finished"] == 1
    ledger.close()


def test_an_exclusive_ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No other process can open an exclusive ledger, SQLite shares no memory, and afterwards it is like any other."""
    monkeypatch.setattr(store, "LOCK_WAIT_SECONDS", 0.1)
    path = tmp_path / "ledger.db"
    ours = Ledger(str(path), exclusive=True)
    ours.load(KEY, ())

    assert [each.name for each in tmp_path.iterdir() if each.name.endswith("-shm")] == []
    with pytest.raises(LedgerError, match="locked"):
        Ledger(str(path))
    ours.close()
    Ledger(str(path)).close()
