"""Reading what a poll publishes out of the ledger, inside the poll's own transaction."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, TypeVar

from exporter.jobs.labels import UNKNOWN
from exporter.jobs.snapshot import (
    FAILED_JOBS_SHOWN,
    FAILED_WINDOWS,
    NOTICED_WINDOWS,
    OLDEST_JOBS_SHOWN,
    Durations,
    FailedJob,
    Snapshot,
    WaitingJob,
)
from exporter.jobs.states import FAILED
from exporter.polling.ledger import survey
from exporter.polling.ledger.counting import BOUNDS, BY_HOUR, BY_MINUTE

if TYPE_CHECKING:
    import sqlite3

    from exporter.jobs.kinds import JobKind

Key = TypeVar("Key", str, tuple[str, str])
Value = TypeVar("Value")
POLLS_UNTIL_HIDDEN = 2
"""Polls that miss a job after which it is not shown as open any more."""


def read(
    db: sqlite3.Connection, target_id: int, kind: JobKind, *, taken_at: float, now: int, window_start: int
) -> Snapshot:
    """Returns the totals of a target, with zeros for the documented types; of all types met, or those chosen only."""
    met = sorted(job_types(db, target_id))
    types = survey.chosen_types(db, target_id) or tuple(dict.fromkeys((*kind.known_types, *met)))
    is_surveyed = survey.last(db, target_id, window_start).is_complete
    opened = {(job_type, state): 0 for job_type in types for state in kind.open_states}
    ended = {(job_type, state): 0 for job_type in types for state in kind.ended_states}
    unknown = {(job_type, UNKNOWN): 0 for job_type in types}
    return Snapshot(
        taken_at=taken_at,
        jobs=_of(
            types,
            opened | _open(db, target_id) | (_ended(db, target_id, ended, window_start) if is_surveyed else {}),
        ),
        failed_recent=_of(types, _failed_recent(db, target_id, types, now)) if is_surveyed else {},
        failed_noticed=_of(types, _failed_noticed(db, target_id, types, taken_at)),
        created=_of(types, _by_type(db, target_id, "created", types)),
        ended=_of(types, _by_label(db, target_id, "ended", ended)),
        failures=_of(types, _by_label(db, target_id, "failures", unknown)),
        deleted=_of(types, _by_type(db, target_id, "deleted", types)),
        durations=_of(types, _durations(db, target_id, ended)),
        oldest_open=_of(types, _oldest_open(db, target_id)),
        last_failure=_of(types, _last_failure(db, target_id)),
        ledger_jobs=_ledger_jobs(db, target_id),
        list_lag_seconds=_list_lag(db, target_id),
        late_jobs=_total(db, target_id, "late jobs"),
        gaps_given_up=_total(db, target_id, "gaps given up"),
        failed_jobs=_failed_jobs(db, target_id, types),
        oldest_jobs=_oldest_jobs(db, target_id, types),
    )


def _of(types: tuple[str, ...], counts: dict[Key, Value]) -> dict[Key, Value]:
    """Returns the counts of these types only; keys are types, or begin with one."""
    return {key: value for key, value in counts.items() if (key if isinstance(key, str) else key[0]) in types}


def job_types(db: sqlite3.Connection, target_id: int) -> frozenset[str]:
    """Returns every job type that the ledger has met."""
    rows = db.execute(
        "SELECT job_type FROM counter WHERE target_id = :id UNION SELECT job_type FROM open_job WHERE target_id = :id"
        " UNION SELECT job_type FROM ended_job WHERE target_id = :id"
        " UNION SELECT job_type FROM bucket WHERE target_id = :id",
        {"id": target_id},
    )
    return frozenset(job_type for (job_type,) in rows if job_type)


def _open(db: sqlite3.Connection, target_id: int) -> dict[tuple[str, str], int]:
    rows = db.execute(
        "SELECT job_type, job_state, COUNT(*) FROM open_job WHERE target_id = ? AND missing_polls < ?"
        " GROUP BY job_type, job_state",
        (target_id, POLLS_UNTIL_HIDDEN),
    )
    return {(row[0], row[1]): row[2] for row in rows}


def _ended(
    db: sqlite3.Connection, target_id: int, zeros: dict[tuple[str, str], int], window_start: int
) -> dict[tuple[str, str], int]:
    rows = db.execute(
        "SELECT job_type, job_state, SUM(n) FROM ("
        " SELECT job_type, job_state, live AS n FROM bucket"
        "  WHERE target_id = :id AND series = :series AND start >= :start"
        " UNION ALL SELECT job_type, job_state, 1 FROM ended_job WHERE target_id = :id AND created_at >= :start"
        ") GROUP BY job_type, job_state",
        {"id": target_id, "series": BY_HOUR, "start": window_start},
    )
    counts = {(job_type, state): number for job_type, state, number in rows}
    ended_states = {state for _, state in zeros}
    return zeros | {key: number for key, number in counts.items() if key[1] in ended_states}


def _failed_recent(
    db: sqlite3.Connection, target_id: int, types: tuple[str, ...], now: int
) -> dict[tuple[str, str], int]:
    found = {(kind, window): 0 for kind in types for window, _ in FAILED_WINDOWS}
    for window, seconds in FAILED_WINDOWS:
        rows = db.execute(
            "SELECT job_type, SUM(n) FROM ("
            " SELECT job_type, live AS n FROM bucket WHERE target_id = :id AND series = :series AND start >= :start"
            " UNION ALL SELECT job_type, 1 FROM ended_job"
            "  WHERE target_id = :id AND job_state = :failed AND ended_at >= :start"
            ") GROUP BY job_type",
            {"id": target_id, "series": BY_MINUTE, "start": now - seconds, "failed": FAILED},
        )
        found |= {(kind, window): number for kind, number in rows}
    return found


def _failed_noticed(
    db: sqlite3.Connection, target_id: int, types: tuple[str, ...], now: float
) -> dict[tuple[str, str], int]:
    found = {(job_type, window): 0 for job_type in types for window, _ in NOTICED_WINDOWS}
    for window, seconds in NOTICED_WINDOWS:
        rows = db.execute(
            "SELECT job_type, SUM(failures) FROM noticed_failure"
            " WHERE target_id = ? AND published_at > ? GROUP BY job_type",
            (target_id, now - seconds),
        )
        found |= {(job_type, window): number for job_type, number in rows}
    return found


def _list_lag(db: sqlite3.Connection, target_id: int) -> float:
    (seconds,) = db.execute("SELECT lag_seconds FROM target WHERE id = ?", (target_id,)).fetchone()
    return float(seconds)


def _total(db: sqlite3.Connection, target_id: int, name: str) -> int:
    (total,) = db.execute(
        "SELECT COALESCE(SUM(value), 0) FROM counter WHERE target_id = ? AND name = ?", (target_id, name)
    ).fetchone()
    return int(total)


def _by_type(db: sqlite3.Connection, target_id: int, name: str, types: tuple[str, ...]) -> dict[str, int]:
    rows = db.execute("SELECT job_type, value FROM counter WHERE target_id = ? AND name = ?", (target_id, name))
    return dict.fromkeys(types, 0) | dict(rows)


def _by_label(
    db: sqlite3.Connection, target_id: int, name: str, zeros: dict[tuple[str, str], int]
) -> dict[tuple[str, str], int]:
    rows = db.execute("SELECT job_type, label, value FROM counter WHERE target_id = ? AND name = ?", (target_id, name))
    return zeros | {(row[0], row[1]): row[2] for row in rows}


def _durations(
    db: sqlite3.Connection, target_id: int, zeros: dict[tuple[str, str], int]
) -> dict[tuple[str, str], Durations]:
    counts: dict[tuple[str, str], dict[float, int]] = {key: {} for key in zeros}
    sums = dict.fromkeys(counts, 0)
    rows = db.execute(
        "SELECT job_type, job_state, bound, count, sum_seconds FROM duration WHERE target_id = ?",
        (target_id,),
    )
    for kind, state, bound, number, seconds in rows:
        counts.setdefault((kind, state), {})[bound] = number
        sums[kind, state] = sums.get((kind, state), 0) + seconds
    return {
        key: Durations(tuple(found.get(bound, 0) for bound in BOUNDS), float(sums[key]))
        for key, found in counts.items()
    }


def _oldest_open(db: sqlite3.Connection, target_id: int) -> dict[tuple[str, str], int]:
    rows = db.execute(
        "SELECT job_type, job_state, MIN(created_at) FROM open_job WHERE target_id = ? AND missing_polls < ?"
        " GROUP BY job_type, job_state",
        (target_id, POLLS_UNTIL_HIDDEN),
    )
    return {(row[0], row[1]): row[2] for row in rows}


def _last_failure(db: sqlite3.Connection, target_id: int) -> dict[str, FailedJob]:
    rows = db.execute(
        "SELECT job_id, job_type, created_at, MAX(ended_at), error_code, error_message FROM failure"
        " WHERE target_id = ? GROUP BY job_type",
        (target_id,),
    )
    return {row[1]: FailedJob(*row) for row in rows}


def _ledger_jobs(db: sqlite3.Connection, target_id: int) -> int:
    row = db.execute(
        "SELECT (SELECT COUNT(*) FROM open_job WHERE target_id = :id)"
        " + (SELECT COUNT(*) FROM ended_job WHERE target_id = :id)",
        {"id": target_id},
    ).fetchone()
    return int(row[0])


def _failed_jobs(db: sqlite3.Connection, target_id: int, types: tuple[str, ...]) -> tuple[FailedJob, ...]:
    rows = db.execute(
        "SELECT job_id, job_type, created_at, ended_at, error_code, error_message FROM failure"
        " WHERE target_id = ? AND job_type IN (SELECT value FROM json_each(?)) ORDER BY ended_at DESC, job_id LIMIT ?",
        (target_id, json.dumps(types), FAILED_JOBS_SHOWN),
    )
    return tuple(FailedJob(*row) for row in rows)


def _oldest_jobs(db: sqlite3.Connection, target_id: int, types: tuple[str, ...]) -> tuple[WaitingJob, ...]:
    rows = db.execute(
        "SELECT job_id, job_type, job_state, created_at FROM open_job WHERE target_id = ? AND missing_polls < ?"
        " AND job_type IN (SELECT value FROM json_each(?)) ORDER BY created_at, job_id LIMIT ?",
        (target_id, POLLS_UNTIL_HIDDEN, json.dumps(types), OLDEST_JOBS_SHOWN),
    )
    return tuple(WaitingJob(*row) for row in rows)
