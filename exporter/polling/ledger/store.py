"""The ledger's file: opening it, and one transaction for each poll and each page of a survey."""

from __future__ import annotations

import json
import os
import sqlite3
import threading
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from exporter.errors import NO_LOCKS_HINT, LedgerDamagedError, LedgerError, LedgerInUseError
from exporter.jobs.kinds import KINDS
from exporter.polling.ledger import counting, survey, totals
from exporter.polling.ledger.aside import set_aside
from exporter.polling.ledger.schema import DAMAGE, NO_LOCKS, check, check_file, check_tables, migrate
from exporter.polling.pagination import Seam
from exporter.polling.reconcile import Known, OpenJob, OpenSeam

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from exporter.jobs.kinds import JobKind
    from exporter.jobs.snapshot import PollKey, Snapshot
    from exporter.polling.ledger.survey import SurveyState
    from exporter.polling.pagination import Row
    from exporter.polling.reading import Reason
    from exporter.polling.reconcile import Outcome

IN_MEMORY = ":memory:"
OLDEST_SQLITE = (3, 37)
"""From here on tables are STRICT."""
LOCK_WAIT_SECONDS = 5.0
OF_KEY = "WHERE account = :account AND region_id = :region_id AND job_kind = :job_kind"
FIND_ID = f"SELECT id FROM target {OF_KEY}"  # noqa: S608 - constants


