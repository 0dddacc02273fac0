"""What a survey keeps in the ledger: where it stands, and the counts it has gathered beside the live ones.

A survey counts every ended job that the polls do not account for themselves: not open, not lately ended, and created
before the horizon at the survey's start. While it runs, the polls keep their ended jobs one by one; when it is
complete, its counts by hour replace the live ones. Of the failures by minute the larger count stays: a survey sees no
job that was deleted since, or created before the lookback.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from exporter.jobs.states import FAILED
from exporter.polling.ledger.counting import BY_HOUR, BY_MINUTE, DAY, HOUR, MINUTE

if TYPE_CHECKING:
    import sqlite3

    from exporter.jobs.kinds import JobKind
    from exporter.polling.pagination import Row


@dataclass(frozen=True, slots=True)
class SurveyState:
    """Where a survey stands; times are Unix seconds on the service's clock."""

    started_at: int
    horizon: int
    window_start: int
    job_state: str
    """The list being read."""
    next_token: str
    cursor_at: int | None
    """Creation time of the last row counted; newer rows have been passed."""
    cursor_ids: tuple[str, ...]
    """The jobs of that very second that have been counted."""

    def progress(self, kind: JobKind) -> float:
        """Returns how much of the window has been read, 0 to 1."""
        lists = ended_lists(kind)
        position = self.started_at if self.cursor_at is None else self.cursor_at
        share = (self.started_at - position) / max(1, self.started_at - self.window_start)
        return (lists.index(self.job_state) + min(1.0, max(0.0, share))) / len(lists)


@dataclass(frozen=True, slots=True)
class LastSurvey:
    """When the last complete survey began, and whether it covers the whole window."""

    started_at: int | None
    is_complete: bool
    is_truncated: bool
    """Whether a poll has missed ended jobs since: the exporter was away for longer than `lookback`."""


def ended_lists(kind: JobKind) -> tuple[str, ...]:
    """Returns the filters of the lists that a survey reads, in its order."""
    return tuple(word for state in kind.ended_states for word in kind.filters_of(state))


def state_of(db: sqlite3.Connection, target_id: int) -> SurveyState | None:
    """Returns the survey under way."""
    row = db.execute(
        "SELECT started_at, horizon, window_start, job_state, next_token, cursor_at, cursor_ids FROM survey"
        " WHERE target_id = ?",
        (target_id,),
    ).fetchone()
    if row is None:
        return None
    return SurveyState(*row[:-1], tuple(json.loads(row[-1])))  # type: ignore[call-arg] # mypy cannot count the columns


def last(db: sqlite3.Connection, target_id: int, window_start: int) -> LastSurvey:
    """Returns how the last complete survey covers a window."""
    surveyed_at, surveyed_from, truncated_at = db.execute(
        "SELECT surveyed_at, surveyed_from, truncated_at FROM target WHERE id = ?", (target_id,)
    ).fetchone()
    return LastSurvey(
        started_at=surveyed_at,
        is_complete=surveyed_from is not None and surveyed_from <= window_start,
        is_truncated=truncated_at is not None,
    )


def start(db: sqlite3.Connection, target_id: int, kind: JobKind, now: int, window_start: int) -> SurveyState:
    """Begins a survey anew."""
    (horizon,) = db.execute("SELECT horizon FROM target WHERE id = ?", (target_id,)).fetchone()
    state = SurveyState(now, horizon, window_start, ended_lists(kind)[0], "", None, ())
    db.execute("UPDATE bucket SET surveyed = 0 WHERE target_id = ?", (target_id,))
    _store(db, target_id, state)
    return state


