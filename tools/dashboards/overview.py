"""The overview: how the jobs of all accounts, regions and types fare."""

from __future__ import annotations

from typing import TYPE_CHECKING

from exporter.jobs.kinds import SMART
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
        "IMS smart jobs / Overview",
        "Smart jobs of Alibaba Cloud Intelligent Media Services: states, failures, backlog, throughput, durations.",
        {
            "Now": now(),
            "Accounts, regions and types": targets(),
            "Failures": failures(),
            "Throughput and backlog": throughput(),
            "Durations": durations(),
        },
        [*target_variables(), types_variable()],
    )


def now() -> list[Panel]:
    """Returns the numbers to look at first."""
    return [failed_now(4), ratio_now(4), *open_now(4), oldest_now(4), data_age()]


def targets() -> list[Panel]:
    """Returns the table of everything, and what happens in each account and region."""
    by = "account, region_id, job_kind, job_type"
    exprs = {state: total(by, value("ims_jobs", f'job_state="{state}"')) for state in STATES}
    exprs["Failed in 1 h"] = total(by, value(RECENT, 'window="1h"'))
    exprs["Oldest open"] = age(f"min by ({by}) ({lowest(OLDEST)})")
    return [
        columns(
            About(
                "Jobs by account, region and type",
                "Jobs in each state (Finished and Failed: created within the lookback), failures of the last hour, "
                "and the age of the oldest open job.",
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
            About("Ended by account and region", "Jobs that ended, well or not, a minute.", "cpm", 8, 11),
            Query(per_minute("account, region_id, job_kind"), "{{account}} / {{region_id}} / {{job_kind}}"),
            stacked=True,
        ),
    ]


def failures() -> list[Panel]:
    """Returns what fails, how often, why and which job."""
    return [failures_over_time("job_type", "{{job_type}}"), ratio_over_time("job_type", "{{job_type}}"), reasons()]


def throughput() -> list[Panel]:
    """Returns what comes, what goes and what is left."""
    return [flow(), throughput_by_type(), backlog("job_type"), oldest_by_type()]


def throughput_by_type() -> Panel:
    """Returns how many jobs of each type end."""
    return graph(
        About("Throughput by type", "Jobs that ended, well or not, a minute.", "cpm", 6),
        Query(per_minute("job_type"), "{{job_type}}"),
        stacked=True,
        names=SMART.job_types,
    )


def backlog(by: str, width: int = 6) -> Panel:
    """Returns the open jobs over time."""
    return graph(
        About(
            "Backlog",
            "Jobs that wait (Created) or run (Executing).",
            "short",
            width,
            alerts=QUEUE_ALERTS,
        ),
        Query(total(by, value("ims_jobs", OPEN)), f"{{{{{by}}}}}"),
        stacked=True,
        names=names(by),
    )


def oldest_by_type() -> Panel:
    """Returns the age of the oldest open job of each type, red where its alert fires."""
    return ranking(
        About(
            "Oldest open job by type",
            "Age since creation; red from where the alert of the type fires.",
            "s",
            6,
            alerts=QUEUE_ALERTS,
            steps={LIMITS.stuck_other_seconds: RED},
        ),
        Query(age(f"min by (job_type) ({lowest(OLDEST)})"), "{{job_type}}"),
        {name: {seconds / 2: YELLOW, seconds: RED} for name, seconds in LIMITS.stuck_seconds.items()},
    )


def durations() -> list[Panel]:
    """Returns how long jobs take."""
    return [
        graph(
            About(
                "Duration by type, 90th percentile",
                "Nine of ten jobs that finished took less, from creation to end; a gap is where none finished.",
                "s",
            ),
            Query(quantile(0.9, rate(DURATION, FINISHED), "job_type"), "{{job_type}}"),
            names=SMART.job_types,
        ),
        quantiles(FINISHED, "Duration of finished jobs"),
        heat_of_durations(),
    ]
