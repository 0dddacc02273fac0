"""Stores what a poll changes: open and ended jobs, counters, reasons of failures, and the counts of folded jobs."""

from __future__ import annotations

import bisect
import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from exporter.jobs.labels import UNKNOWN, LabelSet
from exporter.jobs.snapshot import DURATION_BOUNDS, NOTICED_WINDOWS
from exporter.jobs.states import FAILED
from exporter.polling.reconcile import MAX_LAG_SECONDS, REMEMBER_SECONDS

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Mapping

    from exporter.polling.records import Known, Outcome, OwedReason, Reason, Row

HOUR = 3600
MINUTE = 60
DAY = 86400
BY_HOUR = "ended by hour of creation"
BY_MINUTE = "failed by minute of end"
MAX_ERROR_CODES = 50
"""Maximum number of distinct error codes of a target; later ones are counted as `other`."""
MAX_FAILURES_KEPT = 100
"""Maximum number of failed jobs of each type that are kept with their reasons."""
MAX_MESSAGE = 500
REASON_OWED_SECONDS = MAX_LAG_SECONDS
"""Time after which a reason that is not known is given up."""
GONE_SECONDS = DAY
"""Time for which a job that was counted as deleted is remembered."""
BOUNDS = (*DURATION_BOUNDS, math.inf)


@dataclass(frozen=True, slots=True)
class Reasons:
    """What a poll has learned of why jobs failed."""

    known: Mapping[str, Reason] = field(default_factory=dict)
    asked: frozenset[str] = frozenset()
    """Jobs whose details were asked for, with or without success."""
    may_ask: bool = True
    """Whether details may be asked for at all; if not, a reason that is not known is `unknown` at once."""


def store_jobs(db: sqlite3.Connection, target_id: int, outcome: Outcome) -> None:
    """Stores which jobs are open, which have ended, and which are gone."""
    db.executemany(
        "DELETE FROM open_job WHERE target_id = ? AND job_id = ?",
        ((target_id, key) for key in outcome.closed_ids),
    )
    db.executemany(
        "INSERT OR REPLACE INTO open_job (target_id, job_id, job_type, job_state, created_at, missing_polls,"
        " absent_polls, missing_since) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (
            (
                *(target_id, job.job_id, job.job_type, job.job_state, job.created_at),
                *(job.missing_polls, job.absent_polls, job.missing_since),
            )
            for job in outcome.open_jobs
        ),
    )
    db.executemany(
        "INSERT INTO ended_job VALUES (?, ?, ?, ?, ?, ?, ?)",
        (
            (target_id, row.job_id, row.job_type, row.job_state, row.created_at, row.ended_at, outcome.started_at)
            for row in (*outcome.ended, *outcome.history)
        ),
    )
    db.executemany(
        "DELETE FROM gone_job WHERE target_id = ? AND job_id = ?",
        ((target_id, job_id) for job_id in outcome.returned_ids),
    )
    db.executemany(
        "INSERT OR REPLACE INTO gone_job VALUES (?, ?, ?, ?, ?)",
        ((target_id, job.job_id, job.job_type, job.created_at, outcome.started_at) for job in outcome.deleted),
    )


def count(
    db: sqlite3.Connection, target_id: int, known: Known, outcome: Outcome, reasons: Reasons, *, published_at: float
) -> None:
    """Adds to the counters what the poll has found, each job once."""
    add_to_counter(db, target_id, "created", ((job_type, "") for job_type in outcome.created_types))
    add_to_counter(db, target_id, "deleted", ((job.job_type, "") for job in outcome.deleted))
    add_to_counter(db, target_id, "ended", ((row.job_type, row.job_state) for row in outcome.ended))
    add_to_counter(db, target_id, "late jobs", [("", "")] * outcome.late_jobs)
    add_to_counter(db, target_id, "gaps given up", [("", "")] * outcome.gaps_given_up)
    _observe_durations(db, target_id, outcome.ended)
    failed = [row for row in outcome.ended if row.job_state == FAILED]
    noticed = (row.job_type for row in failed if row.ended_at >= known.since(row.job_type))
    db.executemany(
        "INSERT INTO noticed_failure VALUES (?, ?, ?, 1) ON CONFLICT DO UPDATE SET failures = failures + 1",
        ((target_id, job_type, published_at) for job_type in noticed),
    )
    _count_failures(db, target_id, failed, reasons, outcome.started_at)
    _settle_reasons(db, target_id, known.owed, reasons, outcome.started_at)


