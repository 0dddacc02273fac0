"""What a survey keeps in the ledger: where it is, and the counts that it has gathered beside the live ones.

A survey counts every ended job that the polls do not account for themselves: not open, not remembered, not counted as
deleted, and created before the horizon at the survey's start. While it runs, the polls keep their ended jobs one by
one; when it is complete, its counts by hour replace the live ones. Failures by minute are taken from it only for the
time before the first poll; of the two counts the larger one stays, as a survey sees no job that was deleted since.

Jobs of one second that a page boundary divides are a tie: the service may return them in another order with each
request, so that one is on neither page. The list is read again, with pages of another size, until one page covers the
second of each tie, or until several readings in a row bring no new job of a tie.

Worked example, pages of three, jobs named by second and letter: page 1 shows 90a 80a 70a, page 2 shows 70a 60a 50a.
70b was on page 2 while page 1 was read, and on page 1 while page 2 was. 70 is a tie, and 70a is noted. The second
reading has pages of two: 90a 80a, then 70b 70a, then 60a 50a: 70b is not noted, and is counted.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from exporter.jobs.states import FAILED
from exporter.polling.ledger.counting import BY_HOUR, BY_MINUTE, DAY, HOUR, MINUTE, add_to_counter

if TYPE_CHECKING:
    import sqlite3

    from exporter.jobs.kinds import JobKind
    from exporter.polling.records import Row

QUIET_READINGS = 4
"""Readings of a list in a row that bring no new job of a tie, after which the ties count as read."""
MAX_READINGS = 25
"""Maximum number of readings of a list, after which its ties are given up."""


@dataclass(frozen=True, slots=True)
class SurveyState:
    """Where a survey is; times are Unix seconds on the service's clock."""

    started_at: int
    horizon: int
    window_start: int
    job_state: str
    """The list that is being read: a state, as the service spells it."""
    next_token: str = ""
    cursor_at: int | None = None
    """Creation time of the last row counted; newer rows have been passed."""
    cursor_ids: tuple[str, ...] = ()
    """The jobs of that very second that have been counted."""
    reading: int = 1
    """How often the list is being read: from 2 on, only for its ties."""
    quiet_readings: int = 0
    has_news: bool = False
    """Whether the present reading has brought a new job of a tie."""

    def progress(self, kind: JobKind) -> float:
        """Returns how much of the window has been read, 0 to 1."""
        lists = ended_lists(kind)
        position = self.started_at if self.cursor_at is None else self.cursor_at
        share = (self.started_at - position) / max(1, self.started_at - self.window_start)
        share = 1.0 if self.reading > 1 else min(1.0, max(0.0, share))
        return (lists.index(self.job_state) + share) / len(lists)


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
    """Returns the survey in progress."""
    row = db.execute(
        "SELECT started_at, horizon, window_start, job_state, next_token, cursor_at, cursor_ids, reading,"
        " quiet_readings, has_news FROM survey WHERE target_id = ?",
        (target_id,),
    ).fetchone()
    if row is None:
        return None
    state = SurveyState(*row)
    return replace(state, cursor_ids=tuple(json.loads(row[6])), has_news=bool(state.has_news))


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
    """Starts a survey from the beginning."""
    (remembered_since,) = db.execute("SELECT remembered_since FROM target WHERE id = ?", (target_id,)).fetchone()
    state = SurveyState(now, remembered_since, window_start, ended_lists(kind)[0])
    db.execute("UPDATE bucket SET surveyed = 0 WHERE target_id = ?", (target_id,))
    db.execute("DELETE FROM survey_tie WHERE target_id = ?", (target_id,))
    _store(db, target_id, state)
    return state


