"""What a poll has seen, held against what the ledger knows: which jobs are new, moved, ended or gone.

A pure function. These rules count every job once:

- Listed among the lately ended: counted already.
- Known as open, now ended: its end is counted.
- Unknown and open: remembered; its birth is counted if it was created since `horizon` and the target's first poll.
- Unknown and ended, created since `horizon`: born and ended between two polls; both are counted.
- Unknown and ended, created before `horizon`: counted before, or older than the exporter.
- Known as open, and in no list any more in two polls running: deleted.
- In an undocumented state, created before the lookback: forgotten; nobody knows whether that state is an end.

The first poll of a target counts nothing: what is there then is history.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, TypeVar

from exporter.polling.pagination import Row, Seam

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping
    from collections.abc import Set as AbstractSet

    from exporter.jobs.kinds import JobKind

T = TypeVar("T")

SLACK_SECONDS = 120
"""How late a new job may show up in the lists, and how far the service's own clocks may be apart."""
POLLS_UNTIL_DELETED = 2
POLLS_UNTIL_DELETED_UNPROVEN = 10
"""A job that shares its second of creation with a page's end cannot be proven absent; it gets this long."""
READINGS_OF_A_SEAM = 3
"""A seam within one second of very many jobs cannot be covered; it is given up after so many readings."""


@dataclass(frozen=True, slots=True)
class OpenJob:
    """A job that had not ended when last seen."""

    job_id: str
    job_type: str
    job_state: str
    created_at: int
    missing_polls: int = 0


@dataclass(frozen=True, slots=True)
class OpenSeam:
    """A seam that is read again until one page covers it."""

    seam: Seam
    readings: int = 1


@dataclass(frozen=True, slots=True)
class Known:
    """What the ledger knows of a target before a poll; as constructed, before its first one."""

    kind: JobKind
    polls: int = 0
    horizon: int | None = None
    """Every job created before this moment has been seen."""
    proven_to: int = 0
    """The head walks so far have shown every job created before this moment but those in `seams`."""
    seams: tuple[OpenSeam, ...] = ()
    baseline: int = 0
    """When the target was first polled."""
    open_jobs: Mapping[str, OpenJob] = field(default_factory=dict)
    lately_ended: AbstractSet[str] = frozenset()
    """The ids of the ended jobs that a poll may meet again as if they were new."""
    job_types: AbstractSet[str] = frozenset()
    """The types met so far."""


@dataclass(frozen=True, slots=True)
class Observed:
    """What one poll has read."""

    started_at: int
    """When the poll began, on the service's clock."""
    rows: Collection[Row]
    """Every sighting in the order of reading."""
    absent: AbstractSet[str] = frozenset()
    """Open jobs proven to be in no list any more."""
    not_sought: AbstractSet[str] = frozenset()
    """Open jobs that the poll did not see, and did not look for."""
    head_seams: Collection[Seam] = ()
    oldest: int = 0
    """Where the lookback begins."""
    is_truncated: bool = False
    """Whether the head was read down to `lookback` only, which is short of the horizon."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a poll changes."""

    started_at: int
    horizon: int
    proven_to: int
    seams: tuple[OpenSeam, ...]
    baseline: int
    open_jobs: tuple[OpenJob, ...]
    """Open jobs that are new or changed."""
    closed_ids: tuple[str, ...]
    """Jobs that are open no longer."""
    ended: tuple[Row, ...]
    """Jobs whose end is counted."""
    history: tuple[Row, ...]
    """Jobs that ended before the target's first poll: remembered, not counted."""
    created_types: tuple[str, ...]
    """The type of each job whose birth is counted."""
    deleted_types: tuple[str, ...]
    """The type of each job that is counted as deleted."""
    is_truncated: bool


