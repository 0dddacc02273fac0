"""The rules about the jobs: failed, failing too often, stuck."""

from __future__ import annotations

from typing import TYPE_CHECKING

from exporter.rules.promql import any_of, duration, lowest, risen
from exporter.rules.rule import TARGET, Alert, Recording

if TYPE_CHECKING:
    from exporter.rules.promql import Series
    from exporter.rules.thresholds import Thresholds

LONG, SHORT = "long", "short"
FAILED = 'job_state="Failed"'


def job_rules(limits: Thresholds, series: Series) -> list[Recording | Alert]:
    """Returns the rules in the order of their evaluation: what is recorded here is used further down."""
    return [
        *_recordings(LONG, limits.failure_ratio_long_seconds, limits, series),
        *_recordings(SHORT, limits.failure_ratio_short_seconds, limits, series),
        failed(limits, series),
        failure_ratio_high(limits, series),
        stuck(limits, series),
    ]


def _recordings(window: str, seconds: int, limits: Thresholds, series: Series) -> list[Recording]:
    """Records how many jobs ended in a window, and the share of them that failed."""
    ended = f"ims_smart_jobs_ended:risen_{window}"
    over_outages, within = risen(series("ims_smart_jobs_ended_total"), seconds, limits.catchup_seconds)
    all_ended = f"sum without (job_state) ({series(ended)})"
    return [
        Recording(ended, any_of(f"{over_outages} >= 0", within)),
        Recording(
            f"ims_smart_jobs_ended:failure_ratio_{window}",
            f"sum without (job_state) ({series(ended, FAILED)})\n/\n{all_ended}",
        ),
    ]


def failed(limits: Thresholds, series: Series) -> Alert:
    """Fires at the first failure, also one found after an outage; clears a window later."""
    counter = series("ims_smart_jobs_ended_total", FAILED)
    rises = risen(counter, limits.failed_window_seconds, limits.catchup_seconds)
    return Alert(
        name="ImsSmartJobFailed",
        severity="warning",
        expr=any_of(*(f"{rise} >= {limits.failed_jobs}" for rise in rises)),
        summary="A smart job failed.",
        description=(
            f"{{{{ $value }}}} {{{{ $labels.job_type }}}} job(s) of {TARGET} failed in the last "
            f"{duration(limits.failed_window_seconds)}, or while the exporter saw nothing. "
            "The exporter's /failures page names them."
        ),
    )


def failure_ratio_high(limits: Thresholds, series: Series) -> Alert:
    """Fires while too large a share of enough jobs fails, in the long and in the short window."""
    ratio = "ims_smart_jobs_ended:failure_ratio_"
    ended = f"sum without (job_state) ({series(f'ims_smart_jobs_ended:risen_{LONG}')})"
    long = duration(limits.failure_ratio_long_seconds)
    return Alert(
        name="ImsSmartJobFailureRatioHigh",
        severity="warning",
        expr=(
            f"{series(ratio + LONG)} > {limits.failure_ratio}\n"
            f"and\n{series(ratio + SHORT)} > {limits.failure_ratio}\n"
            f"and\n{ended} >= {limits.failure_ratio_jobs}"
        ),
        summary="Too many smart jobs fail.",
        description=(
            f"{{{{ $value | humanizePercentage }}}} of the {{{{ $labels.job_type }}}} jobs of {TARGET} that "
            f"ended in the last {long} failed; more than {limits.failure_ratio * 100:g}% is too many."
        ),
        for_seconds=limits.failure_ratio_for_seconds,
    )


def stuck(limits: Thresholds, series: Series) -> Alert:
    """Fires while the oldest open job of a type and state is older than its type allows."""
    ages = [
        *((f'job_type="{job_type}"', seconds) for job_type, seconds in limits.stuck_seconds.items()),
        (f'job_type!~"{"|".join(limits.stuck_seconds)}"', limits.stuck_other_seconds),
    ]
    allowed = ", ".join(f"{name} {duration(age)}" for name, age in limits.stuck_seconds.items())
    return Alert(
        name="ImsSmartJobStuck",
        severity="warning",
        expr=any_of(*(_older_than(series, matcher, seconds) for matcher, seconds in ages)),
        summary="A smart job does not get on.",
        description=(
            f"The oldest {{{{ $labels.job_type }}}} job of {TARGET} in state {{{{ $labels.job_state }}}} was "
            f"created {{{{ $value | humanizeDuration }}}} ago (allowed: {allowed}, "
            f"others {duration(limits.stuck_other_seconds)})."
        ),
        for_seconds=limits.stuck_for_seconds,
    )


def _older_than(series: Series, matcher: str, seconds: int) -> str:
    oldest = series("ims_smart_job_oldest_open_timestamp_seconds", matcher)
    return f"time() - {lowest(oldest)} > {seconds}"
