"""The alerts about open jobs: a job is stuck, a queue does not drain, no job of a type finishes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from exporter.rules.promql import all_of, duration, per_job_type
from exporter.rules.recordings import FINISHED, OLDEST_OPEN, WAITING
from exporter.rules.rule import COUNT, JOBS, TARGET, Alert

if TYPE_CHECKING:
    from collections.abc import Mapping

    from exporter.rules.promql import Series
    from exporter.rules.thresholds import Thresholds


def queue_rules(limits: Thresholds, series: Series) -> list[Alert]:
    """Returns the alerts about open jobs, the least urgent first."""
    return [stuck(limits, series), queue_not_draining(limits, series), nothing_finishes(limits, series)]


def stuck(limits: Thresholds, series: Series) -> Alert:
    """Fires while the oldest open job of a job type and state exceeds the age limit of its job type."""

    def too_old(matcher: str, seconds: int) -> str:
        return f"time() - {series(OLDEST_OPEN, matcher)} > {seconds}"

    return Alert(
        name="ImsJobStuck",
        severity="warning",
        expr=per_job_type(limits.stuck_seconds, limits.stuck_other_seconds, too_old),
        summary="IMS job is stuck.",
        description=(
            f"The oldest {{{{ $labels.job_type }}}} job of {TARGET} in state {{{{ $labels.job_state }}}} was created "
            "{{ $value | humanizeDuration }} ago "
            f"(threshold: {_limits(limits.stuck_seconds, limits.stuck_other_seconds)})."
        ),
        for_seconds=limits.stuck_for_seconds,
    )


def queue_not_draining(limits: Thresholds, series: Series) -> Alert:
    """Fires while a queue has been long and growing for a window and is not shrinking now."""
    waiting = series(WAITING)
    window, recent = duration(limits.queue_window_seconds), duration(limits.queue_falling_seconds)
    return Alert(
        name="ImsJobQueueNotDraining",
        severity="warning",
        expr=all_of(
            f"{waiting} >= {limits.queue_growth_factor} * {waiting} offset {window}",
            f"min_over_time({waiting}[{window}]) >= {limits.queue_jobs}",
            f"avg_over_time({waiting}[{recent}]) >= avg_over_time({waiting}[{recent}] offset {recent})",
        ),
        summary="IMS job queue is not draining.",
        description=(
            f"{COUNT} {JOBS} are waiting. At least {limits.queue_jobs} have been waiting for {window}, and the queue "
            "is growing."
        ),
    )


def nothing_finishes(limits: Thresholds, series: Series) -> Alert:
    """Fires while jobs wait and none of their job type has finished within its limit."""

    def stalled(matcher: str, seconds: int) -> str:
        waiting, finished, window = series(WAITING, matcher), series(FINISHED, matcher), duration(seconds)
        return (
            f"{waiting} >= {limits.stalled_jobs}\n"
            f"and min_over_time({waiting}[{window}]) >= {limits.stalled_jobs}\n"
            f"and {waiting} offset {window}\n"
            f"and ignoring (job_state) {finished} == {finished} offset {window}"
        )

    return Alert(
        name="ImsJobNothingFinishes",
        severity="critical",
        expr=per_job_type(limits.stalled_seconds, limits.stalled_other_seconds, stalled),
        summary="IMS jobs are waiting and none finishes.",
        description=(
            f"{COUNT} {JOBS} are waiting, and no job of this type has finished within the limit "
            f"(threshold: {_limits(limits.stalled_seconds, limits.stalled_other_seconds)})."
        ),
    )


def _limits(limits: Mapping[str, int], other: int) -> str:
    named = ", ".join(f"{name} {duration(seconds)}" for name, seconds in limits.items())
    return f"{named}, others {duration(other)}"
