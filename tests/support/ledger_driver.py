"""Stores polls and surveys in a ledger without a service: the rows that they see are given."""

from __future__ import annotations

import resource
import sqlite3
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from exporter.jobs.snapshot import PollKey
from exporter.polling.ledger.counting import Reasons
from exporter.polling.poller import window_start
from exporter.polling.reconcile import reconcile, slack_of
from exporter.polling.records import Known, Observed, Outcome, Row

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from exporter.jobs.snapshot import Snapshot
    from exporter.polling.ledger import Ledger, SurveyState
    from exporter.polling.records import Reason

KEY = PollKey("prod", "cn-shanghai", "smart")
HOUR, DAY = 3600, 86400
START = 1_700_000_000 // HOUR * HOUR
"""Unix seconds, a full hour."""
LOOKBACK_DAYS = 2


@dataclass(slots=True)
class Book:
    """Stores polls a minute after each other."""

    ledger: Ledger
    now: int = START
    key: PollKey = KEY
    job_types: tuple[str, ...] = ()
    is_deep: bool = True
    """Whether the polls are deep."""

    @property
    def window_start(self) -> int:
        """Start of the lookback, Unix seconds."""
        return window_start(self.now, LOOKBACK_DAYS)

    def outcome(self, *rows: Row, truncated: bool = False) -> tuple[Known, Outcome]:
        """Returns what the ledger knows, and the outcome of a poll that sees these rows."""
        known = self.ledger.load(self.key, self.job_types)
        unseen = frozenset(known.open_jobs)
        observed = Observed(
            self.now,
            self.is_deep,
            slack_of(known, self.now),
            rows,
            absent=unseen,
            proven_absent=unseen,
            denied=unseen,
            is_truncated=truncated,
        )
        return known, reconcile(known, observed)

    def poll(
        self, *rows: Row, after: int = 60, reasons: Mapping[str, Reason] | None = None, truncated: bool = False
    ) -> Snapshot:
        """Stores a poll, `after` seconds after the last one; jobs that it does not see are proven to be gone."""
        self.now += after
        return self.store(*self.outcome(*rows, truncated=truncated), reasons)

    def store(self, known: Known, outcome: Outcome, reasons: Mapping[str, Reason] | None = None) -> Snapshot:
        """Stores an outcome; the reason of a failure that is not given is `unknown`."""
        return self.commit(known, outcome, Reasons(reasons or {}, may_ask=False))

    def commit(self, known: Known, outcome: Outcome, reasons: Reasons) -> Snapshot:
        """Stores an outcome with what was learned of reasons."""
        return self.ledger.commit(
            self.key,
            known,
            outcome,
            reasons,
            taken_at=float(self.now),
            window_start=self.window_start,
        )

    def start_survey(self) -> SurveyState:
        """Begins a survey."""
        return self.ledger.start_survey(self.key, self.now, self.window_start)

    def survey(self, finished: tuple[Row, ...] = (), failed: tuple[Row, ...] = ()) -> None:
        """Makes a complete survey, with one page for each list."""
        state = self.start_survey()
        for rows in (finished, failed):
            following, _ = self.ledger.store_survey_page(self.key, state, rows, "")
            state = following or state
        assert following is None


def job(
    job_id: str, state: str = "Created", *, age: int = 0, took: int = 5, kind: str = "ASR", now: int = START
) -> Row:
    """Returns a row of a job created `age` seconds before `now`, and last modified `took` seconds later."""
    return Row(job_id, kind, state, now - age, now - age + took)


def contents(path: Path) -> dict[str, int]:
    """Returns the number of rows of each table of a ledger."""
    with closing(sqlite3.connect(path)) as db:
        names = [name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return {name: db.execute(f"SELECT COUNT(*) FROM {name}").fetchone()[0] for name in names}  # noqa: S608 - its own


def execute(path: Path, script: str) -> None:
    """Runs SQL on a ledger without the exporter."""
    with closing(sqlite3.connect(path)) as db:
        db.executescript(script)


def value(path: Path, question: str) -> object:
    """Returns the first value of a query."""
    with closing(sqlite3.connect(path)) as db:
        return db.execute(question).fetchone()[0]


@contextmanager
def full_disk(size: int) -> Iterator[None]:
    """Limits the size of files that this process writes, in bytes."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
