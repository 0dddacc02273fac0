"""What one poll reads, what it changes, and what the ledger keeps between polls.

All times are Unix seconds on the service's clock.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from collections.abc import Set as AbstractSet

    from exporter.jobs.kinds import JobKind


class Reason(NamedTuple):
    """Why a job failed, in the words of the service."""

    error_code: str
    error_message: str = ""


class Row(NamedTuple):
    """One sighting of a job: in a list, or by its details call."""

    job_id: str
    job_type: str
    job_state: str
    created_at: int
    modified_at: int | None
    """When the job ended, if it has ended and the service says so; else its last modification."""
    is_dated: bool = True
    """Whether the service gave a time; without one, `created_at` is that of the row above."""
    reason: Reason | None = None
    """The reason of the failure, if the item itself carries it."""
    noticed_at: int | None = None
    """When a poll saw the end of a job that was open before."""

    @property
    def ended_at(self) -> int:
        """When an ended job ended: as the service says, else when a poll noticed, else its creation."""
        moment = self.noticed_at if self.modified_at is None else self.modified_at
        return self.created_at if moment is None else max(self.created_at, moment)


class PageGap(NamedTuple):
    """A span of creation times, both ends included, in which two adjacent pages may have missed a job.

    Rows move between the requests of one list. Page 1 ends with a job of second 70, page 2 begins with one of second
    68: a job of second 70, 69 or 68 may have been on page 2 while page 1 was read, and on page 1 while page 2 was.
    """

    older: int
    newer: int

    def meets(self, other: PageGap) -> bool:
        """Returns whether the two spans have a second in common."""
        return self.older <= other.newer and other.older <= self.newer

    def common(self, other: PageGap) -> PageGap:
        """Returns the seconds that two spans which meet have in common."""
        return PageGap(max(self.older, other.older), min(self.newer, other.newer))


@dataclass(frozen=True, slots=True)
class OpenGap:
    """A page gap of the list of all jobs that no page has covered yet."""

    gap: PageGap
    readings: int = 1
    quiet_readings: int = 0
    """The last readings in a row that showed no job in the gap that was not known."""


@dataclass(frozen=True, slots=True)
class OpenJob:
    """A job that had not ended when it was last seen."""

    job_id: str
    job_type: str
    job_state: str
    created_at: int
    missing_polls: int = 0
    """The last polls in a row that found the job nowhere."""
    absent_polls: int = 0
    """The polls since the job was last seen in which no list showed it."""
    missing_since: int | None = None


class GoneJob(NamedTuple):
    """An open job that was counted as deleted, and is remembered for a day in case it comes back."""

    job_type: str
    created_at: int
    gone_at: int


class OwedReason(NamedTuple):
    """A failed job whose reason is not known yet."""

    job_id: str
    job_type: str
    noticed_at: int
    tries: int = 0


@dataclass(frozen=True, slots=True)
class Known:
    """What the ledger knows of one job kind of a target before a poll; the defaults are those before the first poll."""

    kind: JobKind
    polls: int = 0
    polled_at: int | None = None
    """Start of the last good poll; None before the first one."""
    deep_at: int = 0
    """Start of the last deep poll."""
    horizon: int = 0
    """Every job created before this moment has been seen, unless the lists are later than assumed."""
    remembered_since: int = 0
    """The ids of all ended jobs created from this moment on are among `ended_ids`."""
    proven_to: int = 0
    """The list of all jobs has been read without a gap before this moment, except for `gaps`."""
    gaps: tuple[OpenGap, ...] = ()
    baseline: int = 0
    """Start of the first good poll: jobs that ended before it are not counted."""
    polled_since: Mapping[str, int] = field(default_factory=dict)
    """Start of the first poll that polled a type (again), by type; the empty text means all other types."""
    lag_seconds: float = 0.0
    """How late the lists have been lately."""
    has_new_types: bool = False
    """Whether a type, or the whole kind, has not been polled since the settings were changed."""
    open_jobs: Mapping[str, OpenJob] = field(default_factory=dict)
    ended_ids: AbstractSet[str] = frozenset()
    """Ended jobs that lists may still show, as ended or in an earlier state."""
    gone: Mapping[str, GoneJob] = field(default_factory=dict)
    owed: tuple[OwedReason, ...] = ()
    job_types: AbstractSet[str] = frozenset()
    """The job types met so far."""

    def since(self, job_type: str) -> int:
        """Returns from when on jobs of a type have been polled without a change of the settings."""
        return max(self.baseline, self.polled_since.get(job_type, self.polled_since.get("", 0)))


@dataclass(frozen=True, slots=True)
class Observed:
    """What one poll has read."""

    started_at: int
    is_deep: bool
    slack_seconds: int
    rows: Collection[Row]
    """Every sighting, in the order of reading."""
    newest_gaps: Collection[PageGap] = ()
    """Page gaps of the list of all jobs."""
    absent: AbstractSet[str] = frozenset()
    """Open jobs that the list of all jobs does not show, though it was read down to where they should be."""
    proven_absent: AbstractSet[str] = frozenset()
    """Those of them whose second one page covers: they are not hidden in a page gap."""
    denied: AbstractSet[str] = frozenset()
    """Open jobs that the details call does not know."""
    unchecked: AbstractSet[str] = frozenset()
    """Open jobs that the poll did not see and did not look for."""
    oldest: int = 0
    """Where the lookback begins."""
    is_truncated: bool = False
    """Whether the list of all jobs was read down to the lookback only, which is short of the horizon."""
    was_cut_short: bool = False
    """Whether a missing job could not be looked for within the budget."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a poll changes in the ledger."""

    started_at: int
    is_deep: bool
    horizon: int
    remembered_since: int
    proven_to: int
    gaps: tuple[OpenGap, ...]
    gaps_given_up: int
    baseline: int
    lag_seconds: float
    late_jobs: int
    """Jobs first seen that are older than the slack: only a deep poll or an open list could find them."""
    open_jobs: tuple[OpenJob, ...]
    """Open jobs that are new or changed."""
    closed_ids: tuple[str, ...]
    """Jobs that are open no longer."""
    ended: tuple[Row, ...]
    """Jobs whose end is counted."""
    history: tuple[Row, ...]
    """Jobs that ended before the first poll: remembered, not counted."""
    created_types: tuple[str, ...]
    """The type of each job whose creation is counted."""
    deleted: tuple[OpenJob, ...]
    """Jobs that are counted as deleted."""
    returned_ids: tuple[str, ...]
    """Jobs that had been counted as deleted and are back."""
    is_truncated: bool
