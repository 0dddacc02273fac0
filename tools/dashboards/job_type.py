"""The dashboard of one job type: states, failures, error codes and durations."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tools.dashboards.frame import dashboard_json, target_variables, type_variable
from tools.dashboards.job_panels import (
    LIMITS,
    OLDEST,
    QUEUE_ALERTS,
    RECENT,
    failed_now,
    failures_over_time,
    flow,
    heat_of_durations,
    oldest_now,
    open_now,
    quantiles,
    ratio_now,
    ratio_over_time,
    reasons,
)
from tools.dashboards.panels import ORANGE, RED, About, Query, columns, graph, number
from tools.dashboards.promql import (
    FAILED,
    FINISHED,
    OPEN,
    OPEN_STATES,
    STEP,
    age,
    increase_with_new_series,
    lowest,
    rate,
    total,
    value,
)

if TYPE_CHECKING:
    from tools.dashboards.panels import Panel

UID = "ims-type"
TARGET = "{{account}} / {{region_id}} / {{job_kind}}"
UNKNOWN = 'error_code="unknown"'
"""The error code whose series exists from the first poll on."""


def job_type() -> str:
    """Returns the dashboard as JSON."""
    return dashboard_json(
        UID,
        "IMS / Job type",
        "One job type: states, failures and error codes, backlog and durations.",
        {
            "$job_type now": now(),
            "Failures": failures(),
            "Throughput and backlog": throughput(),
            "Durations": durations(),
            "Targets": targets(),
        },
        [*target_variables(), type_variable()],
    )


def now() -> list[Panel]:
    """Returns the most important current values."""
    return [failed_now(4), failed_today(), ratio_now(4), *open_now(4), oldest_now(4)]


def failed_today() -> Panel:
    """Returns the number of jobs that failed during the last day."""
    return number(
        About(
            "Failed in the last day",
            "Jobs that failed during the last 24 hours. No data until the first survey is complete.",
            "short",
            4,
            4,
            failures=True,
            steps={1: ORANGE},
        ),
        Query(total("", value(RECENT, 'window="24h"'))),
    )


def failures() -> list[Panel]:
    """Returns failures, failure ratios and error codes."""
    return [
        failures_over_time("account, region_id, job_kind", TARGET, 6),
        ratio_over_time("account, region_id, job_kind", TARGET, 6),
        graph(
            About(
                "Error codes over time",
                "Failed jobs per step by error code.",
                "short",
                6,
                alerts=("ImsJobFailureReasonDominates",),
                failures=True,
            ),
            Query(
                f"{total('error_code', increase_with_new_series('ims_job_failures_total', STEP, known=UNKNOWN))} > 0",
                "{{error_code}}",
            ),
            bars=True,
        ),
        reasons(6),
    ]


def throughput() -> list[Panel]:
    """Returns created, ended and open jobs."""
    stuck = LIMITS.stuck_other_seconds
    return [
        flow(8),
        graph(
            About("Backlog by state", "Waiting (Created) and running (Executing) jobs.", "short", alerts=QUEUE_ALERTS),
            Query(total("job_state", value("ims_jobs", OPEN)), "{{job_state}}"),
            stacked=True,
            names=OPEN_STATES,
        ),
        graph(
            About(
                "Oldest open job by state",
                "Age of the oldest waiting and of the oldest running job, since creation. The line is the threshold of "
                "job types without a threshold of their own.",
                "s",
                alerts=QUEUE_ALERTS,
                steps={stuck: RED},
            ),
            Query(age(f"min by (job_state) ({lowest(OLDEST)})"), "{{job_state}}"),
            names=OPEN_STATES,
        ),
    ]


def durations() -> list[Panel]:
    """Returns the durations of jobs."""
    return [
        quantiles(FINISHED, "Duration of finished jobs"),
        quantiles(FAILED, "Duration of failed jobs"),
        heat_of_durations(),
    ]


def targets() -> list[Panel]:
    """Returns the jobs and failures of the type by target."""
    by = "account, region_id, job_kind"
    return [
        columns(
            About(
                "By target",
                "Open jobs, failures of the last hour and day, and the time of the last failure.",
                "short",
                12,
                alerts=("ImsJobFailed",),
                failures=True,
            ),
            {
                "Open": total(by, value("ims_jobs", OPEN)),
                "Failed in 1 h": total(by, value(RECENT, 'window="1h"')),
                "Failed in 24 h": total(by, value(RECENT, 'window="24h"')),
                "Last failure": f"1000 * max by ({by}) ({value('ims_job_last_failure_timestamp_seconds')})",
            },
            {"Last failure": "dateTimeFromNow"},
        ),
        graph(
            About("Ended by target", "Jobs that ended per minute, by account, region and job kind.", "cpm", 12),
            Query(f"60 * {total(by, rate('ims_jobs_ended_total'))}", TARGET),
            stacked=True,
        ),
    ]
