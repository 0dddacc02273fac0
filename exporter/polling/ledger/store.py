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
from exporter.jobs.snapshot import PollKey
from exporter.polling.ledger import counting, survey, totals
from exporter.polling.ledger.quarantine import quarantine
from exporter.polling.ledger.schema import DAMAGE, NO_LOCKS, check, check_file, check_tables, migrate
from exporter.polling.records import GoneJob, Known, OpenGap, OpenJob, OwedReason, PageGap

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from exporter.jobs.kinds import JobKind
    from exporter.jobs.snapshot import Snapshot
    from exporter.polling.ledger.counting import Reasons
    from exporter.polling.ledger.survey import SurveyState
    from exporter.polling.records import Outcome, Row

IN_MEMORY = ":memory:"
OLDEST_SQLITE = (3, 37)
"""From here on tables are STRICT."""
LOCK_WAIT_SECONDS = 5.0
NEVER = 2**62
"""Later than any time of the service: the type is polled from the next poll on."""
NOT_POLLED = '{"": null}'
OF_KEY = "WHERE account = :account AND region_id = :region_id AND job_kind = :job_kind"
FIND_ID = f"SELECT id FROM target {OF_KEY}"  # noqa: S608 - constants


class Ledger:
    """The ledger of all targets; its methods block, may be called from any thread, and raise LedgerError.

    A commit is on the disk when it returns (`synchronous=FULL`): a counter once shown never falls back, not even
    after a power loss. With `exclusive`, no other process can open the file while it is open, and SQLite shares no
    memory between processes, which a network file system cannot provide.

    With `recreate_if_damaged`, a damaged file is renamed and a new ledger takes its place; only the leader may do
    that. A file that was removed is written again from the open connection; one that another file has replaced gives
    way to that file.
    """

    def __init__(self, path: str, *, exclusive: bool = False, recreate_if_damaged: bool = False) -> None:
        self._path = path if path == IN_MEMORY else os.path.realpath(path)
        self._lock = threading.Lock()
        self._is_closing = False
        self.size_bytes = 0
        """Size of the file and its write-ahead log, or of the memory used, at the last call."""
        self._is_exclusive = exclusive
        self._recreate_if_damaged = recreate_if_damaged
        self._shard: int | None = None
        """The shard that owns the ledger, if known."""
        self._file: tuple[int, int] | None = None
        """Device and inode of the open file."""
        self._db = self._opened_or_recreated()
        self._is_open = True

    def close(self) -> None:
        """Closes the file after the transaction in progress; no other one begins."""
        self._is_closing = True
        with self._lock:
            self._db.close()

    def load(self, key: PollKey, job_types: tuple[str, ...]) -> Known:
        """Returns what is known of a job kind of a target, of which these job types are polled; empty for all types.

        Open jobs of other types are left out; they stay in the ledger until their types are polled again. After a
        change of types the ended jobs have to be surveyed again.
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
        reasons: Reasons,
        *,
        taken_at: float,
        window_start: int,
    ) -> Snapshot:
        """Stores one poll as a whole, and returns the totals that include it.

        `known` must be what `load` returned before the poll: if another poll was stored since, this one is not, so that
        storing twice cannot count twice.
        """
        with self._atomic() as db:
            target_id = _known_id(db, key)
            _store_poll(db, target_id, known, outcome)
            if outcome.is_truncated:
                db.execute("UPDATE target SET truncated_at = ? WHERE id = ?", (outcome.started_at, target_id))
            counting.store_jobs(db, target_id, outcome)
            counting.count(db, target_id, known, outcome, reasons, published_at=taken_at)
            if survey.state_of(db, target_id) is None:
                counting.fold(db, target_id, outcome.remembered_since, outcome.started_at)
            counting.prune(db, target_id, window_start=window_start, now=outcome.started_at, published_at=taken_at)
            return totals.read(
                db, target_id, KINDS[key.job_kind], taken_at=taken_at, now=outcome.started_at, window_start=window_start
            )

    def claim(self, shard: int, polled: Collection[PollKey], elsewhere: Iterable[PollKey]) -> list[PollKey]:
        """Notes the shard that owns the ledger; deletes what other shards poll, and returns what was deleted.

        What the ledger holds beside `polled` counts as polled for the first time when it comes back: failures of the
        time in between are not noticed then. Raises LedgerInUseError for the ledger of another shard.
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
            for row in db.execute("SELECT account, region_id, job_kind FROM target").fetchall():
                if (key := PollKey(*row)) not in polled:
                    db.execute(f"UPDATE target SET polled_since = '{NOT_POLLED}' {OF_KEY}", key.labels)  # noqa: S608 - constants
            return [key for key in elsewhere if _drop(db, key)]

    def survey_state(self, key: PollKey, window_start: int) -> tuple[SurveyState | None, survey.LastSurvey]:
        """Returns the survey in progress, if any, and how the last complete one covers the window."""
        with self._atomic() as db:
            target_id = _target_id(db, key)
            return survey.state_of(db, target_id), survey.last(db, target_id, window_start)

    def start_survey(self, key: PollKey, now: int, window_start: int) -> SurveyState:
        """Starts a survey from the beginning; the job kind must have been polled."""
        with self._atomic() as db:
            target_id = _target_id(db, key)
            state = survey.start(db, target_id, KINDS[key.job_kind], now, window_start)
            counting.fold(db, target_id, state.horizon, now)
            return state

    def store_survey_page(
        self, key: PollKey, state: SurveyState, rows: tuple[Row, ...], next_token: str
    ) -> tuple[SurveyState | None, list[Row]]:
        """Counts one page of a survey; returns where it continues, and the jobs of the page that the polls miss.

        The survey is complete where it does not continue. `state` must be where the survey is, so that storing twice
        cannot count twice.
        """
        with self._atomic() as db:
            target_id = _target_id(db, key)
            if survey.state_of(db, target_id) != state:
                raise LedgerError("another process has continued this survey: only one may use a ledger")
            missing = survey.missing_jobs_among(db, target_id, rows)
            kind = KINDS[key.job_kind]
            return survey.store_page(db, target_id, kind, state, rows=rows, next_token=next_token), missing

    def _opened_or_recreated(self) -> sqlite3.Connection:
        """Opens the ledger; one that is found damaged twice is renamed, and a new one created."""
        with suppress(LedgerDamagedError):
            return self._opened()
        try:
            return self._opened()
        except LedgerDamagedError as error:
            if not self._recreate_if_damaged:
                raise
            self._quarantine(error)
        db = self._opened()
        if self._shard is not None:
            with sqlite_errors_translated(self._path):
                db.execute("INSERT INTO owner VALUES (?)", (self._shard,))
        return db

    def _opened(self) -> sqlite3.Connection:
        if sqlite3.sqlite_version_info < OLDEST_SQLITE:
            raise LedgerError(f"SQLite {sqlite3.sqlite_version} is too old: it must be 3.37 or newer")
        check_file(self._path)
        create_private(self._path)
        with sqlite_errors_translated(self._path):
            db = sqlite3.connect(self._path, timeout=LOCK_WAIT_SECONDS, isolation_level=None, check_same_thread=False)
            try:
                if self._is_exclusive:
                    db.execute("PRAGMA locking_mode = EXCLUSIVE")
                check_tables(db, self._path)
                db.execute("PRAGMA journal_mode = WAL")
                db.execute("PRAGMA synchronous = FULL")
                check(db, self._path)
                db.execute("PRAGMA foreign_keys = OFF")
                migrate(db)
                db.execute("PRAGMA foreign_keys = ON")  # after the migrations, which replace tables others refer to
                self._measure(db)
                self._file = _identity(self._path)
            except BaseException:
                db.close()
                raise
        return db

    def _quarantine(self, error: LedgerDamagedError) -> None:
        new_path = f"{self._path}.damaged"
        structlog.get_logger().error("ledger_damaged", error=str(error), renamed_to=new_path, hint=error.hint)
        if self._path != IN_MEMORY:
            quarantine(self._path, new_path)

    def _check_file(self) -> None:
        """Notices that the file was removed or replaced since it was opened.

        The open connection keeps writing to a file that nobody else can see. If no other file has taken its place, the
        ledger is written there again from that connection, so that nothing is lost; else the other file is used.
        """
        found = _identity(self._path)
        if found == self._file:
            return
        if found is None:
            structlog.get_logger().error(
                "ledger_removed", path=self._path, hint="it was written again; nothing is lost"
            )
            self._write_again()
        else:
            structlog.get_logger().error("ledger_replaced", path=self._path, hint="the new file is used from now on")
        self._db.close()
        self._db = self._opened_or_recreated()

    def _write_again(self) -> None:
        temporary = f"{self._path}.restored"
        try:
            for path in (temporary, f"{self._path}-wal", f"{self._path}-shm"):
                Path(path).unlink(missing_ok=True)
            copy = sqlite3.connect(temporary, isolation_level=None)
            try:
                self._db.backup(copy)
            finally:
                copy.close()
            Path(temporary).replace(self._path)
        except OSError as error:
            raise LedgerError(f"the ledger {self._path} was removed and cannot be written again: {error}") from error

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
                self._db, self._is_open = self._opened_or_recreated(), True
            try:
                with sqlite_errors_translated(self._path):
                    self._check_file()
                    with self._transaction() as db:
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


