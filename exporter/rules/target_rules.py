"""The alerts about the polls of a target: failing, rejected, throttled, stale, late, incomplete, stuck surveys."""

from __future__ import annotations

from typing import TYPE_CHECKING

from exporter.rules.promql import all_of, any_of, duration, highest, last_known, without
from exporter.rules.rule import COUNT, EXPORTER_DASHBOARD, TARGET, Alert

if TYPE_CHECKING:
    from exporter.rules.promql import Series
    from exporter.rules.thresholds import Thresholds

UP = "ims_exporter_target:up"
PROGRESS = "ims_exporter_survey:progress"
THROTTLED = 'code=~"Throttling.*"'
CHANGES_OF_ONE_OUTAGE = 2
"""How often a target changes between up and down in a single outage."""


def target_rules(limits: Thresholds, series: Series) -> list[Alert]:
    """Returns the alerts about the polls of a target."""
    return [
        target_down(limits, series),
        target_flapping(limits, series),
        credentials_refused(limits, series),
        throttled(limits, series),
        data_stale(limits, series),
        survey_stuck(limits, series),
        catchup_truncated(limits, series),
        lists_late(limits, series),
        counts_incomplete(limits, series),
    ]


def target_down(limits: Thresholds, series: Series) -> Alert:
    """Fires while the polls of a target fail in every replica."""
    return Alert(
        name="ImsExporterTargetDown",
        severity="warning",
        expr=_failing(limits.target_down_for_seconds, limits, series),
        summary="IMS exporter cannot poll a target.",
        description=(
            f"Every poll of {TARGET} has failed for {duration(limits.target_down_for_seconds)}. Its job metrics will "
            "be withdrawn."
        ),
        for_seconds=limits.target_down_for_seconds,
        dashboard=EXPORTER_DASHBOARD,
    )


def target_flapping(limits: Thresholds, series: Series) -> Alert:
    """Fires while the polls of a target keep failing between successful ones; a single outage does not count."""
    window = duration(limits.target_flapping_window_seconds)
    up = f"{series(UP)}[{window}]"
    return Alert(
        name="ImsExporterTargetFlapping",
        severity="warning",
        expr=all_of(
            f"1 - avg_over_time({up}) > {limits.target_flapping_ratio}", f"changes({up}) > {CHANGES_OF_ONE_OUTAGE}"
        ),
        summary="IMS exporter intermittently fails to poll a target.",
        description=(
            f"Polls of {TARGET} failed for {{{{ $value | humanizePercentage }}}} of the last {window}, in several "
            f"outages (threshold: {limits.target_flapping_ratio * 100:.4g}%). Changes of its jobs are seen late."
        ),
        dashboard=EXPORTER_DASHBOARD,
    )


def credentials_refused(limits: Thresholds, series: Series) -> Alert:
    """Fires while IMS rejects the polls of a target because of its key, its permissions or the clock."""
    rejected = series("ims_exporter_poll_failures_total", 'reason=~"auth|forbidden"')
    window = duration(limits.credentials_window_seconds)
    since_start = f"({rejected} > 0 unless {rejected} offset {window})"
    failing = _failing(limits.credentials_for_seconds, limits, series)
    return Alert(
        name="ImsExporterCredentialsRefused",
        severity="critical",
        expr=f"{highest(f'{since_start} or increase({rejected}[{window}]) > 0')}\nand ignoring (reason)\n({failing})",
        summary="IMS rejects the credentials of a target.",
        description=(
            f"IMS rejected {COUNT} poll(s) of {TARGET} during the last {window} (reason: {{{{ $labels.reason }}}}). "
            "Its jobs are not monitored until the key, the permissions or the clock are corrected."
        ),
        for_seconds=limits.credentials_for_seconds,
        dashboard=EXPORTER_DASHBOARD,
    )


def throttled(limits: Thresholds, series: Series) -> Alert:
    """Fires while IMS throttles too large a share of the API requests of a target."""
    window = duration(limits.throttled_window_seconds)

    def rate(*matchers: str) -> str:
        requests = series("ims_exporter_api_requests_total", *matchers)
        return f"sum {without('action', 'code')} (rate({requests}[{window}]))"

    return Alert(
        name="ImsExporterThrottled",
        severity="warning",
        expr=f"{rate(THROTTLED)}\n/\n{rate()} > {limits.throttled_ratio}",
        summary="IMS throttles the exporter.",
        description=(
            f"{{{{ $value | humanizePercentage }}}} of the API requests for {TARGET} during the last {window} were "
            f"throttled (threshold: {limits.throttled_ratio * 100:.4g}%). Polls become slow or fail."
        ),
        for_seconds=limits.throttled_for_seconds,
        dashboard=EXPORTER_DASHBOARD,
    )


