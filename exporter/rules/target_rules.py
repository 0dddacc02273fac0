"""The rules about the polls of a target: down, refused, throttled, stale, a survey that stands, jobs not counted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from exporter.rules.promql import all_of, any_of, duration, highest, lasting, without
from exporter.rules.rule import COUNT, EXPORTER_DASHBOARD, TARGET, Alert

if TYPE_CHECKING:
    from exporter.rules.promql import Series
    from exporter.rules.thresholds import Thresholds

UP = "ims_exporter_target:up"
OUTAGE_CHANGES = 2
"""So often a target changes between up and down in one outage."""

THROTTLED = 'code=~"Throttling.*"'
PROGRESS = "ims_exporter_survey:progress"


def target_rules(limits: Thresholds, series: Series) -> list[Alert]:
    """Returns the alerts about targets."""
    return [
        target_down(limits, series),
        target_flapping(limits, series),
        credentials_refused(limits, series),
        throttled(limits, series),
        data_stale(limits, series),
        survey_stuck(limits, series),
        catchup_truncated(limits, series),
    ]


def target_down(limits: Thresholds, series: Series) -> Alert:
    """Fires while no replica's polls of a target succeed."""
    lasting = duration(limits.target_down_for_seconds)
    return Alert(
        name="ImsExporterTargetDown",
        severity="warning",
        expr=_failing(limits.target_down_for_seconds, limits, series),
        summary="The polls of a target fail.",
        description=f"Every poll of {TARGET} has failed for {lasting}; its job metrics will be withdrawn.",
        for_seconds=limits.target_down_for_seconds,
        dashboard=EXPORTER_DASHBOARD,
    )


def target_flapping(limits: Thresholds, series: Series) -> Alert:
    """Fires while the polls of a target keep failing in between good ones; a single outage is not that."""
    window = duration(limits.target_flapping_window_seconds)
    up = f"{series(UP)}[{window}]"
    return Alert(
        name="ImsExporterTargetFlapping",
        severity="warning",
        expr=all_of(f"1 - avg_over_time({up}) > {limits.target_flapping_ratio}", f"changes({up}) > {OUTAGE_CHANGES}"),
        summary="Many polls of a target fail.",
        description=(
            f"{TARGET} could not be polled for {{{{ $value | humanizePercentage }}}} of the last {window}, again and "
            f"again (allowed: {limits.target_flapping_ratio * 100:.4g}%); what happens to its jobs is seen late."
        ),
        dashboard=EXPORTER_DASHBOARD,
    )


def credentials_refused(limits: Thresholds, series: Series) -> Alert:
    """Fires while the service refuses the polls of a target for its key, its permission or its clock."""
    refused = series("ims_exporter_poll_failures_total", 'reason=~"auth|forbidden"')
    window = duration(limits.credentials_window_seconds)
    since_start = f"({refused} > 0 unless {refused} offset {window})"
    failing = _failing(limits.credentials_for_seconds, limits, series)
    return Alert(
        name="ImsExporterCredentialsRefused",
        severity="critical",
        expr=f"{highest(f'{since_start} or increase({refused}[{window}]) > 0')}\nand ignoring (reason)\n({failing})",
        summary="The service refuses the credentials.",
        description=(
            f"The service refuses the polls of {TARGET} (reason: {{{{ $labels.reason }}}}), "
            f"{COUNT} in the last {window}; that does not heal by itself, and no job of it is watched."
        ),
        for_seconds=limits.credentials_for_seconds,
        dashboard=EXPORTER_DASHBOARD,
    )


def throttled(limits: Thresholds, series: Series) -> Alert:
    """Fires while the service throttles too large a share of the requests."""
    window = duration(limits.throttled_window_seconds)

    def rate(*matchers: str) -> str:
        requests = series("ims_exporter_api_requests_total", *matchers)
        return f"sum {without('action', 'code')} (rate({requests}[{window}]))"

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
    ever, gap = duration(limits.catchup_seconds), duration(limits.gap_seconds)
    last = highest(f"max_over_time({series('ims_exporter_last_success_timestamp_seconds')}[{ever}])")
    known = f"last_over_time({series('ims_exporter_survey_complete')}[{gap}]"
    now, then = highest(f"{known})"), highest(f"{known} offset {allowed})")
    return Alert(
        name="ImsExporterDataStale",
        severity="critical",
        expr=all_of(f"(time() - {last} or {seconds} + 0 * {now}) >= {seconds}", now, then),
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


def catchup_truncated(limits: Thresholds, series: Series) -> Alert:
    """Fires while the counters lack jobs that ended during a very long outage."""
    return Alert(
        name="ImsExporterCatchupTruncated",
        severity="info",
        expr=f"({lasting(series('ims_exporter_catchup_truncated'), limits.gap_seconds)}) == 1",
        summary="Some ended jobs were not counted.",
        description=(
            f"The exporter was away from {TARGET} for longer than its lookback: jobs that ended before are in no "
            "counter. It clears with the next complete survey."
        ),
        dashboard=EXPORTER_DASHBOARD,
    )


def _failing(for_seconds: int, limits: Thresholds, series: Series) -> str:
    """Returns zero for targets whose polls fail, also in a restart's gap if they had for long enough before it."""
    long = duration(for_seconds + limits.gap_seconds)
    return any_of(f"{series(UP)} == 0", f"max_over_time({series(UP)}[{long}]) == 0")