def store_page(
    db: sqlite3.Connection, target_id: int, kind: JobKind, state: SurveyState, *, rows: tuple[Row, ...], next_token: str
) -> SurveyState | None:
    """Counts a page; returns where the survey goes on, or None when it is complete."""
    fresh = list({row.job_id: row for row in rows if _is_beyond(row, state)}.values())
    chosen = chosen_types(db, target_id)
    for row in fresh:
        if chosen and row.job_type not in chosen:
            continue
        if state.window_start <= row.created_at < state.horizon and not _is_accounted(db, target_id, row):
            _count(db, target_id, row, state.started_at)
    if next_token and not (rows and rows[-1].created_at < state.window_start):
        moved = replace(_moved(state, fresh), next_token=next_token)
    elif state.job_state != ended_lists(kind)[-1]:
        following = ended_lists(kind)[ended_lists(kind).index(state.job_state) + 1]
        moved = replace(state, job_state=following, next_token="", cursor_at=None, cursor_ids=())
    else:
        _finish(db, target_id, state)
        return None
    _store(db, target_id, moved)
    return moved


def chosen_types(db: sqlite3.Connection, target_id: int) -> tuple[str, ...]:
    """Returns the only job types that are polled of a target; empty for all."""
    (text,) = db.execute("SELECT job_types FROM target WHERE id = ?", (target_id,)).fetchone()
    return tuple(json.loads(text) or ())


def _is_beyond(row: Row, state: SurveyState) -> bool:
    """Whether a row is one that the survey has not passed yet; jobs that ended meanwhile push passed ones back in."""
    if state.cursor_at is None or row.created_at < state.cursor_at:
        return True
    return row.created_at == state.cursor_at and row.job_id not in state.cursor_ids


def _is_accounted(db: sqlite3.Connection, target_id: int, row: Row) -> bool:
    found = db.execute(
        "SELECT EXISTS (SELECT 1 FROM open_job WHERE target_id = :id AND job_id = :job)"
        " OR EXISTS (SELECT 1 FROM ended_job WHERE target_id = :id AND job_id = :job)",
        {"id": target_id, "job": row.job_id},
    ).fetchone()
    return bool(found[0])


def _count(db: sqlite3.Connection, target_id: int, row: Row, now: int) -> None:
    starts = [(BY_HOUR, row.created_at // HOUR * HOUR)]
    if row.job_state == FAILED and row.modified_at is not None and row.ended_at >= now - DAY - HOUR:
        starts.append((BY_MINUTE, row.ended_at // MINUTE * MINUTE))
    db.executemany(
        "INSERT INTO bucket (target_id, series, job_type, job_state, start, surveyed) VALUES (?, ?, ?, ?, ?, 1)"
        " ON CONFLICT DO UPDATE SET surveyed = surveyed + 1",
        ((target_id, series, row.job_type, row.job_state, start) for series, start in starts),
    )


def _moved(state: SurveyState, fresh: list[Row]) -> SurveyState:
    if not fresh:
        return state
    position = fresh[-1].created_at
    before = state.cursor_ids if state.cursor_at == position else ()
    return replace(
        state,
        cursor_at=position,
        cursor_ids=(*before, *(row.job_id for row in fresh if row.created_at == position)),
    )


def _finish(db: sqlite3.Connection, target_id: int, state: SurveyState) -> None:
    values = {"id": target_id, "hours": BY_HOUR, "minutes": BY_MINUTE}
    db.execute("DELETE FROM bucket WHERE target_id = :id AND series = :hours AND surveyed = 0", values)
    db.execute("UPDATE bucket SET live = surveyed WHERE target_id = :id AND series = :hours", values)
    db.execute("UPDATE bucket SET live = MAX(live, surveyed) WHERE target_id = :id AND series = :minutes", values)
    db.execute("UPDATE bucket SET surveyed = 0 WHERE target_id = :id", values)
    db.execute("DELETE FROM survey WHERE target_id = :id", values)
    db.execute(
        "UPDATE target SET surveyed_at = :start, surveyed_from = :from,"
        " truncated_at = CASE WHEN truncated_at > :start THEN truncated_at END WHERE id = :id",
        {"start": state.started_at, "from": state.window_start, "id": target_id},
    )


def _store(db: sqlite3.Connection, target_id: int, state: SurveyState) -> None:
    db.execute(
        "INSERT OR REPLACE INTO survey VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (
            target_id,
            state.started_at,
            state.horizon,
            state.window_start,
            state.job_state,
            state.next_token,
            state.cursor_at,
            json.dumps(state.cursor_ids),
        ),
    )
