"""The exporter's own health: polls, freshness, calls, throttling, rate budget, survey and ledger."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tools.dashboards.frame import dashboard_json, target_variables
from tools.dashboards.job_panels import LIMITS, QUANTILES, data_age
from tools.dashboards.panels import GREEN, ORANGE, RED, YELLOW, About, Query, columns, graph, number, says, states
from tools.dashboards.promql import RANGE, age, own_increase, own_rate, quantile, total, value

if TYPE_CHECKING:
    from tools.dashboards.panels import Panel

UID = "ims-exporter"
REQUESTS = "ims_exporter_api_requests_total"
TARGET = "{{account}} / {{region_id}} / {{job_kind}}"
BY_TARGET = "account, region_id, job_kind"
DAY_SECONDS = 86400
FAILING = (
    "ImsExporterTargetDown",
    "ImsExporterTargetFlapping",
    "ImsExporterDataStale",
    "ImsExporterCredentialsRefused",
)
THROTTLED = ("ImsExporterThrottled",)


def exporter_health() -> str:
    """Returns the dashboard as JSON."""
    return dashboard_json(
        UID,
        "IMS smart jobs / Exporter health",
        "Whether the exporter sees the jobs: polls, age of the data, calls of the service, throttling, ledger.",
        {
            "Now": now(),
            "Polls and freshness": polls(),
            "Calls of the service": calls(),
            "Survey, ledger and process": process(),
        },
        target_variables(),
    )


def now() -> list[Panel]:
    """Returns the numbers to look at first."""
    return [targets_down(), data_age(), failed_polls(), throttled(), calls_a_day(), reload_result()]


def targets_down() -> Panel:
    """Returns how many targets cannot be polled."""
    return number(
        About(
            "Targets down",
            "Targets (account and region) whose last poll failed in every replica.",
            "short",
            4,
            4,
            alerts=("ImsExporterTargetDown", "ImsExporterDown", "ImsExporterAbsent", "ImsExporterUnknown"),
            steps={1: RED},
        ),
        Query(f"count({value('ims_exporter_target_up')}) - {total('', value('ims_exporter_target_up'))}"),
    )


def failed_polls() -> Panel:
    """Returns how many polls failed."""
    return number(
        About(
            "Failed polls",
            "Polls that failed in the shown time range.",
            "short",
            4,
            4,
            alerts=FAILING,
            steps={1: YELLOW},
        ),
        Query(f"round({total('', own_increase('ims_exporter_poll_failures_total'))})"),
    )


def throttled() -> Panel:
    """Returns the throttled share of the calls."""
    all_calls = total("", own_increase(REQUESTS))
    refused = total("", own_increase(REQUESTS, 'code=~"Throttling.*"'))
    return number(
        About(
            "Throttled calls",
            "Share of the calls in the shown time range that the service refused as too many; the limit is shared "
            "by everything that uses the account.",
            "percentunit",
            4,
            4,
            alerts=THROTTLED,
            steps={LIMITS.throttled_ratio / 10: YELLOW, LIMITS.throttled_ratio: RED},
        ),
        Query(f"({refused} or 0 * {all_calls}) / ({all_calls} > 0)"),
    )


def calls_a_day() -> Panel:
    """Returns what the polls cost."""
    return number(
        About(
            "Calls a day",
            "What the calls of the last 10 minutes make in a day; `ims-exporter plan` tells the expected number.",
            "short",
            4,
            4,
        ),
        Query(f"{DAY_SECONDS} * {total('', own_rate(REQUESTS, window='10m'))}"),
    )


def reload_result() -> Panel:
    """Returns whether the configuration in the file is the one in use."""
    return number(
        About(
            "Configuration",
            "Whether the last reading of the configuration succeeded in every replica; if not, the one before is "
            "still in use.",
            "short",
            4,
            4,
        ),
        Query(f"min({value('ims_exporter_config_last_reload_successful')})"),
        says(is_1=("as in the file", GREEN), is_0=("refused", RED)),
    )


def polls() -> list[Panel]:
    """Returns whether polls succeed, how fresh they keep the data, and what they take."""
    return [
        states(
            About("Last poll", "Whether the last poll of each target succeeded.", "short", 12, alerts=FAILING),
            Query(value("ims_exporter_target_up"), TARGET),
            says(is_1=("up", GREEN), is_0=("down", RED)),
        ),
        graph(
            About(
                "Age of the data",
                "Time since the last good poll of each target. The line is where the alert begins.",
                "s",
                12,
                alerts=("ImsExporterDataStale",),
                steps={LIMITS.data_stale_seconds: RED},
            ),
            Query(age(value("ims_exporter_last_success_timestamp_seconds")), TARGET),
        ),
        graph(
            About("Polls", "Polls that ended, failed ones included, a minute, all replicas together.", "cpm"),
            Query(f"60 * {total(BY_TARGET, own_rate('ims_exporter_polls_total'))}", TARGET),
        ),
        graph(
            About(
                "Failed polls by reason",
                "Polls that failed, a minute; the status page of the exporter tells what to do.",
                "cpm",
                alerts=FAILING,
            ),
            Query(f"60 * {total('reason', own_rate('ims_exporter_poll_failures_total'))}", "{{reason}}"),
            bars=True,
        ),
        graph(
            About("Poll duration", "Quantiles of the time that polls took, failed ones included.", "s"),
            *latencies("ims_exporter_poll_duration_seconds"),
            names=QUANTILES,
        ),
    ]


def latencies(histogram: str) -> list[Query]:
    """Returns the median and the slowest of what a histogram has seen."""
    return [Query(quantile(share, own_rate(histogram)), f"p{share * 100:g}") for share in (0.5, 0.9, 0.99)]


def calls() -> list[Panel]:
    """Returns how many calls are made, how they end and what holds them up."""
    return [
        graph(
            About("Calls by action", "Requests a second, retries included, all replicas together.", "reqps", 6),
            Query(total("action", own_rate(REQUESTS)), "{{action}}"),
            stacked=True,
        ),
        graph(
            About(
                "Refused calls by code",
                "Requests a second that did not end in OK, by the service's error code. Throttling: slow down with "
                "max_requests_per_second. No data: none.",
                "reqps",
                6,
                alerts=THROTTLED,
            ),
            Query(total("code", own_rate(REQUESTS, 'code!="OK"')), "{{code}}"),
            bars=True,
        ),
        graph(
            About(
                "Waiting for the rate budget",
                "Share of the time that requests of an account wait for max_requests_per_second; above 100 % "
                "several wait at once. High for long: polls and survey are slowed down by it.",
                "percentunit",
                6,
                alerts=THROTTLED,
                steps={1: ORANGE},
            ),
            Query(total("account", own_rate("ims_exporter_rate_limit_wait_seconds_total")), "{{account}}"),
        ),
        graph(
            About(
                "Call duration", "Quantiles of the time that requests took, without the wait for the budget.", "s", 6
            ),
            *latencies("ims_exporter_api_request_duration_seconds"),
            names=QUANTILES,
        ),
    ]


def process() -> list[Panel]:
    """Returns what the exporter knows and keeps."""
    return [
        graph(
            About(
                "Survey progress", "How much of the current or last survey of the lookback is done.", "percentunit", 6
            ),
            Query(value("ims_exporter_survey_progress_ratio"), TARGET),
        ),
        graph(
            About(
                "Jobs in the ledger",
                "Jobs held one by one: open, or ended a moment ago. Grows with the open jobs, not with history.",
                "short",
                6,
            ),
            Query(value("ims_exporter_ledger_jobs"), TARGET),
        ),
        graph(
            About("Ledger size", "Bytes on disk, of each replica.", "bytes", 6),
            Query(value("ims_exporter_ledger_size_bytes"), "{{instance}}"),
        ),
        graph(
            About(
                "Calls a day by target",
                "What the calls of 10 minutes make in a day: the cost of each target.",
                "short",
                6,
            ),
            Query(f"{DAY_SECONDS} * {total(BY_TARGET, own_rate(REQUESTS, window='10m'))}", TARGET),
        ),
        columns(
            About(
                "Targets",
                "Whether the survey is complete (1), whether the exporter was away for too long to count every end "
                "(truncated, 1), polls and failed polls in the shown time range.",
                "short",
                12,
                6,
                alerts=("ImsExporterCatchupTruncated", "ImsExporterSurveyStuck"),
            ),
            {
                "Survey complete": value("ims_exporter_survey_complete"),
                "Truncated": value("ims_exporter_catchup_truncated"),
                "Polls": f"round({total(BY_TARGET, own_increase('ims_exporter_polls_total', window=RANGE))})",
                "Failed polls": f"round({total(BY_TARGET, own_increase('ims_exporter_poll_failures_total'))})",
            },
        ),
        columns(
            About("Exporters", "Versions of each replica, and when it last read its configuration.", "short", 12, 6),
            {
                "Configuration read": f"1000 * {value('ims_exporter_config_last_reload_success_timestamp_seconds')}"
                " * on (instance) group_right () "
                "max by (instance, version, python_version) (ims_exporter_build_info)"
            },
            {"Configuration read": "dateTimeFromNow"},
        ),
    ]