def _hint_of_place(path: str) -> str:
    """Returns what to do about a path at which no file can be opened."""
    folder = Path(path).absolute().parent
    if Path(path).is_dir():
        return "ledger_path is a folder: add the name of a file"
    if not folder.is_dir():
        return f"create the folder {folder}, or set another ledger_path"
    return LedgerError.hint


@contextmanager
def sqlite_errors_translated(path: str) -> Iterator[None]:
    """Raises every error of SQLite as a LedgerError that names the file."""
    try:
        yield
    except sqlite3.Error as error:
        is_damaged = getattr(error, "sqlite_errorcode", 0) & 0xFF in DAMAGE
        failed = (LedgerDamagedError if is_damaged else LedgerError)(f"the ledger {path} failed: {error}")
        if getattr(error, "sqlite_errorname", "").startswith("SQLITE_CANTOPEN"):
            failed.hint = _hint_of_place(path)
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


def _identity(path: str) -> tuple[int, int] | None:
    """Returns device and inode of a file; None for a ledger in memory, and where there is no file."""
    if path == IN_MEMORY:
        return None
    try:
        status = Path(path).stat()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise LedgerError(f"the ledger {path} cannot be looked at: {error.strerror}") from error
    return status.st_dev, status.st_ino


def _choose(db: sqlite3.Connection, target_id: int, job_types: tuple[str, ...]) -> None:
    """Notes the types polled; after a change, a poll that was read before cannot be stored, nor a survey continued.

    A type that was not polled before is polled since the next poll, which fills in the time: until then it is null.
    """
    chosen, since = db.execute("SELECT job_types, polled_since FROM target WHERE id = ?", (target_id,)).fetchone()
    if chosen == json.dumps(sorted(job_types)):
        return
    before = json.loads(since)
    was_polled = before.get if json.loads(chosen) else lambda name: before.get(name, before.get("", 0))
    since = {name: was_polled(name) for name in job_types} if job_types else {**before, "": before.get("")}
    if chosen == "null":
        since = before
    db.execute(
        "UPDATE target SET job_types = ?, polled_since = ?, surveyed_from = NULL,"
        " polls = polls + (polled_at IS NOT NULL) WHERE id = ?",
        (json.dumps(sorted(job_types)), json.dumps(since), target_id),
    )
    db.execute("DELETE FROM survey WHERE target_id = ?", (target_id,))