class Ledger:
    """The ledger of all targets; its methods block, may be called from any thread, and raise LedgerError.

    A commit is on the disk when it returns (`synchronous=FULL`): a counter once shown never falls back, not even after
    a power loss. One that is `kept` lets no other process open the file while it is open, and takes no memory shared
    between processes, which a network file system cannot give.

    With `recreate_if_damaged` a damaged file is moved away and replaced; only for the process that holds its lock.
    """

    def __init__(self, path: str, *, kept: bool = False, recreate_if_damaged: bool = False) -> None:
        self._path = path if path == IN_MEMORY else os.path.realpath(path)
        self._lock = threading.Lock()
        self._is_closing = False
        self.size_bytes = 0
        """What the ledger takes on disk (its write-ahead log included), or in memory, since the last call."""
        self._is_kept = kept
        self._recreate_if_damaged = recreate_if_damaged
        self._shard: int | None = None
        """Whose ledger it is, as far as told."""
        self._db = self._opened_or_begun()
        self._is_open = True

    def close(self) -> None:
        """Closes the file; a transaction under way is finished first, and none begins any more."""
        self._is_closing = True
        with self._lock:
            self._db.close()

    def load(self, key: PollKey, job_types: tuple[str, ...]) -> Known:
        """Returns what is known of a target of which these job types are polled (all, if empty); nothing for a new one.

        Open jobs of other types are left out, and kept until these are polled again. Where other types were polled
        before, the ended jobs are to be surveyed anew.
        """
        with self._atomic() as db:
            target_id = _target_id(db, key)
            _choose(db, target_id, job_types)
            return _load(db, target_id, KINDS[key.job_kind], job_types)

    def commit(
        self,
        key: PollKey,
        known: Known,
        outcome: Outcome,
        reasons: Mapping[str, Reason],
        *,
        taken_at: float,
        window_start: int,
    ) -> Snapshot:
        """Stores one poll as a whole, and returns the totals as they stand with it.

        `known` must be what `load` gave at the poll's start: if another poll of the same target has been stored since,
        nothing is, so that storing twice cannot count twice.
        """
        with self._atomic() as db:
            target_id = _known_id(db, key)
            _claim(db, target_id, known.polls, outcome)
            if outcome.is_truncated:
                db.execute("UPDATE target SET truncated_at = ? WHERE id = ?", (outcome.started_at, target_id))
            counting.store_jobs(db, target_id, outcome)
            counting.count(db, target_id, outcome, reasons)
            if survey.state_of(db, target_id) is None:
                counting.fold(db, target_id, outcome.horizon)
            counting.prune(db, target_id, window_start, outcome.started_at)
            return totals.read(
                db, target_id, KINDS[key.job_kind], taken_at=taken_at, now=outcome.started_at, window_start=window_start
            )

    def belong_to(self, shard: int, elsewhere: Iterable[PollKey]) -> list[PollKey]:
        """Notes whose ledger this is, and drops what is known of the targets that other shards poll.

        Returns those dropped. Raises LedgerInUseError for another shard's ledger, in which other targets are at home.
        """
        with self._atomic() as db:
            (owner,) = db.execute("SELECT shard FROM owner").fetchone() or (None,)
            if owner not in {None, shard}:
                raise LedgerInUseError(
                    f"the ledger {self._path} is that of shard {owner}, and this is shard {shard}: "
                    "each shard needs a ledger_path of its own"
                )
            if owner is None:
                db.execute("INSERT INTO owner VALUES (?)", (shard,))
            self._shard = shard
            return [key for key in elsewhere if _drop(db, key)]

    def survey_state(self, key: PollKey, window_start: int) -> tuple[SurveyState | None, survey.LastSurvey]:
        """Returns the survey under way, if any, and how the last complete one covers the window."""
        with self._atomic() as db:
            target_id = _target_id(db, key)
            return survey.state_of(db, target_id), survey.last(db, target_id, window_start)

    def start_survey(self, key: PollKey, now: int, window_start: int) -> SurveyState:
        """Begins a survey anew; the target must have been polled."""
        with self._atomic() as db:
            target_id = _target_id(db, key)
            state = survey.start(db, target_id, KINDS[key.job_kind], now, window_start)
            counting.fold(db, target_id, state.horizon)
            return state

    def store_survey_page(
        self, key: PollKey, state: SurveyState, rows: tuple[Row, ...], next_token: str
    ) -> SurveyState | None:
        """Counts one page of a survey and moves on; returns None when this was the last page of the last list.

        `state` must be where the survey stands, so that storing twice cannot count twice.
        """
        with self._atomic() as db:
            target_id = _target_id(db, key)
            if survey.state_of(db, target_id) != state:
                raise LedgerError("another process has moved this target's survey on: only one may use a ledger")
            return survey.store_page(db, target_id, KINDS[key.job_kind], state, rows=rows, next_token=next_token)

    def _opened_or_begun(self) -> sqlite3.Connection:
        """Opens the ledger; one that is found damaged twice is moved aside, and a new one begun."""
        with suppress(LedgerDamagedError):
            return self._opened()
        try:
            return self._opened()
        except LedgerDamagedError as error:
            if not self._recreate_if_damaged:
                raise
            self._set_aside(error)
        db = self._opened()
        if self._shard is not None:
            with translated(self._path):
                db.execute("INSERT INTO owner VALUES (?)", (self._shard,))
        return db

    def _opened(self) -> sqlite3.Connection:
        if sqlite3.sqlite_version_info < OLDEST_SQLITE:
            raise LedgerError(f"SQLite {sqlite3.sqlite_version} is too old: it must be 3.37 or newer")
        check_file(self._path)
        with translated(self._path):
            db = sqlite3.connect(self._path, timeout=LOCK_WAIT_SECONDS, isolation_level=None, check_same_thread=False)
            try:
                if self._is_kept:
                    db.execute("PRAGMA locking_mode = EXCLUSIVE")
                check_tables(db, self._path)
                db.execute("PRAGMA journal_mode = WAL")
                db.execute("PRAGMA synchronous = FULL")
                check(db, self._path)
                migrate(db)
                db.execute("PRAGMA foreign_keys = ON")  # after the migrations, which replace tables others refer to
                self._measure(db)
            except BaseException:
                db.close()
                raise
        return db

    def _set_aside(self, error: LedgerDamagedError) -> None:
        kept_as = f"{self._path}.damaged"
        structlog.get_logger().error("ledger_damaged", error=str(error), kept_as=kept_as, hint=error.hint)
        if self._path != IN_MEMORY:
            set_aside(self._path, kept_as)

    def _measure(self, db: sqlite3.Connection) -> None:
        pages, size = (db.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "page_size"))
        log = 0
        with suppress(OSError):  # there is none in memory
            log = Path(f"{self._path}-wal").stat().st_size
        self.size_bytes = pages * size + log

    @contextmanager
    def _atomic(self) -> Iterator[sqlite3.Connection]:
        """Runs a block in one transaction: all of it is stored, or nothing, also when COMMIT itself fails."""
        with self._lock:
            if self._is_closing:
                raise LedgerError(f"the ledger {self._path} is closed")
            if not self._is_open:
                self._db, self._is_open = self._opened_or_begun(), True
            try:
                with translated(self._path), self._transaction() as db:
                    yield db
            except LedgerDamagedError:
                self._is_open = False  # the next call looks whether it really is
                self._db.close()
                raise

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield self._db
            self._measure(self._db)
            self._db.execute("COMMIT")
        finally:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")


