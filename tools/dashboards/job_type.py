"""The drill-down: one job type, its states, failures, reasons and durations."""

from __future__ import annotations

from typing import TYPE_CHECKING

from exporter.jobs.kinds import SMART
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
from tools.dashboards.promql import FAILED, FINISHED, OPEN, STEP, age, lowest, rate, risen, total, value

if TYPE_CHECKING:
    from tools.dashboards.panels import Panel

UID = "ims-type"
TARGET = "{{account}} / {{region_id}} / {{job_kind}}"
UNKNOWN = 'error_code="unknown"'
"""The reason that is there from the first poll on."""


def job_type() -> str:
    """Returns the dashboard as JSON."""
    return dashboard_json(
        UID,
        "IMS smart jobs / Job type",
        "One type of smart jobs: where its jobs are, which of them fail and why, how long they wait and run.",
        {
            "$job_type now": now(),
            "Failures": failures(),
            "Throughput and backlog": throughput(),
            "Durations": durations(),
            "Accounts and regions": targets(),
        },
        [*target_variables(), type_variable()],
    )


def now() -> list[Panel]:
    """Returns the numbers to look at first."""
    return [failed_now(4), failed_today(), ratio_now(4), *open_now(4), oldest_now(4)]


def failed_today() -> Panel:
    """Returns how many jobs failed in the last day."""
    return number(
        About(
            "Failed in the last day",
            "Jobs whose end in state Failed is less than 24 hours ago. No data until the first survey is complete.",
            "short",
            4,
            4,
            failures=True,
            steps={1: ORANGE},
        ),
        Query(total("", value(RECENT, 'window="24h"'))),
    )


def failures() -> list[Panel]:
    """Returns what fails, how often, why and which job."""
    return [
        failures_over_time("account, region_id, job_kind", TARGET, 6),
        ratio_over_time("account, region_id, job_kind", TARGET, 6),
        graph(
            About(
                "Reasons over time",
                "Failures in each step by the service's error code.",
                "short",
                6,
                alerts=("ImsJobFailureReasonDominates",),
                failures=True,
            ),
            Query(
                f"{total('error_code', risen('ims_job_failures_total', STEP, known=UNKNOWN))} > 0",
                "{{error_code}}",
            ),
            bars=True,
        ),
        reasons(6),
    ]


def throughput() -> list[Panel]:
    """Returns what comes, what goes and what is left."""
    stuck = LIMITS.stuck_other_seconds
    return [
        flow(8),
        graph(
            About("Backlog by state", "Jobs that wait (Created) or run (Executing).", "short", alerts=QUEUE_ALERTS),
            Query(total("job_state", value("ims_jobs", OPEN)), "{{job_state}}"),
            stacked=True,
            names=SMART.open_states,
        ),
        graph(
            About(
                "Oldest open job by state",
                "Age since creation of the oldest job that waits and of the oldest that runs. The line is the limit "
                "for types that have none of their own.",
                "s",
                alerts=QUEUE_ALERTS,
                steps={stuck: RED},
            ),
            Query(age(f"min by (job_state) ({lowest(OLDEST)})"), "{{job_state}}"),
            names=SMART.open_states,
        ),
    ]


def durations() -> list[Panel]:
    """Returns how long jobs take."""
    return [
        quantiles(FINISHED, "Duration of finished jobs"),
        quantiles(FAILED, "Duration of failed jobs"),
        heat_of_durations(),
    ]


def targets() -> list[Panel]:
    """Returns the type's jobs and failures in each account and region."""
    by = "account, region_id, job_kind"
    return [
        columns(
            About(
                "By account and region",
                "Open jobs, failures of the last hour and day, and when the newest failure was.",
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
            About("Ended by account and region", "Jobs that ended, well or not, a minute.", "cpm", 12),
            Query(f"60 * {total(by, rate('ims_jobs_ended_total'))}", TARGET),
            stacked=True,
        ),
    ]
