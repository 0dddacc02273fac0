"""The page `/`: the state of every target, stuck jobs, and jobs by type and state."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from exporter.jobs.count_history import MAX_POLLS
from exporter.jobs.kinds import KINDS
from exporter.jobs.snapshot import OLDEST_JOBS_SHOWN
from exporter.jobs.states import ENDED_STATES
from exporter.web.pages.sparklines import sparklines
from exporter.web.pages.templates import render_page

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from jinja2 import Environment

    from exporter.jobs.snapshot import Health, PollKey, Snapshot, TargetView, WaitingJob
    from exporter.web.pages.request import PageRequest, PageResponse
    from exporter.web.pages.sparklines import Sparkline

MAX_UNFOLDED_TARGETS = 3
"""Maximum number of targets whose jobs are shown unfolded."""


@dataclass(frozen=True, slots=True)
class TargetRow:
    """A target in the table of targets; a count that is not known yet is None."""

    key: PollKey
    health: Health
    is_stale: bool
    open_jobs: int | None
    failed_1h: int | None
    failed_24h: int | None


@dataclass(frozen=True, slots=True)
class JobMatrix:
    """The jobs of a target by type and state."""

    key: PollKey
    states: Sequence[str]
    rows: Mapping[str, Sequence[JobCount]]
    """The counts of each job type, one for each of the states."""


@dataclass(frozen=True, slots=True)
class JobCount:
    """The jobs of one type in one state, now and in the last polls; None if not known yet."""

    job_state: str
    count: int | None
    line: Sparkline | None


@dataclass(frozen=True, slots=True)
class OpenJob:
    """An open job with its age, and the age from which it counts as stuck."""

    key: PollKey
    job: WaitingJob
    age_seconds: float
    threshold_seconds: int

    @property
    def is_stuck(self) -> bool:
        """Whether the job is older than the threshold of its type."""
        return self.age_seconds > self.threshold_seconds


def respond_status(request: PageRequest, parameters: Mapping[str, str], environment: Environment) -> PageResponse:
    """Returns the page with all targets, the stuck jobs, and the jobs by type and state."""
    targets = [target_row(view, request) for view in request.views]
    failed = [row.failed_1h for row in targets if row.failed_1h is not None]
    return render_page(
        environment,
        "status.html",
        request,
        parameters,
        targets=targets,
        up=sum(row.health.up is True for row in targets),
        open_jobs=sum(row.open_jobs or 0 for row in targets),
        failed_1h=sum(failed) if failed else None,
        stuck=[job for view in request.views for job in oldest_jobs(view, request) if job.is_stuck],
        matrices=[(view.key, job_matrix(view)) for view in request.views],
        is_unfolded=len(targets) <= MAX_UNFOLDED_TARGETS,
        max_polls=MAX_POLLS,
        max_checked=OLDEST_JOBS_SHOWN,
    )


def target_row(view: TargetView, request: PageRequest) -> TargetRow:
    """Returns the row of a target; it is stale if /metrics no longer shows its jobs, as they are too old."""
    last_success_at = view.health.last_success_at
    return TargetRow(
        key=view.key,
        health=view.health,
        is_stale=last_success_at is not None and request.now - last_success_at > request.settings.stale_after_seconds,
        open_jobs=count_open(view.snapshot),
        failed_1h=count_failed(view.snapshot, "1h"),
        failed_24h=count_failed(view.snapshot, "24h"),
    )


def count_open(snapshot: Snapshot | None) -> int | None:
    """Returns the number of jobs in any state that is not an end; None before the first successful poll."""
    return sum(count for (_, state), count in snapshot.jobs.items() if state not in ENDED_STATES) if snapshot else None


def count_failed(snapshot: Snapshot | None, window: str) -> int | None:
    """Returns the number of jobs that failed within a window (`1h` or `24h`); None if it is not known yet."""
    recent = snapshot.failed_recent if snapshot else {}
    return sum(count for (_, name), count in recent.items() if name == window) if recent else None


def job_matrix(view: TargetView) -> JobMatrix | None:
    """Returns the jobs of a target by type and state, with a sparkline each; None before the first successful poll."""
    if view.snapshot is None:
        return None
    kind, jobs = KINDS[view.key.job_kind], view.snapshot.jobs
    states = known_first(kind.job_states, (job_state for _, job_state in jobs))
    types = known_first(kind.known_types, (job_type for job_type, _ in jobs))
    lines = sparklines(view.history)
    rows = {
        job_type: [JobCount(state, jobs.get((job_type, state)), lines.get((job_type, state))) for state in states]
        for job_type in types
    }
    return JobMatrix(view.key, states, rows)


def known_first(known: Sequence[str], seen: Iterable[str]) -> list[str]:
    """Returns the known names in their order, then the other names that were seen, sorted."""
    return [*known, *sorted(set(seen) - set(known))]


def oldest_jobs(view: TargetView, request: PageRequest) -> list[OpenJob]:
    """Returns the oldest open jobs of a target, oldest first."""
    jobs = view.snapshot.oldest_jobs if view.snapshot else ()
    return [
        OpenJob(view.key, job, request.now - job.created_at, request.settings.stuck_after_seconds(job.job_type))
        for job in jobs
    ]