def _load(db: sqlite3.Connection, target_id: int, kind: JobKind, job_types: tuple[str, ...]) -> Known:
    *numbers, gaps, polled_since = db.execute(
        "SELECT polls, polled_at, deep_at, horizon, remembered_since, proven_to, baseline, lag_seconds, gaps,"
        " polled_since FROM target WHERE id = ?",
        (target_id,),
    ).fetchone()
    names = ["polls", "polled_at", "deep_at", "horizon", "remembered_since", "proven_to", "baseline", "lag_seconds"]
    since = json.loads(polled_since)
    return Known(
        kind=kind,
        **dict(zip(names, numbers, strict=True)),
        gaps=tuple(OpenGap(PageGap(older, newer), *readings) for older, newer, *readings in json.loads(gaps)),
        polled_since={name: NEVER if moment is None else moment for name, moment in since.items()},
        has_new_types=None in since.values(),
        open_jobs={job.job_id: job for job in _open_jobs(db, target_id) if not job_types or job.job_type in job_types},
        ended_ids=frozenset(
            job_id for (job_id,) in db.execute("SELECT job_id FROM ended_job WHERE target_id = ?", (target_id,))
        ),
        gone={
            job_id: GoneJob(*values)
            for job_id, *values in db.execute(
                "SELECT job_id, job_type, created_at, gone_at FROM gone_job WHERE target_id = ?", (target_id,)
            )
        },
        owed=tuple(
            OwedReason(*row)
            for row in db.execute(
                "SELECT job_id, job_type, noticed_at, tries FROM owed_reason WHERE target_id = ?"
                " ORDER BY tries, noticed_at DESC",
                (target_id,),
            )
        ),
        job_types=totals.job_types(db, target_id),
    )