def fold(db: sqlite3.Connection, target_id: int, remembered_since: int, now: int) -> None:
    """Keeps only counts of the ended jobs that no list can show as anything else any more."""
    forgettable = "target_id = :id AND MAX(created_at, ended_at) < :since AND noticed_at < :noticed"
    values = {
        "id": target_id,
        "since": remembered_since,
        "noticed": now - REMEMBER_SECONDS,
        "hours": BY_HOUR,
        "minutes": BY_MINUTE,
        "failed": FAILED,
    }
    db.execute(
        "INSERT INTO bucket (target_id, series, job_type, job_state, start, live)"  # noqa: S608 - constants
        " SELECT target_id, :hours, job_type, job_state, created_at / 3600 * 3600 AS hour, COUNT(*) FROM ended_job"
        f" WHERE {forgettable} GROUP BY job_type, job_state, hour"
        " ON CONFLICT DO UPDATE SET live = live + excluded.live",
        values,
    )
    db.execute(
        "INSERT INTO bucket (target_id, series, job_type, job_state, start, live)"  # noqa: S608 - constants
        " SELECT target_id, :minutes, job_type, job_state, ended_at / 60 * 60 AS minute, COUNT(*) FROM ended_job"
        f" WHERE {forgettable} AND job_state = :failed GROUP BY job_type, job_state, minute"
        " ON CONFLICT DO UPDATE SET live = live + excluded.live",
        values,
    )
    db.execute(f"DELETE FROM ended_job WHERE {forgettable}", values)  # noqa: S608 - constants


def prune(db: sqlite3.Connection, target_id: int, *, window_start: int, now: int, published_at: float) -> None:
    """Drops what has left every window: the ledger grows with hours, not with history."""
    db.execute("UPDATE target SET surveyed_from = MAX(surveyed_from, ?) WHERE id = ?", (window_start, target_id))
    for series, oldest in ((BY_HOUR, window_start), (BY_MINUTE, now - DAY - HOUR)):
        db.execute("DELETE FROM bucket WHERE target_id = ? AND series = ? AND start < ?", (target_id, series, oldest))
    db.execute("DELETE FROM gone_job WHERE target_id = ? AND gone_at < ?", (target_id, now - GONE_SECONDS))
    longest = max(seconds for _, seconds in NOTICED_WINDOWS)
    db.execute(  # a time in the future was noted before this machine's clock was set back
        "DELETE FROM noticed_failure WHERE target_id = ? AND published_at NOT BETWEEN ? AND ?",
        (target_id, published_at - longest, published_at + longest),
    )
    db.execute(
        "DELETE FROM failure WHERE (target_id, job_id) IN (SELECT target_id, job_id FROM ("
        " SELECT target_id, job_id, ROW_NUMBER() OVER (PARTITION BY job_type ORDER BY ended_at DESC, job_id) AS rank"
        " FROM failure WHERE target_id = ?) WHERE rank > ?)",
        (target_id, MAX_FAILURES_KEPT),
    )


def add_to_counter(db: sqlite3.Connection, target_id: int, name: str, labels: Iterable[tuple[str, str]]) -> None:
    """Adds one to a counter for each pair of job type and further label."""
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


def _count_failures(db: sqlite3.Connection, target_id: int, failed: Iterable[Row], reasons: Reasons, now: int) -> None:
    """Counts failures whose reason is known, or never will be; the others are owed. All are kept with their texts."""
    labels = _codes(db, target_id)
    for row in failed:
        reason = row.reason or reasons.known.get(row.job_id)
        is_owed = reason is None and reasons.may_ask
        code, message = reason or (("", "") if is_owed else (UNKNOWN, ""))
        db.execute(
            "INSERT OR REPLACE INTO failure VALUES (?, ?, ?, ?, ?, ?, ?)",
            (target_id, row.job_id, row.job_type, row.created_at, row.ended_at, code, message[:MAX_MESSAGE]),
        )
        if is_owed:
            tries = int(row.job_id in reasons.asked)
            db.execute(
                "INSERT INTO owed_reason VALUES (?, ?, ?, ?, ?)", (target_id, row.job_id, row.job_type, now, tries)
            )
        else:
            add_to_counter(db, target_id, "failures", [(row.job_type, labels.bounded(code))])


def _settle_reasons(
    db: sqlite3.Connection, target_id: int, owed: Iterable[OwedReason], reasons: Reasons, now: int
) -> None:
    """Counts the failures of earlier polls whose reason is known by now, or is given up."""
    labels = _codes(db, target_id)
    for job in owed:
        reason = reasons.known.get(job.job_id)
        if reason is None and not is_given_up(job, reasons, now):
            if job.job_id in reasons.asked:
                db.execute(
                    "UPDATE owed_reason SET tries = tries + 1 WHERE target_id = ? AND job_id = ?",
                    (target_id, job.job_id),
                )
            continue
        code, message = reason or (UNKNOWN, "")
        db.execute(
            "UPDATE failure SET error_code = ?, error_message = ? WHERE target_id = ? AND job_id = ?",
            (code, message[:MAX_MESSAGE], target_id, job.job_id),
        )
        db.execute("DELETE FROM owed_reason WHERE target_id = ? AND job_id = ?", (target_id, job.job_id))
        add_to_counter(db, target_id, "failures", [(job.job_type, labels.bounded(code))])


def is_given_up(job: OwedReason, reasons: Reasons, now: int) -> bool:
    """Returns whether the reason of a failure is not asked for any more, if it is not known by now."""
    return not reasons.may_ask or now - job.noticed_at >= REASON_OWED_SECONDS


def _codes(db: sqlite3.Connection, target_id: int) -> LabelSet:
    rows = db.execute("SELECT DISTINCT label FROM counter WHERE target_id = ? AND name = 'failures'", (target_id,))
    return LabelSet((label for (label,) in rows), MAX_ERROR_CODES)
