"""The ledger's tables, as migrations: append only, each applied once, counted by SQLite's `user_version`."""

from __future__ import annotations

import re
import sqlite3
from contextlib import suppress
from pathlib import Path

from exporter.errors import LedgerBrokenError, LedgerDamagedError, LedgerError

MAGIC = b"SQLite format 3\0"
HEAD_BYTES = 100
SUFFIX = ".db"
"""What is called so is taken for a damaged ledger even without the head of one."""
DAMAGE = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
NO_LOCKS = ("SQLITE_PROTOCOL", "SQLITE_IOERR_LOCK", "SQLITE_IOERR_RDLOCK", "SQLITE_IOERR_UNLOCK", "SQLITE_IOERR_SHM")
"""Beginnings of the names of errors that a file system without locks or shared memory causes."""
CHECK = "PRAGMA quick_check(1)"
ERROR_CODE = re.compile(r"error code[= ](\d+)")

MIGRATIONS = (
    """
    CREATE TABLE target (
      id INTEGER PRIMARY KEY,
      account TEXT NOT NULL,
      region_id TEXT NOT NULL,
      polls INTEGER NOT NULL DEFAULT 0 CHECK (polls >= 0),
      horizon INTEGER,
      proven_to INTEGER NOT NULL DEFAULT 0,
      seams TEXT NOT NULL DEFAULT '[]' CHECK (json_valid(seams)),
      baseline INTEGER NOT NULL DEFAULT 0,
      truncated_at INTEGER,
      surveyed_at INTEGER,
      surveyed_from INTEGER,
      UNIQUE (account, region_id)
    ) STRICT;

    CREATE TABLE open_job (
      target_id INTEGER NOT NULL REFERENCES target (id) ON DELETE CASCADE,
      job_id TEXT NOT NULL,
      job_type TEXT NOT NULL,
      job_state TEXT NOT NULL CHECK (job_state NOT IN ('Finished', 'Failed')),
      created_at INTEGER NOT NULL,
      missing_polls INTEGER NOT NULL CHECK (missing_polls >= 0),
      PRIMARY KEY (target_id, job_id)
    ) STRICT, WITHOUT ROWID;

    CREATE TABLE ended_job (
      target_id INTEGER NOT NULL REFERENCES target (id) ON DELETE CASCADE,
      job_id TEXT NOT NULL,
      job_type TEXT NOT NULL,
      job_state TEXT NOT NULL CHECK (job_state IN ('Finished', 'Failed')),
      created_at INTEGER NOT NULL,
      ended_at INTEGER NOT NULL CHECK (ended_at >= created_at),
      PRIMARY KEY (target_id, job_id)
    ) STRICT, WITHOUT ROWID;

    CREATE TABLE bucket (
      target_id INTEGER NOT NULL REFERENCES target (id) ON DELETE CASCADE,
      series TEXT NOT NULL CHECK (series IN ('ended by hour of creation', 'failed by minute of end')),
      job_type TEXT NOT NULL,
      job_state TEXT NOT NULL,
      start INTEGER NOT NULL,
      live INTEGER NOT NULL DEFAULT 0 CHECK (live >= 0),
      surveyed INTEGER NOT NULL DEFAULT 0 CHECK (surveyed >= 0),
      PRIMARY KEY (target_id, series, job_type, job_state, start)
    ) STRICT, WITHOUT ROWID;

    CREATE TABLE counter (
      target_id INTEGER NOT NULL REFERENCES target (id) ON DELETE CASCADE,
      name TEXT NOT NULL CHECK (name IN ('created', 'ended', 'failures', 'deleted')),
      job_type TEXT NOT NULL,
      label TEXT NOT NULL,
      value INTEGER NOT NULL CHECK (value >= 0),
      PRIMARY KEY (target_id, name, job_type, label)
    ) STRICT, WITHOUT ROWID;

    CREATE TABLE duration (
      target_id INTEGER NOT NULL REFERENCES target (id) ON DELETE CASCADE,
      job_type TEXT NOT NULL,
      job_state TEXT NOT NULL,
      bound REAL NOT NULL,
      count INTEGER NOT NULL CHECK (count >= 0),
      sum_seconds INTEGER NOT NULL,
      PRIMARY KEY (target_id, job_type, job_state, bound)
    ) STRICT, WITHOUT ROWID;

    CREATE TABLE failure (
      target_id INTEGER NOT NULL REFERENCES target (id) ON DELETE CASCADE,
      job_id TEXT NOT NULL,
      job_type TEXT NOT NULL,
      created_at INTEGER NOT NULL,
      ended_at INTEGER NOT NULL,
      error_code TEXT NOT NULL,
      error_message TEXT NOT NULL,
      PRIMARY KEY (target_id, job_id)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX failure_by_end ON failure (target_id, ended_at);

    CREATE TABLE survey (
      target_id INTEGER PRIMARY KEY REFERENCES target (id) ON DELETE CASCADE,
      started_at INTEGER NOT NULL,
      horizon INTEGER NOT NULL,
      window_start INTEGER NOT NULL,
      job_state TEXT NOT NULL,
      next_token TEXT NOT NULL DEFAULT '',
      cursor_at INTEGER,
      cursor_ids TEXT NOT NULL DEFAULT '[]' CHECK (json_valid(cursor_ids))
    ) STRICT;
    """,
    """
    ALTER TABLE target ADD COLUMN job_types TEXT NOT NULL DEFAULT 'null' CHECK (json_valid(job_types));
    CREATE TABLE owner (shard INTEGER NOT NULL CHECK (shard >= 0)) STRICT;
    """,
    """
    CREATE TABLE new_target (
      id INTEGER PRIMARY KEY,
      account TEXT NOT NULL,
      region_id TEXT NOT NULL,
      job_kind TEXT NOT NULL,
      polls INTEGER NOT NULL DEFAULT 0 CHECK (polls >= 0),
      polled_at INTEGER,
      deep_at INTEGER NOT NULL DEFAULT 0,
      horizon INTEGER NOT NULL DEFAULT 0,
      remembered_since INTEGER NOT NULL DEFAULT 0,
      proven_to INTEGER NOT NULL DEFAULT 0,
      gaps TEXT NOT NULL DEFAULT '[]' CHECK (json_valid(gaps)),
      baseline INTEGER NOT NULL DEFAULT 0,
      polled_since TEXT NOT NULL DEFAULT '{}' CHECK (json_valid(polled_since)),
      lag_seconds REAL NOT NULL DEFAULT 0 CHECK (lag_seconds >= 0),
      truncated_at INTEGER,
      surveyed_at INTEGER,
      surveyed_from INTEGER,
      job_types TEXT NOT NULL DEFAULT 'null' CHECK (json_valid(job_types)),
      UNIQUE (account, region_id, job_kind)
    ) STRICT;
    INSERT INTO new_target
      SELECT id, account, region_id, 'smart', polls, horizon + 120, coalesce(horizon + 120, 0), coalesce(horizon, 0),
        coalesce(horizon, 0), proven_to,
        (SELECT json_group_array(json_array(
          json_extract(value, '$[0]'), json_extract(value, '$[1]'), json_extract(value, '$[2]'), 0
        )) FROM json_each(seams)),
        baseline, '{}', 0, truncated_at, surveyed_at, surveyed_from, job_types
      FROM target;
    DROP TABLE target;
    ALTER TABLE new_target RENAME TO target;

    ALTER TABLE open_job ADD COLUMN absent_polls INTEGER NOT NULL DEFAULT 0 CHECK (absent_polls >= 0);
    ALTER TABLE open_job ADD COLUMN missing_since INTEGER;

    CREATE TABLE new_ended_job (
      target_id INTEGER NOT NULL REFERENCES target (id) ON DELETE CASCADE,
      job_id TEXT NOT NULL,
      job_type TEXT NOT NULL,
      job_state TEXT NOT NULL CHECK (job_state IN ('Finished', 'Failed', 'Cancelled')),
      created_at INTEGER NOT NULL,
      ended_at INTEGER NOT NULL CHECK (ended_at >= created_at),
      noticed_at INTEGER NOT NULL,
      PRIMARY KEY (target_id, job_id)
    ) STRICT, WITHOUT ROWID;
    INSERT INTO new_ended_job SELECT *, ended_at FROM ended_job;
    DROP TABLE ended_job;
    ALTER TABLE new_ended_job RENAME TO ended_job;

    CREATE TABLE gone_job (
      target_id INTEGER NOT NULL REFERENCES target (id) ON DELETE CASCADE,
      job_id TEXT NOT NULL,
      job_type TEXT NOT NULL,
      created_at INTEGER NOT NULL,
      gone_at INTEGER NOT NULL,
      PRIMARY KEY (target_id, job_id)
    ) STRICT, WITHOUT ROWID;

    CREATE TABLE owed_reason (
      target_id INTEGER NOT NULL REFERENCES target (id) ON DELETE CASCADE,
      job_id TEXT NOT NULL,
      job_type TEXT NOT NULL,
      noticed_at INTEGER NOT NULL,
      tries INTEGER NOT NULL CHECK (tries >= 0),
      PRIMARY KEY (target_id, job_id)
    ) STRICT, WITHOUT ROWID;

    CREATE TABLE noticed_failure (
      target_id INTEGER NOT NULL REFERENCES target (id) ON DELETE CASCADE,
      job_type TEXT NOT NULL,
      published_at REAL NOT NULL,
      failures INTEGER NOT NULL CHECK (failures > 0),
      PRIMARY KEY (target_id, job_type, published_at)
    ) STRICT, WITHOUT ROWID;

    CREATE TABLE new_counter (
      target_id INTEGER NOT NULL REFERENCES target (id) ON DELETE CASCADE,
      name TEXT NOT NULL
        CHECK (name IN ('created', 'ended', 'failures', 'deleted', 'late jobs', 'gaps given up')),
      job_type TEXT NOT NULL,
      label TEXT NOT NULL,
      value INTEGER NOT NULL CHECK (value >= 0),
      PRIMARY KEY (target_id, name, job_type, label)
    ) STRICT, WITHOUT ROWID;
    INSERT INTO new_counter SELECT * FROM counter;
    DROP TABLE counter;
    ALTER TABLE new_counter RENAME TO counter;

    ALTER TABLE survey ADD COLUMN reading INTEGER NOT NULL DEFAULT 1 CHECK (reading >= 1);
    ALTER TABLE survey ADD COLUMN quiet_readings INTEGER NOT NULL DEFAULT 0 CHECK (quiet_readings >= 0);
    ALTER TABLE survey ADD COLUMN has_news INTEGER NOT NULL DEFAULT 0 CHECK (has_news IN (0, 1));
    CREATE TABLE survey_tie (
      target_id INTEGER NOT NULL REFERENCES target (id) ON DELETE CASCADE,
      created_at INTEGER NOT NULL,
      job_id TEXT NOT NULL,
      PRIMARY KEY (target_id, created_at, job_id)
    ) STRICT, WITHOUT ROWID;
    """,
)


