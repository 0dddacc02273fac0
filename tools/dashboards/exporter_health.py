"""The dashboard of the exporter: polls, age of the data, API requests, throttling, survey and ledger."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tools.dashboards.frame import dashboard_json, target_variables
from tools.dashboards.job_panels import LIMITS, QUANTILES, data_age
from tools.dashboards.panels import (
    GREEN,
    ORANGE,
    RED,
    YELLOW,
    About,
    Query,
    columns,
    graph,
    number,
    states,
    value_texts,
)
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
        "IMS / Exporter",
        "Health of the IMS exporter: polls, age of the data, API requests, throttling, surveys and ledger.",
        {
            "Now": now(),
            "Polls and age of the data": polls(),
            "API requests": requests(),
            "Survey, ledger and process": process(),
        },
        target_variables(),
    )


def now() -> list[Panel]:
    """Returns the most important current values."""
    return [targets_down(), data_age(), failed_polls(), throttled(), requests_per_day(), reload_result()]


def targets_down() -> Panel:
    """Returns the number of poll targets whose polls fail."""
    return number(
        About(
            "Targets down",
            "Poll targets (account, region and job kind) whose last poll failed in every replica.",
            "short",
            4,
            4,
            alerts=(
                "ImsExporterTargetDown",
                "ImsExporterDown",
                "ImsExporterAbsent",
                "ImsExporterUnknown",
                "ImsExporterNoneActive",
                "ImsExporterShardMismatch",
            ),
            steps={1: RED},
        ),
        Query(f"count({value('ims_exporter_target_up')}) - {total('', value('ims_exporter_target_up'))}"),
    )


def failed_polls() -> Panel:
    """Returns the number of failed polls."""
    return number(
        About(
            "Failed polls",
            "Polls that failed within the time range.",
            "short",
            4,
            4,
            alerts=FAILING,
            steps={1: YELLOW},
        ),
        Query(f"round({total('', own_increase('ims_exporter_poll_failures_total'))})"),
    )


def throttled() -> Panel:
    """Returns the share of throttled API requests."""
    all_calls = total("", own_increase(REQUESTS))
    refused = total("", own_increase(REQUESTS, 'code=~"Throttling.*"'))
    return number(
        About(
            "Throttled requests",
            "Share of the API requests within the time range that IMS throttled. All applications that use the account "
            "share the limit.",
            "percentunit",
            4,
            4,
            alerts=THROTTLED,
            steps={LIMITS.throttled_ratio / 10: YELLOW, LIMITS.throttled_ratio: RED},
        ),
        Query(f"({refused} or 0 * {all_calls}) / ({all_calls} > 0)"),
    )


def requests_per_day() -> Panel:
    """Returns the number of API requests per day."""
    return number(
        About(
            "Requests per day",
            "Extrapolated from the API requests of the last 10 minutes; `ims-exporter plan` shows the expected number.",
            "short",
            4,
            4,
        ),
        Query(f"{DAY_SECONDS} * {total('', own_rate(REQUESTS, window='10m'))}"),
    )


def reload_result() -> Panel:
    """Returns whether the last reload of the configuration succeeded."""
    return number(
        About(
            "Configuration",
            "Whether the last reload of the configuration succeeded in every replica. Otherwise the previous "
            "configuration is still used.",
            "short",
            4,
            4,
        ),
        Query(f"min({value('ims_exporter_config_last_reload_successful')})"),
        value_texts(is_1=("loaded", GREEN), is_0=("rejected", RED)),
    )


def polls() -> list[Panel]:
    """Returns results, age and durations of polls."""
    return [
        states(
            About("Last poll", "Whether the last poll of each target succeeded.", "short", 12, alerts=FAILING),
            Query(value("ims_exporter_target_up"), TARGET),
            value_texts(is_1=("up", GREEN), is_0=("down", RED)),
        ),
        graph(
            About(
                "Age of the data",
                "Time since the last successful poll of each target. The line is the threshold of the alert.",
                "s",
                12,
                alerts=("ImsExporterDataStale",),
                steps={LIMITS.data_stale_seconds: RED},
            ),
            Query(age(value("ims_exporter_last_success_timestamp_seconds")), TARGET),
        ),
        graph(
            About("Polls", "Polls per minute, including failed ones, of all replicas.", "cpm"),
            Query(f"60 * {total(BY_TARGET, own_rate('ims_exporter_polls_total'))}", TARGET),
        ),
        graph(
            About(
                "Failed polls by reason",
                "Failed polls per minute. The status page of the exporter names the action to take.",
                "cpm",
                alerts=FAILING,
            ),
            Query(f"60 * {total('reason', own_rate('ims_exporter_poll_failures_total'))}", "{{reason}}"),
            bars=True,
        ),
        graph(
            About("Poll duration", "Quantiles of the duration of polls, including failed ones.", "s"),
            *latencies("ims_exporter_poll_duration_seconds"),
            names=QUANTILES,
        ),
    ]


def latencies(histogram: str) -> list[Query]:
    """Returns the quantiles of a histogram of durations."""
    return [Query(quantile(share, own_rate(histogram)), f"p{share * 100:g}") for share in (0.5, 0.9, 0.99)]


def requests() -> list[Panel]:
    """Returns rates, errors and durations of API requests."""
    return [
        graph(
            About("Requests by action", "Requests per second, including retries, of all replicas.", "reqps", 6),
            Query(total("action", own_rate(REQUESTS)), "{{action}}"),
            stacked=True,
        ),
        graph(
            About(
                "Failed requests by code",
                "Failed requests per second, by error code. If requests are throttled, lower max_requests_per_second. "
                "No data: no request failed.",
                "reqps",
                6,
                alerts=THROTTLED,
            ),
            Query(total("code", own_rate(REQUESTS, 'code!="OK"')), "{{code}}"),
            bars=True,
        ),
        graph(
            About(
                "Rate limit wait",
                "Share of the time that requests of an account wait for max_requests_per_second; above 100% several "
                "requests wait at once. If it stays high, the limit slows down polls and surveys.",
                "percentunit",
                6,
                alerts=THROTTLED,
                steps={1: ORANGE},
            ),
            Query(total("account", own_rate("ims_exporter_rate_limit_wait_seconds_total")), "{{account}}"),
        ),
        graph(
            About("Request duration", "Quantiles of the duration of requests, without the rate limit wait.", "s", 6),
            *latencies("ims_exporter_api_request_duration_seconds"),
            names=QUANTILES,
        ),
    ]


def process() -> list[Panel]:
    """Returns surveys, ledger and versions."""
    return [
        graph(
            About(
                "Survey progress", "Completed share of the current or last survey of the lookback.", "percentunit", 6
            ),
            Query(value("ims_exporter_survey_progress_ratio"), TARGET),
        ),
        graph(
            About(
                "Jobs in the ledger",
                "Jobs stored individually: open or recently ended. The number grows with open jobs, not with history.",
                "short",
                6,
            ),
            Query(value("ims_exporter_ledger_jobs"), TARGET),
        ),
        graph(
            About("Ledger size", "Size on disk by replica.", "bytes", 6),
            Query(value("ims_exporter_ledger_size_bytes"), "{{instance}}"),
        ),
        graph(
            About(
                "Requests per day by target",
                "Extrapolated from the API requests of 10 minutes.",
                "short",
                6,
            ),
            Query(f"{DAY_SECONDS} * {total(BY_TARGET, own_rate(REQUESTS, window='10m'))}", TARGET),
        ),
        columns(
            About(
                "Targets",
                "Whether the survey is complete (1), whether an outage was too long to count every ended job "
                "(truncated, 1), polls and failed polls within the time range.",
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
        graph(
            About(
                "Lateness of the lists",
                "How late IMS has listed jobs lately. Up to 15 minutes lose nothing; polls read further back then.",
                "s",
                12,
                6,
                alerts=("ImsExporterListsLate",),
            ),
            Query(value("ims_exporter_list_lag_seconds"), TARGET),
        ),
        columns(
            About(
                "Not read",
                "Within the time range: jobs that were listed late, page gaps given up, polls and surveys cut short by "
                "their budget, and rows that could not be read.",
                "short",
                12,
                6,
                alerts=("ImsExporterListsLate", "ImsExporterCountsIncomplete"),
            ),
            {
                "Late jobs": f"round({total(BY_TARGET, own_increase('ims_exporter_late_jobs_total'))})",
                "Page gaps": f"round({total(BY_TARGET, own_increase('ims_exporter_gaps_given_up_total'))})",
                "Budget exceeded": f"round({total(BY_TARGET, own_increase('ims_exporter_budget_exceeded_total'))})",
                "Rows skipped": f"round({total(BY_TARGET, own_increase('ims_exporter_rows_skipped_total'))})",
            },
        ),
        columns(
            About(
                "Exporters",
                "Versions by replica, and the time of the last reload.",
                "short",
                12,
                6,
            ),
            {
                "Configuration loaded": f"1000 * {value('ims_exporter_config_last_reload_success_timestamp_seconds')}"
                " * on (instance) group_right () "
                "max by (instance, version, python_version) (ims_exporter_build_info)"
            },
            {"Configuration loaded": "dateTimeFromNow"},
        ),
    ]