def reconcile(known: Known, observed: Observed) -> Outcome:
    """Returns what the poll changes; it depends on its arguments alone."""
    ends = known.kind.ended_states
    latest = _latest(observed.rows, known)
    known_ended = [
        row if row.modified_at is not None else row._replace(noticed_at=observed.started_at)
        for row in latest.values()
        if row.job_state in ends and row.job_id in known.open_jobs
    ]
    forgotten, kept = _split(
        known.open_jobs.values(), lambda job: _is_bygone(latest.get(job.job_id, job), known, observed)
    )
    new = [row for row in latest.values() if row.job_id not in known.open_jobs and _is_new(row, known, observed)]
    baseline = observed.started_at if known.horizon is None else known.baseline
    counted, history = _split(new, lambda row: known.horizon is not None and _counts(row, known, baseline))
    sought = (job for job in kept if job.job_id not in observed.not_sought)
    deleted, missing = _split(_missing(sought, latest), lambda job: _is_deleted(job, observed.absent))
    horizon, seams = _advance(known, observed)
    return Outcome(
        started_at=observed.started_at,
        horizon=horizon,
        proven_to=max(known.proven_to, observed.started_at - SLACK_SECONDS),
        seams=seams,
        baseline=baseline,
        open_jobs=(
            *(_open(row) for row in new if row.job_state not in ends),
            *_moved(kept, latest, ends),
            *missing,
        ),
        closed_ids=(*(row.job_id for row in known_ended), *(job.job_id for job in (*deleted, *forgotten))),
        ended=(*known_ended, *(row for row in counted if row.job_state in ends)),
        history=tuple(row for row in history if row.job_state in ends),
        created_types=tuple(row.job_type for row in counted if row.created_at >= max(baseline, known.horizon or 0)),
        deleted_types=tuple(job.job_type for job in deleted),
        is_truncated=observed.is_truncated,
    )


def _latest(rows: Iterable[Row], known: Known) -> dict[str, Row]:
    """Returns the last sighting of each job that is not counted yet; an end once seen stays."""
    ends = known.kind.ended_states
    latest: dict[str, Row] = {}
    for row in rows:
        if row.job_id in known.lately_ended:
            continue
        before = latest.get(row.job_id)
        if before is None or row.job_state in ends or before.job_state not in ends:
            latest[row.job_id] = row
    return latest


def _split(items: Iterable[T], belongs: Callable[[T], bool]) -> tuple[list[T], list[T]]:
    """Returns the items that belong, and the others."""
    yes: list[T] = []
    no: list[T] = []
    for item in items:
        (yes if belongs(item) else no).append(item)
    return yes, no


def _is_new(row: Row, known: Known, observed: Observed) -> bool:
    if row.job_state not in known.kind.ended_states:
        return not _is_bygone(row, known, observed)
    return known.horizon is None or (row.is_dated and row.created_at >= known.horizon)


def _is_bygone(job: Row | OpenJob, known: Known, observed: Observed) -> bool:
    return job.job_state not in known.kind.job_states and job.created_at < observed.oldest


def _counts(row: Row, known: Known, baseline: int) -> bool:
    return row.job_state not in known.kind.ended_states or row.ended_at >= baseline


def _open(row: Row) -> OpenJob:
    return OpenJob(row.job_id, row.job_type, row.job_state, row.created_at)


def _moved(known_jobs: Iterable[OpenJob], latest: Mapping[str, Row], ends: Collection[str]) -> Iterable[OpenJob]:
    for job in known_jobs:
        row = latest.get(job.job_id)
        if row and row.job_state not in ends and (job.missing_polls or row.job_state != job.job_state):
            yield replace(job, job_state=row.job_state, missing_polls=0)


def _missing(known_jobs: Iterable[OpenJob], latest: Mapping[str, Row]) -> list[OpenJob]:
    return [replace(job, missing_polls=job.missing_polls + 1) for job in known_jobs if job.job_id not in latest]


def _is_deleted(job: OpenJob, absent: AbstractSet[str]) -> bool:
    needed = POLLS_UNTIL_DELETED if job.job_id in absent else POLLS_UNTIL_DELETED_UNPROVEN
    return job.missing_polls >= needed


def _advance(known: Known, observed: Observed) -> tuple[int, tuple[OpenSeam, ...]]:
    """Returns the next horizon and the seams to read again: no job may hide between the two."""
    top = observed.started_at - SLACK_SECONDS
    floor = top if known.horizon is None else known.horizon
    before = sorted(known.seams, key=lambda old: old.seam)
    again = tuple(
        OpenSeam(Seam(max(seam.older, floor), seam.newer), readings)
        for seam in observed.head_seams
        if seam.older < top and seam.newer >= floor and (readings := _readings(seam, known, before))
    )
    return max(floor, min([top, *(open_seam.seam.older for open_seam in again)])), again


def _readings(seam: Seam, known: Known, before: list[OpenSeam]) -> int:
    """Returns how often a seam has been read with nothing proven; zero when it needs no further reading."""
    if known.horizon is None or seam.newer >= known.proven_to:
        return 1
    readings = 0
    at = bisect_right(before, seam.newer, key=lambda old: old.seam.older)
    while at and before[at - 1].seam.newer >= seam.older:
        at -= 1
        readings = max(readings, before[at].readings)
    return readings + 1 if 0 < readings < READINGS_OF_A_SEAM else 0
