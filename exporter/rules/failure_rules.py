"""The rules about failures: a job failed, too many fail, they burn the objective, one reason dominates."""

from __future__ import annotations

from typing import TYPE_CHECKING

from exporter.rules.promql import all_of, any_of, duration, risen
from exporter.rules.recordings import AN_HOUR, FAILED, FAST, RECENT, SLOW, ended_jobs
from exporter.rules.rule import COUNT, JOBS, Alert, Severity

if TYPE_CHECKING:
    from exporter.rules.promql import Series
    from exporter.rules.thresholds import Thresholds

RATIO = "ims_jobs_ended:failure_ratio_"
RISEN = "ims_jobs_ended:risen_"

BETWEEN_FAILURES_SECONDS = 300
"""So long a burn goes on without a failure: sparse ones would make it come and go."""


def failure_rules(limits: Thresholds, series: Series) -> list[Alert]:
    """Returns the alerts, the mildest first."""
    return [
        failed(limits, series),
        failure_ratio("ImsJobFailureRatioHigh", "warning", limits.failure_ratio, limits, series),
        failure_ratio("ImsJobFailureRatioCritical", "critical", limits.failure_ratio_critical, limits, series),
        failure_budget_burn(limits, series),
        reason_dominates(limits, series),
    ]


def failed(limits: Thresholds, series: Series) -> Alert:
    """Fires at the first failure, also one found after an outage; clears a window later, whatever is withdrawn."""
    rise = risen(ended_jobs(series, FAILED), limits.failed_window_seconds, limits.catchup_seconds)
    return Alert(
        name="ImsJobFailed",
        severity="warning",
        expr=f"{rise} >= {limits.failed_jobs}",
        summary="A smart job failed.",
        description=(
            f"{COUNT} {JOBS} failed in the last {duration(limits.failed_window_seconds)}, "
            "or while the exporter saw nothing. The exporter's /failures page names them."
        ),
    )


def failure_ratio(name: str, severity: Severity, share: float, limits: Thresholds, series: Series) -> Alert:
    """Fires while too large a share of the jobs that end now fails, if enough jobs end and fail."""
    window = duration(limits.failure_ratio_window_seconds)
    return Alert(
        name=name,
        severity=severity,
        expr=all_of(
            f"{series(RATIO + RECENT)} > {share}",
            f"sum without (job_state) ({series(RISEN + RECENT, FAILED)}) >= {limits.failure_ratio_failed}",
            f"sum without (job_state) ({series(RISEN + AN_HOUR)}) >= {limits.failure_ratio_jobs}",
        ),
        summary="Too many smart jobs fail." if severity == "warning" else "Most smart jobs fail.",
        description=(
            f"{{{{ $value | humanizePercentage }}}} of the {JOBS} that ended in the last {window} failed "
            f"(allowed: {_percent(share)})."
        ),
        for_seconds=limits.failure_ratio_for_seconds,
    )


def failure_budget_burn(limits: Thresholds, series: Series) -> Alert:
    """Fires while failures exceed the objective many times, both over a long window and now."""
    pairs = (
        (FAST, limits.burn_fast_factor, limits.burn_fast_seconds),
        (SLOW, limits.burn_slow_factor, limits.burn_slow_seconds),
    )
    shares = " or ".join(
        f"{_percent(factor * limits.failure_objective)} over {duration(seconds)}" for _, factor, seconds in pairs
    )
    return Alert(
        name="ImsJobFailureBudgetBurn",
        severity="critical",
        expr=any_of(*(_burns(name, factor, limits, series) for name, factor, _ in pairs)),
        summary="Failed smart jobs use up the failure budget.",
        description=(
            f"{{{{ $value | humanizePercentage }}}} of the {JOBS} that ended in the last hours, as far as they were "
            f"watched, have failed: {_percent(limits.failure_objective)} is the objective, more than {shares} too much."
        ),
        for_seconds=limits.failure_ratio_for_seconds,
        keep_firing_seconds=BETWEEN_FAILURES_SECONDS,
    )


def reason_dominates(limits: Thresholds, series: Series) -> Alert:
    """Fires while enough jobs fail, most of them for the same known reason."""
    failures = "ims_job_failures:risen_recent"
    of_reason = series(failures, 'error_code!~"unknown|other"')
    return Alert(
        name="ImsJobFailureReasonDominates",
        severity="warning",
        expr=all_of(
            f"{of_reason}\n/ ignoring (error_code) group_left\n"
            f"sum without (error_code) ({series(failures)}) >= {limits.reason_ratio}",
            f"{of_reason} >= {limits.reason_jobs}",
        ),
        summary="Smart jobs fail for one reason.",
        description=(
            f"{{{{ $value | humanizePercentage }}}} of the {JOBS} that failed in the last "
            f"{duration(limits.failed_window_seconds)} failed for the reason {{{{ $labels.error_code }}}}."
        ),
        further_labels=("error_code",),
    )


def _burns(name: str, factor: float, limits: Thresholds, series: Series) -> str:
    share = _number(factor * limits.failure_objective)
    return all_of(
        f"{series(RATIO + name)} > {share}",
        f"{series(RATIO + RECENT)} > {share}",
        f"sum without (job_state) ({series(RISEN + name, FAILED)}) >= {limits.failure_ratio_failed}",
        f"sum without (job_state) ({series(RISEN + name)}) >= {limits.failure_ratio_jobs}",
    )


def _number(value: float) -> str:
    return f"{value:.6g}"


def _percent(share: float) -> str:
    return f"{share * 100:.4g}%"