def store_page(
    db: sqlite3.Connection, target_id: int, kind: JobKind, state: SurveyState, *, rows: tuple[Row, ...], next_token: str
) -> SurveyState | None:
    """Counts a page; returns where the survey continues, or None when it is complete."""
    read_page = _read_first if state.reading == 1 else _read_again
    moved = read_page(db, target_id, kind, state, rows, is_end=not next_token)
    ties = _tied_seconds(db, target_id)
    floor = state.window_start if state.reading == 1 else min(ties, default=0)
    is_last = not next_token or bool(rows and rows[-1].created_at < floor) or (state.reading > 1 and not ties)
    following = _next_reading(db, target_id, kind, moved, ties) if is_last else replace(moved, next_token=next_token)
    if following is None:
        _finish(db, target_id, state)
    else:
        _store(db, target_id, following)
    return following


def missing_jobs_among(db: sqlite3.Connection, target_id: int, rows: tuple[Row, ...]) -> list[Row]:
    """Returns the rows of jobs that the polls miss, or have counted as deleted: the next poll counts their end."""
    wanted = {"id": target_id, "jobs": json.dumps([row.job_id for row in rows])}
    found = db.execute(
        "SELECT job_id FROM open_job WHERE target_id = :id AND missing_polls > 0"
        " AND job_id IN (SELECT value FROM json_each(:jobs))"
        " UNION SELECT job_id FROM gone_job WHERE target_id = :id AND job_id IN (SELECT value FROM json_each(:jobs))",
        wanted,
    )
    ids = {job_id for (job_id,) in found}
    return [row for row in rows if row.job_id in ids]


def chosen_types(db: sqlite3.Connection, target_id: int) -> tuple[str, ...]:
    """Returns the only job types that are polled of a target; empty for all."""
    (text,) = db.execute("SELECT job_types FROM target WHERE id = ?", (target_id,)).fetchone()
    return tuple(json.loads(text) or ())


def _read_first(
    db: sqlite3.Connection, target_id: int, kind: JobKind, state: SurveyState, rows: tuple[Row, ...], *, is_end: bool
) -> SurveyState:
    """Counts the rows that the survey has not passed yet, and notes a tie with the page before."""
    del is_end
    fresh = list({row.job_id: row for row in rows if _is_beyond(row, state)}.values())
    _count_all(db, target_id, kind, state, fresh)
    tied = [row.job_id for row in rows if row.created_at == state.cursor_at]
    if tied and state.cursor_at is not None:
        _note_tie(db, target_id, state.cursor_at, {*state.cursor_ids, *tied})
    if not fresh:
        return state
    position = fresh[-1].created_at
    before = state.cursor_ids if state.cursor_at == position else ()
    ids = (*before, *(row.job_id for row in fresh if row.created_at == position))
    return replace(state, cursor_at=position, cursor_ids=ids)


def _read_again(
    db: sqlite3.Connection, target_id: int, kind: JobKind, state: SurveyState, rows: tuple[Row, ...], *, is_end: bool
) -> SurveyState:
    """Counts the jobs of ties that were not read before, and closes the ties that this page covers."""
    ties = _tied_seconds(db, target_id)
    fresh = [row for row in rows if row.created_at in ties and not _is_noted(db, target_id, row)]
    _count_all(db, target_id, kind, state, fresh)
    for row in fresh:
        _note_tie(db, target_id, row.created_at, {row.job_id})
    if rows:
        covered = (
            -1 if is_end else rows[-1].created_at,
            rows[0].created_at if state.next_token else state.started_at + DAY,
        )
        db.execute(
            "DELETE FROM survey_tie WHERE target_id = ? AND created_at > ? AND created_at < ?", (target_id, *covered)
        )
    return replace(state, has_news=state.has_news or bool(fresh))


def _next_reading(
    db: sqlite3.Connection, target_id: int, kind: JobKind, state: SurveyState, ties: set[int]
) -> SurveyState | None:
    """Returns where the survey continues after the end of a list: the list again, the next list, or None."""
    quiet = state.quiet_readings + 1 if state.reading > 1 and not state.has_news else 0
    again = replace(state, next_token="", reading=state.reading + 1, quiet_readings=quiet, has_news=False)
    if ties and quiet < QUIET_READINGS and state.reading < MAX_READINGS:
        return again
    if ties and state.reading >= MAX_READINGS:
        add_to_counter(db, target_id, "gaps given up", [("", "")] * len(ties))
    db.execute("DELETE FROM survey_tie WHERE target_id = ?", (target_id,))
    lists = ended_lists(kind)
    if state.job_state == lists[-1]:
        return None
    following = lists[lists.index(state.job_state) + 1]
    return SurveyState(state.started_at, state.horizon, state.window_start, following)


