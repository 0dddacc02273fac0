"""Reconciles what a poll has seen with what the ledger knows: which jobs are new, have moved, ended or are gone.

A pure function. These rules count every job once:

- Ended and remembered: it is counted already, in whatever state a list that is behind still shows it.
- Known as open, now ended: its end is counted.
- Counted as deleted, and back: open again, or its end is counted.
- Not known and open: it is remembered. Its creation is counted if it was created since `remembered_since`.
- Not known and ended, created since `remembered_since`: it was created and ended between two polls, or the lists were
  late; both are counted, since every ended job that young and counted is remembered.
- Not known and ended, created before that: it is counted already, or older than the exporter.
- Known as open, and missing: after two polls in which no list shows it, it is counted as deleted if the details call
  does not know it either (where the lists have been late, once it has been missing for longer than that), else after
  15 minutes.
- In a state that is not documented, and created before the lookback: it is forgotten; nobody knows whether it ended.

The first poll of a job kind counts nothing: what exists then is history.

Worked example, polls every 60 s with a slack of 120 s. The poll at second 1000 saw job A waiting, and sets the
horizon to 880. Job B is created at 1010 and fails at 1040; the poll at 1060 reads the list of all jobs down to 880
and finds B: it is not known, and created since: its creation and its failure are counted, and B is remembered. The
poll at 1120 reads B again: remembered, not counted. Once B is older than 15 minutes and older than the last deep poll
reads, B is forgotten, and only the count of its hour is kept.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeVar

from exporter.jobs.labels import UNKNOWN
from exporter.polling.records import OpenGap, OpenJob, Outcome, PageGap

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from exporter.polling.records import Known, Observed, Row

T = TypeVar("T")

MIN_SLACK_SECONDS = 120
"""Time that a new job may need to appear in the lists, clocks of the service that differ included."""
MAX_LAG_SECONDS = 900
"""Maximum lateness of the lists that loses nothing; also the time that a deletion without details call takes."""
MAX_SHOWN_LAG_SECONDS = 2.0 * MAX_LAG_SECONDS
"""Maximum lateness that is remembered: it only says that more was late than can be bridged."""
LAG_MARGIN_SECONDS = 30
LAG_DECAY_SECONDS = 6 * 3600.0
"""Time constant with which an observed lateness is forgotten."""
REMEMBER_SECONDS = MAX_LAG_SECONDS + 300
"""Time for which an ended job is remembered after a poll noticed its end: a list that is behind shows it as open."""
POLLS_UNTIL_DELETED = 2
POLLS_UNTIL_DELETED_UNPROVEN = 10
"""Polls after which a job is deleted that no list shows, though its second is in a page gap."""
QUIET_READINGS = 2
QUIET_TIE_READINGS = 6
"""Readings in a row without an unknown job that close a page gap; more for a gap within one second.

