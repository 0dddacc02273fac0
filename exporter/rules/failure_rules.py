"""The alerts about failed jobs: single failures, failure ratios, error budget burn, a dominant error code."""

from __future__ import annotations

from typing import TYPE_CHECKING

from exporter.rules.promql import all_of, any_of, duration
from exporter.rules.recordings import AN_HOUR, FAILED, FAST, NOTICED, RECENT, SLOW, failed_unscraped
from exporter.rules.rule import COUNT, JOBS, Alert, Severity

if TYPE_CHECKING:
    from exporter.rules.promql import Series
    from exporter.rules.thresholds import Thresholds

NOTICED_BEFORE_SECONDS = 1800
"""How long before its error code is known a failure may have been noticed: 15 minutes, and the window of the codes."""

RATIO = "ims_jobs_ended:failure_ratio_"
INCREASE = "ims_jobs_ended:increase_"

KEEP_FIRING_SECONDS = 300
"""How long the budget alert keeps firing without a new failure, so that sparse failures do not make it flap."""


def failure_rules(limits: Thresholds, series: Series) -> list[Alert]:
    """Returns the alerts about failed jobs, the least urgent first."""
    return [
        failed(limits, series),
        failure_ratio("ImsJobFailureRatioHigh", "warning", limits.failure_ratio, limits, series),
        failure_ratio("ImsJobFailureRatioCritical", "critical", limits.failure_ratio_critical, limits, series),
        failure_budget_burn(limits, series),
        reason_dominates(limits, series),
    ]


def failed(limits: Thresholds, series: Series) -> Alert:
    """Fires on every failure that is noticed, or was noticed while Prometheus was away; resolves by itself."""
    return Alert(
        name="ImsJobFailed",
        severity="warning",
        expr=any_of(
            f"{series(NOTICED)} >= {limits.failed_jobs}",
            f"({failed_unscraped(limits, series)}) >= {limits.failed_jobs}",
        ),
        summary="IMS jobs failed.",
        description=(
            f"{COUNT} {JOBS} failed: the exporter noticed them during the last minutes, or while Prometheus did not "
            "scrape it. The /failures page of the exporter lists them."
        ),
    )


def failure_ratio(name: str, severity: Severity, ratio: float, limits: Thresholds, series: Series) -> Alert:
    """Fires while the failed share of the jobs that end exceeds a ratio, if enough jobs end and fail."""
    return Alert(
        name=name,
        severity=severity,
        expr=all_of(
            f"{series(RATIO + RECENT)} > {ratio}",
            f"sum without (job_state) ({series(INCREASE + RECENT, FAILED)}) >= {limits.failure_ratio_failed}",
            f"sum without (job_state) ({series(INCREASE + AN_HOUR)}) >= {limits.failure_ratio_jobs}",
            _noticed_within(limits.failure_ratio_window_seconds, series),
        ),
        summary="IMS job failure ratio is high." if severity == "warning" else "IMS job failure ratio is critical.",
        description=(
            f"{{{{ $value | humanizePercentage }}}} of the {JOBS} that ended during the last "
            f"{duration(limits.failure_ratio_window_seconds)} failed (threshold: {_percent(ratio)})."
        ),
        for_seconds=limits.failure_ratio_for_seconds,
    )


def failure_budget_burn(limits: Thresholds, series: Series) -> Alert:
    """Fires while the failure ratio exceeds a multiple of the objective, both over a long window and recently."""
    windows = (
        (FAST, limits.burn_fast_factor, limits.burn_fast_seconds),
        (SLOW, limits.burn_slow_factor, limits.burn_slow_seconds),
    )
    thresholds = " or ".join(
        f"{_percent(factor * limits.failure_objective)} over {duration(seconds)}" for _, factor, seconds in windows
    )
    return Alert(
        name="ImsJobFailureBudgetBurn",
        severity="critical",
        expr=any_of(*(_burns(name, factor, limits, series) for name, factor, _ in windows)),
        summary="IMS job failures burn the error budget.",
        description=(
            f"{{{{ $value | humanizePercentage }}}} of the {JOBS} that ended during the last hours failed "
            f"(objective: {_percent(limits.failure_objective)}, threshold: {thresholds})."
        ),
        for_seconds=limits.failure_ratio_for_seconds,
        keep_firing_seconds=KEEP_FIRING_SECONDS,
    )


def reason_dominates(limits: Thresholds, series: Series) -> Alert:
    """Fires while enough failures get an error code and most of them get the same known one.

    A failure is counted by error code once its code is known, up to 15 minutes after it was noticed.
    """
    failures = "ims_job_failures:increase_recent"
    of_code = series(failures, 'error_code!~"unknown|other"')
    return Alert(
        name="ImsJobFailureReasonDominates",
        severity="warning",
        expr=all_of(
            f"{of_code}\n/ ignoring (error_code) group_left\n"
            f"sum without (error_code) ({series(failures)}) >= {limits.reason_ratio}",
            f"{of_code} >= {limits.reason_jobs}\nand ignoring (error_code) "
            + _noticed_within(NOTICED_BEFORE_SECONDS, series),
        ),
        summary="Most IMS job failures have the same error code.",
        description=(
            f"{{{{ $value | humanizePercentage }}}} of the failed {JOBS} whose error code became known during the last "
            f"{duration(limits.failed_window_seconds)} have error code {{{{ $labels.error_code }}}} "
            f"(threshold: {_percent(limits.reason_ratio)})."
        ),
        further_labels=("error_code",),
    )


def _burns(window: str, factor: float, limits: Thresholds, series: Series) -> str:
    ratio = f"{factor * limits.failure_objective:.6g}"
    return all_of(
        f"{series(RATIO + window)} > {ratio}",
        f"{series(RATIO + RECENT)} > {ratio}",
        f"sum without (job_state) ({series(INCREASE + window, FAILED)}) >= {limits.failure_ratio_failed}",
        f"sum without (job_state) ({series(INCREASE + window)}) >= {limits.failure_ratio_jobs}",
        _noticed_within(limits.failure_ratio_window_seconds, series),
    )


def _noticed_within(seconds: int, series: Series) -> str:
    """Returns the job types of which a failure was noticed; a counter also grows when another replica returns."""
    return f"max_over_time({series(NOTICED)}[{duration(seconds)}]) > 0"


def _percent(ratio: float) -> str:
    return f"{ratio * 100:.4g}%"
