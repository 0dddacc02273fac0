"""The rules about jobs that do not get on: stuck, a queue that grows, a type that stands."""

from __future__ import annotations

from typing import TYPE_CHECKING

from exporter.rules.promql import all_of, duration, each_type
from exporter.rules.rule import COUNT, JOBS, TARGET, Alert

if TYPE_CHECKING:
    from collections.abc import Mapping

    from exporter.rules.promql import Series
    from exporter.rules.thresholds import Thresholds

OLDEST = "ims_jobs:oldest_open"
QUEUE = "ims_jobs:waiting"
FINISHED = "ims_jobs:finished"


def queue_rules(limits: Thresholds, series: Series) -> list[Alert]:
    """Returns the alerts, the mildest first."""
    return [stuck(limits, series), queue_not_draining(limits, series), nothing_finishes(limits, series)]


def stuck(limits: Thresholds, series: Series) -> Alert:
    """Fires while the oldest open job of a type and state is older than its type allows."""

    def too_old(matcher: str, seconds: int) -> str:
        return f"time() - {series(OLDEST, matcher)} > {seconds}"

    return Alert(
        name="ImsJobStuck",
        severity="warning",
        expr=each_type(limits.stuck_seconds, limits.stuck_other_seconds, too_old),
        summary="A smart job does not get on.",
        description=(
            f"The oldest {{{{ $labels.job_type }}}} job of {TARGET} in state {{{{ $labels.job_state }}}} was "
            "created {{ $value | humanizeDuration }} ago "
            f"(allowed: {_allowed(limits.stuck_seconds, limits.stuck_other_seconds)})."
        ),
        for_seconds=limits.stuck_for_seconds,
    )


def queue_not_draining(limits: Thresholds, series: Series) -> Alert:
    """Fires while a queue has been long and growing for a while and does not fall now."""
    waiting, long, now = (
        series(QUEUE),
        duration(limits.queue_window_seconds),
        duration(limits.queue_falling_seconds),
    )
    return Alert(
        name="ImsJobQueueNotDraining",
        severity="warning",
        expr=all_of(
            f"{waiting} >= {limits.queue_growth_factor} * {waiting} offset {long}",
            f"min_over_time({waiting}[{long}]) >= {limits.queue_jobs}",
            f"avg_over_time({waiting}[{now}]) >= avg_over_time({waiting}[{now}] offset {now})",
        ),
        summary="The queue of smart jobs does not drain.",
        description=(
            f"{COUNT} {JOBS} wait; for {long} there have been {limits.queue_jobs} or more, and they become more."
        ),
    )


def nothing_finishes(limits: Thresholds, series: Series) -> Alert:
    """Fires while jobs wait and none of their type has finished for as long as its type allows."""

    def stands(matcher: str, seconds: int) -> str:
        waiting, finished, long = series(QUEUE, matcher), series(FINISHED, matcher), duration(seconds)
        return (
            f"{waiting} >= {limits.stalled_jobs}\n"
            f"and min_over_time({waiting}[{long}]) >= {limits.stalled_jobs}\n"
            f"and {waiting} offset {long}\n"
            f"and ignoring (job_state) {finished} == {finished} offset {long}"
        )

    return Alert(
        name="ImsJobNothingFinishes",
        severity="critical",
        expr=each_type(limits.stalled_seconds, limits.stalled_other_seconds, stands),
        summary="Smart jobs wait and none finishes.",
        description=(
            f"{COUNT} {JOBS} wait, and none has finished for too long "
            f"(allowed: {_allowed(limits.stalled_seconds, limits.stalled_other_seconds)})."
        ),
    )


def _allowed(limits: Mapping[str, int], other: int) -> str:
    named = ", ".join(f"{name} {duration(seconds)}" for name, seconds in limits.items())
    return f"{named}, others {duration(other)}"