def check_file(path: str) -> None:
    """Raises LedgerBrokenError for a file that cannot be ours: of another program, or of a newer exporter.

    It looks at the file alone, as SQLite may be too old to read what a newer exporter has written.
    """
    try:
        with Path(path).open("rb") as file:
            head = file.read(HEAD_BYTES)
    except OSError:
        return  # there is none yet; or opening it as a database tells more
    if head.strip(b"\0") and not head.startswith(MAGIC) and Path(path).suffix != SUFFIX:
        raise LedgerBrokenError(f"{path} is no ledger")
    if head.startswith(MAGIC) and len(head) == HEAD_BYTES:
        _check_version(int.from_bytes(head[60:64], "big"))


def check_tables(connection: sqlite3.Connection, path: str) -> None:
    """Raises LedgerBrokenError for the database of another program."""
    with suppress(sqlite3.DatabaseError):  # what is damaged there is found by the check
        tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        if tables and "open_job" not in tables:
            raise LedgerBrokenError(f"{path} is the database of another program")


def check(connection: sqlite3.Connection, path: str) -> None:
    """Raises LedgerDamagedError for a damaged ledger, and LedgerError for one that could not be read just now."""
    (found,) = connection.execute(CHECK).fetchone()
    if any(int(code) & 0xFF not in DAMAGE for code in ERROR_CODE.findall(found)):
        raise LedgerError(f"the ledger {path} could not be read: {found}")
    if found != "ok":
        raise LedgerDamagedError(f"the ledger {path} is damaged: {found}")


def migrate(connection: sqlite3.Connection) -> None:
    """Brings the tables to the newest version, each step together with its record in one transaction.

    Raises LedgerBrokenError for a ledger that a newer version of the exporter has written.
    """
    version = _version(connection)
    _check_version(version)
    for number in range(version, len(MIGRATIONS)):
        try:
            connection.executescript(
                f"BEGIN IMMEDIATE; {MIGRATIONS[number]} PRAGMA user_version = {number + 1}; COMMIT"
            )
        except sqlite3.OperationalError:
            _roll_back(connection)
            if _version(connection) <= number:  # else another process was faster
                raise
        finally:
            _roll_back(connection)


def _check_version(version: int) -> None:
    if version > len(MIGRATIONS):
        raise LedgerBrokenError(
            f"the ledger has version {version}, this exporter knows up to {len(MIGRATIONS)}: "
            "use the exporter that wrote it, or another ledger_path"
        )


def _version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def _roll_back(connection: sqlite3.Connection) -> None:
    if connection.in_transaction:
        connection.execute("ROLLBACK")
