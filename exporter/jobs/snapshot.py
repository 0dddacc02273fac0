"""What one committed poll publishes, and how a target fares: immutable, replaced as a whole."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

DURATION_BOUNDS = (5.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0, 7200.0, 21600.0, 86400.0)
"""Upper bounds of the job duration histogram, in seconds; +Inf follows."""

FAILED_WINDOWS = (("1h", 3600), ("24h", 86400))
"""The windows of `ims_jobs_failed_recent`: label value and seconds."""

NOTICED_WINDOWS = (("5m", 300),)
"""The windows of `ims_jobs_failed_noticed`: label value and seconds."""

FAILED_JOBS_SHOWN = 100
OLDEST_JOBS_SHOWN = 20


@dataclass(frozen=True, slots=True)
class PollKey:
    """One job kind of one account in one region: what is polled on its own, and what names its series."""

    account: str
    region_id: str
    job_kind: str

    @property
    def labels(self) -> dict[str, str]:
        """The names and values that identify it in metrics, logs and addresses."""
        return {"account": self.account, "region_id": self.region_id, "job_kind": self.job_kind}

    def __str__(self) -> str:
        return f"{self.account}/{self.region_id}/{self.job_kind}"


@dataclass(frozen=True, slots=True)
class Durations:
    """A histogram over `DURATION_BOUNDS`; `counts` are per bucket, not cumulative, the last one for +Inf."""

    counts: tuple[int, ...]
    sum_seconds: float


@dataclass(frozen=True, slots=True)
class FailedJob:
    """A job that failed; times are Unix seconds."""

    job_id: str
    job_type: str
    created_at: int
    ended_at: int
    error_code: str
    error_message: str


@dataclass(frozen=True, slots=True)
class WaitingJob:
    """A job that has not ended; its time is Unix seconds."""

    job_id: str
    job_type: str
    job_state: str
    created_at: int


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The job metrics of one target as one committed poll left them.

    Every mapping holds the known types and states at zero, and unknown ones where they occurred.
    """

    taken_at: float
    """When the poll was committed, on the local clock."""
    jobs: Mapping[tuple[str, str], int]
    """Jobs by (job_type, job_state); ended states are missing until a survey is complete."""
    failed_recent: Mapping[tuple[str, str], int]
    """Failed jobs by (job_type, window)."""
    created: Mapping[str, int]
    ended: Mapping[tuple[str, str], int]
    failures: Mapping[tuple[str, str], int]
    """Failed jobs by (job_type, error_code)."""
    deleted: Mapping[str, int]
    durations: Mapping[tuple[str, str], Durations]
    oldest_open: Mapping[tuple[str, str], int]
    """Creation time of the oldest open job by (job_type, job_state); missing where there is none."""
    last_failure: Mapping[str, FailedJob]
    """The newest failure by job_type; missing where there is none."""
    ledger_jobs: int
    """Jobs the ledger holds one by one (open, and ended a moment ago)."""
    failed_noticed: Mapping[tuple[str, str], int] = field(default_factory=dict)
    """Failures that were first published within the window, by (job_type, window)."""
    list_lag_seconds: float = 0.0
    """How late the lists have been lately."""
    late_jobs: int = 0
    """Jobs that the lists showed later than the polls overlap."""
    gaps_given_up: int = 0
    """Places between two pages that could not be proven to hide no job."""
    failed_jobs: tuple[FailedJob, ...] = ()
    """The last jobs that failed, newest first, at most `FAILED_JOBS_SHOWN`."""
    oldest_jobs: tuple[WaitingJob, ...] = ()
    """The open jobs that were created longest ago, oldest first, at most `OLDEST_JOBS_SHOWN`."""


@dataclass(frozen=True, slots=True)
class PastCounts:
    """The jobs by (job_type, job_state) as an earlier poll left them."""

    taken_at: float
    jobs: Mapping[tuple[str, str], int]


@dataclass(frozen=True, slots=True)
class Health:
    """How the polls of one target fare; unlike a snapshot it also changes when a poll fails."""

    up: bool | None = None
    """Whether the last poll succeeded; None before the first one ended."""
    last_success_at: float | None = None
    last_attempt_at: float | None = None
    last_error: str = ""
    """One line for people: what happened and what to do; empty when up."""
    last_reason: str = ""
    survey_complete: bool = False
    survey_progress: float = 0.0
    catchup_truncated: bool = False
    rows_skipped: Mapping[str, int] = field(default_factory=dict)
    """Rows that could not be read since the exporter started, by reason."""
    budgets_exceeded: Mapping[str, int] = field(default_factory=dict)
    """Polls and surveys that were cut short since the exporter started, by `poll` and `survey`."""


@dataclass(frozen=True, slots=True)
class TargetView:
    """What can be shown of one target at this moment."""

    key: PollKey
    snapshot: Snapshot | None = None
    health: Health = field(default_factory=Health)
    history: tuple[PastCounts, ...] = ()
    """The counts of the last polls, oldest first, the shown one included; see `exporter.jobs.count_history`."""
    published_at: float | None = None
    """When the snapshot was published, on the monotonic clock: its age does not depend on the time of day."""

    def age_seconds(self, now: float, monotonic: float) -> float:
        """Returns the age of the snapshot, by Unix time if `published_at` is not set; infinite if there is none."""
        if self.snapshot is None:
            return math.inf
        return now - self.snapshot.taken_at if self.published_at is None else monotonic - self.published_at