Rows of one second may come in another order in each request. A job on the far side of a page boundary is then missed
with a probability of at most 1/4 per reading, and by a first reading and six more with one of 1/16384.
"""
MAX_GAP_READINGS = 30
"""Maximum number of polls that read a page gap again before it is given up."""


def slack_of(known: Known, started_at: int) -> int:
    """Returns by how many seconds a poll that starts now overlaps with the one before, by the lateness seen lately."""
    if known.polled_at is None:
        return MIN_SLACK_SECONDS
    between_polls = min(max(0, started_at - known.polled_at), MAX_LAG_SECONDS)
    wanted = math.ceil(known.lag_seconds + between_polls + LAG_MARGIN_SECONDS) if known.lag_seconds else 0
    return min(max(MIN_SLACK_SECONDS, wanted), MAX_LAG_SECONDS)


def reconcile(known: Known, observed: Observed) -> Outcome:
    """Returns what the poll changes; the result depends on the arguments alone."""
    latest = _latest(known, observed.rows)
    new = _new_jobs(known, observed, latest)
    followed = _follow_open_jobs(known, observed, latest)
    baseline = observed.started_at if known.polled_at is None else known.baseline
    late = [row for row in new.counted if _lag_of(row, known) > 0]
    gaps, gaps_given_up = _open_gaps(known, observed, {row.created_at for row in new.first_seen})
    horizon, remembered_since = _advance(known, observed, gaps)
    counted_since = max(baseline, known.remembered_since)
    return Outcome(
        started_at=observed.started_at,
        is_deep=observed.is_deep,
        horizon=horizon,
        remembered_since=remembered_since,
        proven_to=max(known.proven_to, observed.started_at - observed.slack_seconds),
        gaps=gaps,
        gaps_given_up=gaps_given_up,
        baseline=baseline,
        lag_seconds=_lag_now(known, observed, late),
        late_jobs=sum(row.created_at < known.horizon for row in late),
        open_jobs=(*map(_open, new.open), *followed.changed),
        closed_ids=followed.closed_ids,
        ended=(*followed.ended, *new.ended),
        history=tuple(new.history),
        created_types=tuple(row.job_type for row in new.counted if row.created_at >= counted_since),
        deleted=tuple(followed.deleted),
        returned_ids=tuple(row.job_id for row in new.returned),
        is_truncated=observed.is_truncated,
    )


@dataclass(frozen=True, slots=True)
class _NewJobs:
    """Jobs that were not known as open."""

    first_seen: list[Row]
    returned: list[Row]
    """Those that had been counted as deleted."""
    counted: list[Row]
    """Those of the first seen that are no history: they were open, or ended after the first poll."""
    open: list[Row]
    ended: list[Row]
    """Those whose end is counted."""
    history: list[Row]
    """Those that ended before the first poll."""


@dataclass(frozen=True, slots=True)
class _FollowedJobs:
    """Jobs that were known as open."""

    changed: list[OpenJob]
    ended: list[Row]
    deleted: list[OpenJob]
    closed_ids: tuple[str, ...]
    """Those that are open no longer: ended, deleted or forgotten."""


def _new_jobs(known: Known, observed: Observed, latest: Mapping[str, Row]) -> _NewJobs:
    new = [row for row in latest.values() if row.job_id not in known.open_jobs and _is_new(row, known, observed)]
    returned, first_seen = _split(new, lambda row: row.job_id in known.gone)
    past, counted = _split(first_seen, lambda row: _is_history(row, known))
    ended, still_open = _split([*returned, *counted], lambda row: _has_ended(row, known))
    history, open_at_first = _split(past, lambda row: _has_ended(row, known))
    return _NewJobs(
        first_seen=first_seen,
        returned=returned,
        counted=counted,
        open=[*still_open, *open_at_first],
        ended=[_noticed(row, observed) for row in ended],
        history=history,
    )


def _follow_open_jobs(known: Known, observed: Observed, latest: Mapping[str, Row]) -> _FollowedJobs:
    seen = [latest[job_id] for job_id in known.open_jobs if job_id in latest]
    ended = [_noticed(row, observed) for row in seen if _has_ended(row, known)]
    forgotten, followed = _split(
        known.open_jobs.values(), lambda job: _is_forgotten(latest.get(job.job_id, job), known, observed)
    )
    deleted, waiting = _split(_missing(followed, latest, observed), lambda job: _is_deleted(job, observed))
    return _FollowedJobs(
        changed=[*_moved(followed, latest, known), *waiting],
        ended=ended,
        deleted=deleted,
        closed_ids=(*(row.job_id for row in ended), *(job.job_id for job in (*deleted, *forgotten))),
    )


def _split(items: Iterable[T], belongs: Callable[[T], bool]) -> tuple[list[T], list[T]]:
    """Returns the items that belong, and the others."""
    yes: list[T] = []
    no: list[T] = []
    for item in items:
        (yes if belongs(item) else no).append(item)
    return yes, no


def _has_ended(job: Row | OpenJob, known: Known) -> bool:
    return job.job_state in known.kind.ended_states


def _latest(known: Known, rows: Iterable[Row]) -> dict[str, Row]:
    """Returns the most advanced sighting of each job that is not counted yet; of equals, the last one."""
    order = known.kind.job_states
    latest: dict[str, Row] = {}
    for row in rows:
        if row.job_id in known.ended_ids:
            continue
        before = latest.get(row.job_id)
        if before is None or not (_is_behind(row.job_state, before.job_state, order) or _un_ends(row, before, known)):
            latest[row.job_id] = row
    return latest


def _un_ends(row: Row, before: Row, known: Known) -> bool:
    """Returns whether a sighting shows a job as open, in whatever state, that another one has shown as ended."""
    return _has_ended(before, known) and not _has_ended(row, known)


def _is_behind(state: str, other: str, order: tuple[str, ...]) -> bool:
    """Returns whether a job passes the one state before the other; states that are not documented have no place."""
    return state in order and other in order and order.index(state) < order.index(other)


def _is_forgotten(job: Row | OpenJob, known: Known, observed: Observed) -> bool:
    return job.job_state not in known.kind.job_states and job.created_at < observed.oldest


def _is_new(row: Row, known: Known, observed: Observed) -> bool:
    if not _has_ended(row, known):
        return not _is_forgotten(row, known, observed)
    is_young = row.is_dated and row.created_at >= known.remembered_since
    return known.polled_at is None or is_young or row.job_id in known.gone


def _is_history(row: Row, known: Known) -> bool:
    """Returns whether a job first seen is older than the exporter: it existed, or had ended, before the first poll."""
    return known.polled_at is None or (_has_ended(row, known) and row.ended_at < known.baseline)


def _noticed(row: Row, observed: Observed) -> Row:
    return row._replace(noticed_at=observed.started_at)


def _open(row: Row) -> OpenJob:
    return OpenJob(row.job_id, row.job_type, row.job_state, row.created_at)


def _moved(jobs: Iterable[OpenJob], latest: Mapping[str, Row], known: Known) -> Iterator[OpenJob]:
    """Yields the open jobs of which the poll has learned something; a job never goes back to an earlier state."""
    order = known.kind.job_states
    for job in jobs:
        row = latest.get(job.job_id)
        if row is None or _has_ended(row, known):
            continue
        state = job.job_state if _is_behind(row.job_state, job.job_state, order) else row.job_state
        job_type = row.job_type if job.job_type == UNKNOWN else job.job_type
        seen = OpenJob(job.job_id, job_type, state, job.created_at)
        if seen != job:
            yield seen


def _missing(jobs: Iterable[OpenJob], latest: Mapping[str, Row], observed: Observed) -> Iterator[OpenJob]:
    for job in jobs:
        if job.job_id not in latest and job.job_id not in observed.unchecked:
            yield replace(
                job,
                missing_polls=job.missing_polls + 1,
                absent_polls=job.absent_polls + (job.job_id in observed.absent),
                missing_since=observed.started_at if job.missing_since is None else job.missing_since,
            )


def _is_deleted(job: OpenJob, observed: Observed) -> bool:
    missing_for = observed.started_at - (job.missing_since or observed.started_at)
    if job.absent_polls < POLLS_UNTIL_DELETED:
        return False
    patience = observed.slack_seconds if observed.slack_seconds > MIN_SLACK_SECONDS else 0
    if job.job_id in observed.denied and missing_for >= patience:
        return True
    is_proven = job.job_id in observed.proven_absent or job.absent_polls >= POLLS_UNTIL_DELETED_UNPROVEN
    return is_proven and missing_for >= MAX_LAG_SECONDS


def _lag_of(row: Row, known: Known) -> int:
    """Returns how late the lists were, at least, with a job first seen now; 0 where nothing is proven.

    The poll before, at `polled_at`, read everything down to its horizon: a job created earlier was in no list then.
    """
    if known.polled_at is None or not row.is_dated or row.created_at < known.since(row.job_type):
        return 0
    if any(gap.gap.older <= row.created_at <= gap.gap.newer for gap in known.gaps):
        return 0
    return max(0, known.polled_at - row.created_at)


def _lag_now(known: Known, observed: Observed, late: Iterable[Row]) -> float:
    elapsed = max(0, observed.started_at - (known.polled_at or observed.started_at))
    faded = known.lag_seconds * math.exp(-elapsed / LAG_DECAY_SECONDS)
    seen = max([faded if faded >= 1 else 0.0, *(float(_lag_of(row, known)) for row in late)])
    return min(seen, MAX_SHOWN_LAG_SECONDS)


def _advance(known: Known, observed: Observed, gaps: tuple[OpenGap, ...]) -> tuple[int, int]:
    """Returns the next horizon, which no open gap may lie behind, and from when on ended jobs are remembered."""
    deep_at = observed.started_at if observed.is_deep else known.deep_at
    floor = 0 if known.polled_at is None else known.remembered_since
    horizon = max(floor, min([observed.started_at - observed.slack_seconds, *(gap.gap.older for gap in gaps)]))
    return horizon, max(floor, min(horizon, deep_at - MAX_LAG_SECONDS - MIN_SLACK_SECONDS))


def _open_gaps(known: Known, observed: Observed, unknown_at: set[int]) -> tuple[tuple[OpenGap, ...], int]:
    """Returns the page gaps to read again, and how many are given up.

    A gap matters where the list was never read without a gap: after `proven_to`, and in the gaps that are open already.
    What a page of this poll covers is closed. `unknown_at` holds the seconds in which unknown jobs were seen.
    """
    top = observed.started_at - observed.slack_seconds
    floor = known.horizon if known.polled_at is not None else top
    fresh = OpenGap(PageGap(max(floor, known.proven_to), top), readings=0)
    to_read = [fresh, *known.gaps] if fresh.gap.older <= top else known.gaps
    opened: dict[PageGap, OpenGap] = {}
    given_up = 0
    for seen in observed.newest_gaps:
        for before in to_read:
            if not before.gap.meets(seen):
                continue
            gap = before.gap.common(seen)
            has_news = any(gap.older <= second <= gap.newer for second in unknown_at)
            quiet = 0 if has_news or before.readings == 0 else before.quiet_readings + 1
            if quiet >= (QUIET_TIE_READINGS if gap.older == gap.newer else QUIET_READINGS):
                continue
            if before.readings >= MAX_GAP_READINGS:
                given_up += 1
            elif gap not in opened or opened[gap].readings <= before.readings:
                opened[gap] = OpenGap(gap, before.readings + 1, quiet)
    return tuple(opened.values()), given_up
