"""The overview dashboard of the jobs of all targets and job types."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tools.dashboards.frame import dashboard_json, target_variables, types_variable
from tools.dashboards.job_panels import (
    DURATION,
    LIMITS,
    OLDEST,
    QUEUE_ALERTS,
    RECENT,
    data_age,
    failed_now,
    failures_over_time,
    flow,
    heat_of_durations,
    names,
    oldest_now,
    open_now,
    per_minute,
    quantiles,
    ratio_now,
    ratio_over_time,
    reasons,
)
from tools.dashboards.panels import RED, YELLOW, About, Query, columns, graph, ranking
from tools.dashboards.promql import (
    FINISHED,
    JOB_TYPES,
    OPEN,
    STATES,
    age,
    lowest,
    quantile,
    rate,
    total,
    value,
)

if TYPE_CHECKING:
    from tools.dashboards.panels import Panel

UID = "ims-overview"


def overview() -> str:
    """Returns the dashboard as JSON."""
    return dashboard_json(
        UID,
        "IMS / Overview",
        "Jobs of Alibaba Cloud Intelligent Media Services (IMS): states, failures, backlog, throughput and durations.",
        {
            "Now": now(),
            "Targets and job types": targets(),
            "Failures": failures(),
            "Throughput and backlog": throughput(),
            "Durations": durations(),
        },
        [*target_variables(), types_variable()],
    )


def now() -> list[Panel]:
    """Returns the most important current values."""
    return [failed_now(4), ratio_now(4), *open_now(4), oldest_now(4), data_age()]


def targets() -> list[Panel]:
    """Returns the jobs of all targets and job types."""
    by = "account, region_id, job_kind, job_type"
    exprs = {state: total(by, value("ims_jobs", f'job_state="{state}"')) for state in STATES}
    exprs["Failed in 1 h"] = total(by, value(RECENT, 'window="1h"'))
    exprs["Oldest open"] = age(f"min by ({by}) ({lowest(OLDEST)})")
    return [
        columns(
            About(
                "Jobs by target and type",
                "Jobs by state (ended jobs: created within the lookback), failures of the last hour, and the age of "
                "the oldest open job.",
                "short",
                16,
                11,
                alerts=("ImsJobFailed", *QUEUE_ALERTS),
                failures=True,
            ),
            exprs,
            {"Oldest open": "s"},
        ),
        graph(
            About("Ended by target", "Jobs that ended per minute, by account, region and job kind.", "cpm", 8, 11),
            Query(per_minute("account, region_id, job_kind"), "{{account}} / {{region_id}} / {{job_kind}}"),
            stacked=True,
        ),
    ]


def failures() -> list[Panel]:
    """Returns failures, failure ratios and error codes."""
    return [failures_over_time("job_type", "{{job_type}}"), ratio_over_time("job_type", "{{job_type}}"), reasons()]


def throughput() -> list[Panel]:
    """Returns created, ended and open jobs."""
    return [flow(), throughput_by_type(), backlog("job_type"), oldest_by_type()]


def throughput_by_type() -> Panel:
    """Returns the ended jobs by job type."""
    return graph(
        About("Throughput by type", "Jobs that ended per minute.", "cpm", 6),
        Query(per_minute("job_type"), "{{job_type}}"),
        stacked=True,
        names=JOB_TYPES,
    )


def backlog(by: str, width: int = 6) -> Panel:
    """Returns the open jobs over time."""
    return graph(
        About(
            "Backlog",
            "Waiting (Created) and running (Executing) jobs.",
            "short",
            width,
            alerts=QUEUE_ALERTS,
        ),
        Query(total(by, value("ims_jobs", OPEN)), f"{{{{{by}}}}}"),
        stacked=True,
        names=names(by),
    )


def oldest_by_type() -> Panel:
    """Returns the age of the oldest open job by type, red above the threshold of the alert."""
    return ranking(
        About(
            "Oldest open job by type",
            "Age since creation; red above the threshold of the alert for the type.",
            "s",
            6,
            alerts=QUEUE_ALERTS,
            steps={LIMITS.stuck_other_seconds: RED},
        ),
        Query(age(f"min by (job_type) ({lowest(OLDEST)})"), "{{job_type}}"),
        {name: {seconds / 2: YELLOW, seconds: RED} for name, seconds in LIMITS.stuck_seconds.items()},
    )


def durations() -> list[Panel]:
    """Returns the durations of jobs."""
    return [
        graph(
            About(
                "Duration by type, 90th percentile",
                "90% of the finished jobs took less time from creation to end; no value if no job finished.",
                "s",
            ),
            Query(quantile(0.9, rate(DURATION, FINISHED), "job_type"), "{{job_type}}"),
            names=JOB_TYPES,
        ),
        quantiles(FINISHED, "Duration of finished jobs"),
        heat_of_durations(),
    ]