def data_stale(limits: Thresholds, series: Series) -> Alert:
    """Fires while no replica has a recent successful poll of a target: polls fail, hang, or never succeeded."""
    seconds, threshold = limits.data_stale_seconds, duration(limits.data_stale_seconds)
    catchup, gap = duration(limits.catchup_seconds), duration(limits.gap_seconds)
    last = highest(f"max_over_time({series('ims_exporter_last_success_timestamp_seconds')}[{catchup}])")
    # A target that was never polled successfully has no timestamp, but the exporter shows its survey.
    known = f"last_over_time({series('ims_exporter_survey_complete')}[{gap}]"
    now, then = highest(f"{known})"), highest(f"{known} offset {threshold})")
    return Alert(
        name="ImsExporterDataStale",
        severity="critical",
        expr=all_of(f"(time() - {last} or {seconds} + 0 * {now}) >= {seconds}", now, then),
        summary="IMS job data is stale.",
        description=(
            f"The last successful poll of {TARGET} was at least {{{{ $value | humanizeDuration }}}} ago "
            f"(threshold: {threshold}). Until the next one, no alert about its jobs can fire."
        ),
        for_seconds=limits.data_stale_for_seconds,
        dashboard=EXPORTER_DASHBOARD,
    )


def survey_stuck(limits: Thresholds, series: Series) -> Alert:
    """Fires while an incomplete survey makes no progress although the polls of the target succeed."""
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
        summary="IMS exporter survey makes no progress.",
        description=(
            f"The survey of {TARGET} has been at {{{{ $value | humanizePercentage }}}} for {window}. The counts of "
            "ended jobs are missing or not corrected."
        ),
        dashboard=EXPORTER_DASHBOARD,
    )


def catchup_truncated(limits: Thresholds, series: Series) -> Alert:
    """Fires while the counters lack jobs that ended during an outage longer than the lookback."""
    return Alert(
        name="ImsExporterCatchupTruncated",
        severity="info",
        expr=f"({last_known(series('ims_exporter_catchup_truncated'), limits.gap_seconds)}) == 1",
        summary="IMS exporter did not count some ended jobs.",
        description=(
            f"The exporter did not poll {TARGET} for longer than its lookback. Jobs that ended before the lookback are "
            "not in the counters. The alert resolves with the next complete survey."
        ),
        dashboard=EXPORTER_DASHBOARD,
    )


def lists_late(limits: Thresholds, series: Series) -> Alert:
    """Fires while the lists of IMS show jobs later than two successive polls overlap."""
    window = duration(limits.late_window_seconds)
    late = highest(f"increase({series('ims_exporter_late_jobs_total')}[{window}])")
    return Alert(
        name="ImsExporterListsLate",
        severity="warning",
        expr=f"ceil({late}) >= {limits.late_jobs}",
        summary="IMS job lists are late.",
        description=(
            f"During the last {window}, IMS listed about {COUNT} job(s) of {TARGET} for the first time minutes after "
            "their creation. Lists that are up to 15 minutes late lose nothing; beyond that, jobs can be missed."
        ),
        dashboard=EXPORTER_DASHBOARD,
    )


def counts_incomplete(limits: Thresholds, series: Series) -> Alert:
    """Fires while a poll or a survey of a target leaves something out: a page gap, a row, or all beyond its budget."""
    window = duration(limits.incomplete_window_seconds)
    causes = {
        "page gap": ("ims_exporter_gaps_given_up_total", ()),
        "budget": ("ims_exporter_budget_exceeded_total", ("work",)),
        "unreadable row": ("ims_exporter_rows_skipped_total", ("reason",)),
    }
    grown = (
        f'label_replace({highest(f"increase({series(metric)}[{window}])", *labels)} > 0, "cause", "{cause}", "", "")'
        for cause, (metric, labels) in causes.items()
    )
    return Alert(
        name="ImsExporterCountsIncomplete",
        severity="warning",
        expr=any_of(*grown),
        summary="IMS exporter could not read everything.",
        description=(
            f"During the last {window}, polls or surveys of {TARGET} left something out about {COUNT} time(s) "
            "(cause: {{ $labels.cause }}). Counts of its jobs may be too low."
        ),
        dashboard=EXPORTER_DASHBOARD,
    )


def _failing(for_seconds: int, limits: Thresholds, series: Series) -> str:
    """Returns zero for targets whose polls fail, also in the gap of a restart after they have failed long enough."""
    window = duration(for_seconds + limits.gap_seconds)
    return any_of(f"{series(UP)} == 0", f"max_over_time({series(UP)}[{window}]) == 0")