def _open_jobs(db: sqlite3.Connection, target_id: int) -> Iterator[OpenJob]:
    rows = db.execute(
        "SELECT job_id, job_type, job_state, created_at, missing_polls, absent_polls, missing_since FROM open_job"
        " WHERE target_id = ?",
        (target_id,),
    )
    return (OpenJob(*row) for row in rows)


def _store_poll(db: sqlite3.Connection, target_id: int, known: Known, outcome: Outcome) -> None:
    """Stores where the polls are; raises LedgerInUseError if another poll was stored since `known` was loaded."""
    values = {
        "id": target_id,
        "polls": known.polls,
        "polled_at": outcome.started_at,
        "deep_at": outcome.started_at if outcome.is_deep else known.deep_at,
        "horizon": outcome.horizon,
        "remembered_since": outcome.remembered_since,
        "proven_to": outcome.proven_to,
        "baseline": outcome.baseline,
        "lag_seconds": outcome.lag_seconds,
        "gaps": json.dumps([[*gap.gap, gap.readings, gap.quiet_readings] for gap in outcome.gaps]),
        "polled_since": json.dumps(
            {name: outcome.started_at if moment == NEVER else moment for name, moment in known.polled_since.items()}
        ),
    }
    stored = db.execute(
        "UPDATE target SET polls = polls + 1, polled_at = :polled_at, deep_at = :deep_at, horizon = :horizon,"
        " remembered_since = :remembered_since, proven_to = :proven_to, baseline = :baseline,"
        " lag_seconds = :lag_seconds, gaps = :gaps, polled_since = :polled_since"
        " WHERE id = :id AND polls = :polls",
        values,
    )
    if stored.rowcount != 1:
        raise LedgerInUseError("another process has stored a poll of the same target: only one may use a ledger")


def create_private(path: str) -> None:
    """Creates the ledger's file, readable and writable by this user alone, whatever the umask, unless it exists.

    SQLite gives its other files the permissions of this one.
    """
    if path == IN_MEMORY:
        return
    with suppress(OSError):  # it exists; or SQLite reports why it cannot be created
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        os.fchmod(descriptor, 0o600)
        os.close(descriptor)