def _is_beyond(row: Row, state: SurveyState) -> bool:
    """Returns whether the survey has not passed a row yet; jobs that end meanwhile push passed rows back in."""
    if state.cursor_at is None or row.created_at < state.cursor_at:
        return True
    return row.created_at == state.cursor_at and row.job_id not in state.cursor_ids


def _tied_seconds(db: sqlite3.Connection, target_id: int) -> set[int]:
    rows = db.execute("SELECT DISTINCT created_at FROM survey_tie WHERE target_id = ?", (target_id,))
    return {created_at for (created_at,) in rows}


def _is_noted(db: sqlite3.Connection, target_id: int, row: Row) -> bool:
    found = db.execute(
        "SELECT 1 FROM survey_tie WHERE target_id = ? AND created_at = ? AND job_id = ?",
        (target_id, row.created_at, row.job_id),
    )
    return found.fetchone() is not None


def _note_tie(db: sqlite3.Connection, target_id: int, created_at: int, job_ids: set[str]) -> None:
    db.executemany(
        "INSERT OR IGNORE INTO survey_tie VALUES (?, ?, ?)", ((target_id, created_at, job_id) for job_id in job_ids)
    )


def _count_all(db: sqlite3.Connection, target_id: int, kind: JobKind, state: SurveyState, rows: list[Row]) -> None:
    chosen = chosen_types(db, target_id)
    (baseline,) = db.execute("SELECT baseline FROM target WHERE id = ?", (target_id,)).fetchone()
    for row in rows:
        is_polled = row.job_state in kind.ended_states and (not chosen or row.job_type in chosen)
        is_within = state.window_start <= row.created_at < state.horizon
        if is_polled and is_within and not _is_accounted(db, target_id, row):
            _count(db, target_id, row, state.started_at, baseline)


def _is_accounted(db: sqlite3.Connection, target_id: int, row: Row) -> bool:
    found = db.execute(
        "SELECT EXISTS (SELECT 1 FROM open_job WHERE target_id = :id AND job_id = :job)"
        " OR EXISTS (SELECT 1 FROM ended_job WHERE target_id = :id AND job_id = :job)"
        " OR EXISTS (SELECT 1 FROM gone_job WHERE target_id = :id AND job_id = :job)",
        {"id": target_id, "job": row.job_id},
    ).fetchone()
    return bool(found[0])


def _count(db: sqlite3.Connection, target_id: int, row: Row, now: int, baseline: int) -> None:
    """Counts a job by hour; a failure by minute, too, if it is recent, and older than what the polls have counted."""
    starts = [(BY_HOUR, row.created_at // HOUR * HOUR)]
    is_recent = row.modified_at is not None and now - DAY - HOUR <= row.ended_at < baseline
    if row.job_state == FAILED and is_recent:
        starts.append((BY_MINUTE, row.ended_at // MINUTE * MINUTE))
    db.executemany(
        "INSERT INTO bucket (target_id, series, job_type, job_state, start, surveyed) VALUES (?, ?, ?, ?, ?, 1)"
        " ON CONFLICT DO UPDATE SET surveyed = surveyed + 1",
        ((target_id, series, row.job_type, row.job_state, start) for series, start in starts),
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
        "INSERT OR REPLACE INTO survey (target_id, started_at, horizon, window_start, job_state, next_token, cursor_at,"
        " cursor_ids, reading, quiet_readings, has_news) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            target_id,
            state.started_at,
            state.horizon,
            state.window_start,
            state.job_state,
            state.next_token,
            state.cursor_at,
            json.dumps(state.cursor_ids),
            state.reading,
            state.quiet_readings,
            int(state.has_news),
        ),
    )
