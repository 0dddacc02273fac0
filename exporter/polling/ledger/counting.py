"""Storing what a poll changes: open and ended jobs, counters, and the counts that old jobs are folded into."""

from __future__ import annotations

import bisect
import math
from typing import TYPE_CHECKING

from exporter.jobs.labels import LabelSet
from exporter.jobs.snapshot import DURATION_BOUNDS
from exporter.jobs.states import FAILED

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Mapping

    from exporter.polling.pagination import Row
    from exporter.polling.reading import Reason
    from exporter.polling.reconcile import Outcome

HOUR = 3600
MINUTE = 60
DAY = 86400
BY_HOUR = "ended by hour of creation"
BY_MINUTE = "failed by minute of end"
ERROR_CODES = 50
"""Distinct error codes a target may have; later ones are counted as `other`."""
FAILURES_KEPT = 100
"""Failed jobs of each type kept with their reasons."""
LONGEST_MESSAGE = 500
BOUNDS = (*DURATION_BOUNDS, math.inf)


def store_jobs(db: sqlite3.Connection, target_id: int, outcome: Outcome) -> None:
    """Stores which jobs are open, and which have lately ended."""
    db.executemany(
        "DELETE FROM open_job WHERE target_id = ? AND job_id = ?",
        ((target_id, key) for key in outcome.closed_ids),
    )
    db.executemany(
        "INSERT OR REPLACE INTO open_job VALUES (?, ?, ?, ?, ?, ?)",
        (
            (target_id, job.job_id, job.job_type, job.job_state, job.created_at, job.missing_polls)
            for job in outcome.open_jobs
        ),
    )
    db.executemany(
        "INSERT INTO ended_job VALUES (?, ?, ?, ?, ?, ?)",
        (
            (target_id, row.job_id, row.job_type, row.job_state, row.created_at, row.ended_at)
            for row in (*outcome.ended, *outcome.history)
        ),
    )


def count(db: sqlite3.Connection, target_id: int, outcome: Outcome, reasons: Mapping[str, Reason]) -> None:
    """Adds to the counters what the poll has found, each job once."""
    _add(db, target_id, "created", ((job_type, "") for job_type in outcome.created_types))
    _add(db, target_id, "deleted", ((job_type, "") for job_type in outcome.deleted_types))
    _add(db, target_id, "ended", ((row.job_type, row.job_state) for row in outcome.ended))
    _observe_durations(db, target_id, outcome.ended)
    failed = [row for row in outcome.ended if row.job_state == FAILED]
    codes = LabelSet(_error_codes(db, target_id), ERROR_CODES)
    labels = {row.job_id: codes.bounded(_code(row, reasons)) for row in failed}
    _add(db, target_id, "failures", ((row.job_type, labels[row.job_id]) for row in failed))
    _store_failures(db, target_id, failed, reasons)


def fold(db: sqlite3.Connection, target_id: int, horizon: int) -> None:
    """Keeps only counts of the ended jobs that no poll can take for new any more."""
    values = {"id": target_id, "horizon": horizon, "hours": BY_HOUR, "minutes": BY_MINUTE, "failed": FAILED}
    db.execute(
        "INSERT INTO bucket (target_id, series, job_type, job_state, start, live)"
        " SELECT target_id, :hours, job_type, job_state, created_at / 3600 * 3600 AS hour, COUNT(*) FROM ended_job"
        " WHERE target_id = :id AND MAX(created_at, ended_at) < :horizon GROUP BY job_type, job_state, hour"
        " ON CONFLICT DO UPDATE SET live = live + excluded.live",
        values,
    )
    db.execute(
        "INSERT INTO bucket (target_id, series, job_type, job_state, start, live)"
        " SELECT target_id, :minutes, job_type, job_state, ended_at / 60 * 60 AS minute, COUNT(*) FROM ended_job"
        " WHERE target_id = :id AND MAX(created_at, ended_at) < :horizon AND job_state = :failed"
        " GROUP BY job_type, job_state, minute ON CONFLICT DO UPDATE SET live = live + excluded.live",
        values,
    )
    db.execute("DELETE FROM ended_job WHERE target_id = :id AND MAX(created_at, ended_at) < :horizon", values)


def prune(db: sqlite3.Connection, target_id: int, window_start: int, now: int) -> None:
    """Drops what has left every window: the ledger grows with hours, not with history."""
    db.execute("UPDATE target SET surveyed_from = MAX(surveyed_from, ?) WHERE id = ?", (window_start, target_id))
    for series, oldest in ((BY_HOUR, window_start), (BY_MINUTE, now - DAY - HOUR)):
        db.execute("DELETE FROM bucket WHERE target_id = ? AND series = ? AND start < ?", (target_id, series, oldest))
    db.execute(
        "DELETE FROM failure WHERE (target_id, job_id) IN (SELECT target_id, job_id FROM ("
        " SELECT target_id, job_id, ROW_NUMBER() OVER (PARTITION BY job_type ORDER BY ended_at DESC, job_id) AS rank"
        " FROM failure WHERE target_id = ?) WHERE rank > ?)",
        (target_id, FAILURES_KEPT),
    )


def _add(db: sqlite3.Connection, target_id: int, name: str, labels: Iterable[tuple[str, str]]) -> None:
    db.executemany(
        "INSERT INTO counter VALUES (?, ?, ?, ?, 1) ON CONFLICT DO UPDATE SET value = value + 1",
        ((target_id, name, job_type, label) for job_type, label in labels),
    )


def _observe_durations(db: sqlite3.Connection, target_id: int, ended: Iterable[Row]) -> None:
    db.executemany(
        "INSERT INTO duration VALUES (?, ?, ?, ?, 1, ?) ON CONFLICT DO UPDATE"
        " SET count = count + 1, sum_seconds = sum_seconds + excluded.sum_seconds",
        (
            (target_id, row.job_type, row.job_state, BOUNDS[bisect.bisect_left(BOUNDS, seconds)], seconds)
            for row in ended
            if row.modified_at is not None
            for seconds in (row.ended_at - row.created_at,)
        ),
    )


def _error_codes(db: sqlite3.Connection, target_id: int) -> list[str]:
    rows = db.execute("SELECT DISTINCT label FROM counter WHERE target_id = ? AND name = 'failures'", (target_id,))
    return [label for (label,) in rows]


def _code(row: Row, reasons: Mapping[str, Reason]) -> str:
    reason = reasons.get(row.job_id)
    return reason.error_code if reason else ""


def _store_failures(db: sqlite3.Connection, target_id: int, failed: list[Row], reasons: Mapping[str, Reason]) -> None:
    for row in failed:
        reason = reasons.get(row.job_id)
        code, message = (reason.error_code, reason.error_message) if reason else ("", "")
        db.execute(
            "INSERT OR REPLACE INTO failure VALUES (?, ?, ?, ?, ?, ?, ?)",
            (
                target_id,
                row.job_id,
                row.job_type,
                row.created_at,
                row.ended_at,
                code or "unknown",
                message[:LONGEST_MESSAGE],
            ),
        )