@contextmanager
def translated(path: str) -> Iterator[None]:
    """Turns every error of SQLite into a LedgerError that names the file."""
    try:
        yield
    except sqlite3.Error as error:
        is_damaged = getattr(error, "sqlite_errorcode", 0) & 0xFF in DAMAGE
        failed = (LedgerDamagedError if is_damaged else LedgerError)(f"the ledger {path} failed: {error}")
        if getattr(error, "sqlite_errorname", "").startswith(NO_LOCKS):
            failed.hint = NO_LOCKS_HINT
        raise failed from error


def _target_id(db: sqlite3.Connection, key: PollKey) -> int:
    db.execute(
        "INSERT INTO target (account, region_id, job_kind) VALUES (:account, :region_id, :job_kind)"
        " ON CONFLICT DO NOTHING",
        key.labels,
    )
    row = db.execute(FIND_ID, key.labels).fetchone()
    return int(row[0])


def _known_id(db: sqlite3.Connection, key: PollKey) -> int:
    """Returns the id of a target that was loaded before; raises LedgerInUseError if it has been dropped since."""
    row = db.execute(FIND_ID, key.labels).fetchone()
    if row is None:
        raise LedgerInUseError("the target was dropped from the ledger meanwhile")
    return int(row[0])


def _drop(db: sqlite3.Connection, key: PollKey) -> bool:
    return bool(db.execute(f"DELETE FROM target {OF_KEY}", key.labels).rowcount)  # noqa: S608 - constants


def _choose(db: sqlite3.Connection, target_id: int, job_types: tuple[str, ...]) -> None:
    """Notes the types polled; with other ones, what was read before must not be stored any more."""
    values = {"id": target_id, "types": json.dumps(sorted(job_types))}
    changed = db.execute(
        "UPDATE target SET job_types = :types, surveyed_from = NULL, polls = polls + (horizon IS NOT NULL)"
        " WHERE id = :id AND job_types != :types",
        values,
    )
    if changed.rowcount:
        db.execute("DELETE FROM survey WHERE target_id = :id", values)


def _load(db: sqlite3.Connection, target_id: int, kind: JobKind, job_types: tuple[str, ...]) -> Known:
    polls, horizon, proven_to, seams, baseline = db.execute(
        "SELECT polls, horizon, proven_to, seams, baseline FROM target WHERE id = ?", (target_id,)
    ).fetchone()
    jobs = db.execute(
        "SELECT job_id, job_type, job_state, created_at, missing_polls FROM open_job WHERE target_id = ?",
        (target_id,),
    )
    ended = db.execute("SELECT job_id FROM ended_job WHERE target_id = ?", (target_id,))
    return Known(
        kind=kind,
        polls=polls,
        horizon=horizon,
        proven_to=proven_to,
        seams=tuple(OpenSeam(Seam(older, newer), readings) for older, newer, readings in json.loads(seams)),
        baseline=baseline,
        open_jobs={row[0]: OpenJob(*row) for row in jobs if not job_types or row[1] in job_types},
        lately_ended=frozenset(job_id for (job_id,) in ended),
        job_types=totals.job_types(db, target_id),
    )


def _claim(db: sqlite3.Connection, target_id: int, polls: int, outcome: Outcome) -> None:
    seams = json.dumps([[*again.seam, again.readings] for again in outcome.seams])
    stored = db.execute(
        "UPDATE target SET polls = polls + 1, horizon = ?, proven_to = ?, seams = ?, baseline = ?"
        " WHERE id = ? AND polls = ?",
        (outcome.horizon, outcome.proven_to, seams, outcome.baseline, target_id, polls),
    )
    if stored.rowcount != 1:
        raise LedgerInUseError("another process has stored a poll of the same target: only one may use a ledger")
