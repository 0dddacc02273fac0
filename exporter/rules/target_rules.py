"""The rules about the polls of a target: down, refused, throttled, stale, a survey that stands, jobs not counted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from exporter.rules.promql import all_of, any_of, duration, highest
from exporter.rules.rule import EXPORTER_DASHBOARD, TARGET, Alert

if TYPE_CHECKING:
    from exporter.rules.promql import Series
    from exporter.rules.thresholds import Thresholds

UP = "ims_exporter_target:up"
THROTTLED = 'code=~"Throttling.*"'
PROGRESS = "ims_exporter_survey:progress"


def target_rules(limits: Thresholds, series: Series) -> list[Alert]:
    """Returns the alerts about targets."""
    return [
        target_down(limits, series),
        credentials_refused(limits, series),
        throttled(limits, series),
        data_stale(limits, series),
        survey_stuck(limits, series),
        catchup_truncated(series),
    ]


def target_down(limits: Thresholds, series: Series) -> Alert:
    """Fires while no replica's polls of a target succeed."""
    lasting = duration(limits.target_down_for_seconds)
    return Alert(
        name="ImsExporterTargetDown",
        severity="warning",
        expr=f"{series(UP)} == 0",
        summary="The polls of a target fail.",
        description=f"Every poll of {TARGET} has failed for {lasting}; its job metrics will be withdrawn.",
        for_seconds=limits.target_down_for_seconds,
        dashboard=EXPORTER_DASHBOARD,
    )


def credentials_refused(limits: Thresholds, series: Series) -> Alert:
    """Fires while the service refuses the polls of a target for its key, its permission or its clock."""
    refused = series("ims_exporter_poll_failures_total", 'reason=~"auth|forbidden"')
    window = duration(limits.credentials_window_seconds)
    return Alert(
        name="ImsExporterCredentialsRefused",
        severity="critical",
        expr=f"{highest(f'increase({refused}[{window}])')} > 0\nand ignoring (reason) {series(UP)} == 0",
        summary="The service refuses the credentials.",
        description=(
            f"The service refuses the polls of {TARGET} (reason: {{{{ $labels.reason }}}}), "
            f"{{{{ $value | humanize }}}} in the last {window}; "
            "that does not heal by itself, and no job of it is watched."
        ),
        for_seconds=limits.credentials_for_seconds,
        dashboard=EXPORTER_DASHBOARD,
    )


def throttled(limits: Thresholds, series: Series) -> Alert:
    """Fires while the service throttles too large a share of the requests."""
    window = duration(limits.throttled_window_seconds)

    def rate(*matchers: str) -> str:
        requests = series("ims_exporter_api_requests_total", *matchers)
        return f"sum without (instance, pod, action, code) (rate({requests}[{window}]))"

    return Alert(
        name="ImsExporterThrottled",
        severity="warning",
        expr=f"{rate(THROTTLED)}\n/\n{rate()} > {limits.throttled_ratio}",
        summary="The service throttles the exporter.",
        description=(
            f"{{{{ $value | humanizePercentage }}}} of the API requests for {TARGET} in the last {window} were "
            f"throttled (allowed: {limits.throttled_ratio * 100:.4g}%); polls become slow or fail."
        ),
        for_seconds=limits.throttled_for_seconds,
        dashboard=EXPORTER_DASHBOARD,
    )


def data_stale(limits: Thresholds, series: Series) -> Alert:
    """Fires while no replica has a recent poll of a target, whether polls fail, hang, or never succeeded."""
    seconds, allowed = limits.data_stale_seconds, duration(limits.data_stale_seconds)
    last = series("ims_exporter_last_success_timestamp_seconds")
    known = series("ims_exporter_survey_complete")
    return Alert(
        name="ImsExporterDataStale",
        severity="critical",
        expr=any_of(
            f"time() - {highest(last)} > {seconds}",
            f"({seconds} + 0 * {highest(f'{known} offset {allowed}')})\n"
            f"unless {highest(f'max_over_time({last}[{allowed}])')}",
        ),
        summary="The jobs of a target are not watched.",
        description=(
            f"The last good poll of {TARGET} was {{{{ $value | humanizeDuration }}}} ago or more "
            f"(allowed: {allowed}). Until there is a new one, no failed or stuck job of it can alert."
        ),
        for_seconds=limits.data_stale_for_seconds,
        dashboard=EXPORTER_DASHBOARD,
    )


def survey_stuck(limits: Thresholds, series: Series) -> Alert:
    """Fires while an incomplete survey makes no progress although the target's polls succeed."""
    progress, window = series(PROGRESS), duration(limits.survey_stuck_seconds)
    return Alert(
        name="ImsExporterSurveyStuck",
        severity="warning",
        expr=all_of(
            f"{progress} < 1",
            f"changes({progress}[{window}]) == 0",
            f"{progress} offset {window}",
            f"min_over_time({series(UP)}[{window}]) == 1",
        ),
        summary="The survey of past jobs does not get on.",
        description=(
            f"The survey of {TARGET} has stood at {{{{ $value | humanizePercentage }}}} for {window}; the numbers of "
            "ended jobs are missing or not corrected."
        ),
        dashboard=EXPORTER_DASHBOARD,
    )


def catchup_truncated(series: Series) -> Alert:
    """Fires while the counters lack jobs that ended during a very long outage."""
    return Alert(
        name="ImsExporterCatchupTruncated",
        severity="info",
        expr=f"{highest(series('ims_exporter_catchup_truncated'))} == 1",
        summary="Some ended jobs were not counted.",
        description=(
            f"The exporter was away from {TARGET} for longer than its lookback ({{{{ $value }}}} = yes): jobs that "
            "ended before are in no counter. It clears with the next complete survey."
        ),
        dashboard=EXPORTER_DASHBOARD,
    )
