"""The overview: how the jobs of all accounts, regions and types fare."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dashboards.frame import dashboard_json, target_variables, types_variable
from dashboards.panels import ORANGE, RED, YELLOW, About, Query, columns, graph, heat, number, ranking
from dashboards.promql import (
    FAILED,
    FINISHED,
    OPEN,
    RANGE,
    STATES,
    STEP,
    age,
    increase,
    lowest,
    quantile,
    rate,
    ratio,
    risen,
    total,
    value,
)
from exporter.rules import Thresholds

if TYPE_CHECKING:
    from dashboards.panels import Panel

UID = "ims-smartjob-overview"
LIMITS = Thresholds()
HOUR = "1h"
OLDEST = "ims_smart_job_oldest_open_timestamp_seconds"
DURATION = "ims_smart_job_duration_seconds"
RECENT = "ims_smart_jobs_failed_recent"


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


def failed_now(width: int) -> Panel:
    """Returns how many jobs failed in the last hour."""
    return number(
        About(
            "Failed in the last hour",
            "Jobs whose end in state Failed is less than an hour ago; falls by itself. No data until the first "
            "survey is complete.",
            "short",
            width,
            4,
            alerts=("ImsSmartJobFailed",),
            failures=True,
            steps={1: ORANGE},
        ),
        Query(total("", value(RECENT, 'window="1h"'))),
    )


def ratio_now(width: int) -> Panel:
    """Returns the failed share of the last hour."""
    return number(
        About(
            "Failure ratio, last hour",
            "Failed share of the jobs that ended in the last hour; no data if none ended. Red from where the "
            "alert fires.",
            "percentunit",
            width,
            4,
            alerts=("ImsSmartJobFailureRatioHigh",),
            failures=True,
            steps={LIMITS.failure_ratio / 2: YELLOW, LIMITS.failure_ratio: RED},
        ),
        Query(ratio("", HOUR)),
    )


def open_now(width: int) -> list[Panel]:
    """Returns how many jobs wait, and how many run."""
    texts = {"Created": ("Waiting", "wait for their start"), "Executing": ("Running", "run")}
    return [
        number(
            About(title, f"Jobs in state {state}, of any age, that {what}.", "short", width, 4),
            Query(total("", value("ims_smart_jobs", f'job_state="{state}"'))),
        )
        for state, (title, what) in texts.items()
    ]


def oldest_now(width: int) -> Panel:
    """Returns the age of the oldest open job."""
    return number(
        About(
            "Oldest open job",
            "Age of the job that has been waiting or running longest, since its creation; no data if none is open.",
            "s",
            width,
            4,
            alerts=("ImsSmartJobStuck",),
            steps={min(LIMITS.stuck_seconds.values()): YELLOW, max(LIMITS.stuck_seconds.values()): RED},
        ),
        Query(age(f"min({lowest(OLDEST)})")),
    )


def data_age() -> Panel:
    """Returns the age of the oldest data."""
    return number(
        About(
            "Oldest data",
            "Time since the last good poll of the target that has waited longest for one. Job series are withdrawn "
            "when it is too long.",
            "s",
            4,
            4,
            alerts=("ImsExporterDataStale", "ImsExporterTargetDown"),
            steps={LIMITS.data_stale_seconds / 2: YELLOW, LIMITS.data_stale_seconds: RED},
        ),
        Query(age(f"min({value('ims_exporter_last_success_timestamp_seconds')})")),
    )


def targets() -> list[Panel]:
    """Returns the table of everything, and what happens in each account and region."""
    by = "account, region_id, job_type"
    exprs = {state: total(by, value("ims_smart_jobs", f'job_state="{state}"')) for state in STATES}
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
                9,
                alerts=("ImsSmartJobFailed", "ImsSmartJobStuck"),
                failures=True,
            ),
            exprs,
            {"Oldest open": "s"},
        ),
        graph(
            About("Ended by account and region", "Jobs that ended, well or not, a minute.", "cpm", 8, 9),
            Query(per_minute("account, region_id"), "{{account}} / {{region_id}}"),
            stacked=True,
        ),
    ]


def failures() -> list[Panel]:
    """Returns what fails, how often, why and which job."""
    return [failures_over_time("job_type"), ratio_over_time("job_type"), reasons()]


def failures_over_time(by: str, width: int = 8) -> Panel:
    """Returns the failures, with the failed jobs as exemplars."""
    return graph(
        About(
            "Failures",
            "Jobs that failed in each step. The diamonds are exemplars: each names a failed job by its job_id "
            "(needs Prometheus with --enable-feature=exemplar-storage).",
            "short",
            width,
            alerts=("ImsSmartJobFailed",),
            failures=True,
        ),
        Query(total(by, increase("ims_smart_jobs_ended_total", FAILED)), f"{{{{{by}}}}}", exemplar=True),
        bars=True,
    )


def ratio_over_time(by: str, width: int = 8) -> Panel:
    """Returns the failed share over time."""
    return graph(
        About(
            "Failure ratio",
            "Failed share of the jobs that ended, in a window that moves along; a gap is where none ended.",
            "percentunit",
            width,
            alerts=("ImsSmartJobFailureRatioHigh",),
            failures=True,
            steps={LIMITS.failure_ratio: RED},
        ),
        Query(ratio(by, "10m"), f"{{{{{by}}}}}"),
    )


def reasons(width: int = 8) -> Panel:
    """Returns why jobs failed."""
    return ranking(
        About(
            "Reasons",
            "Failures by the service's error code in the shown time range (or since the first start, where "
            "Prometheus knows nothing older): the ten most frequent. Unknown: not fetched, because failure_details "
            "is off or ice:GetSmartHandleJob not granted.",
            "short",
            width,
            alerts=("ImsSmartJobFailed",),
            failures=True,
            steps={1: ORANGE},
        ),
        Query(
            f"sort_desc(topk(10, {total('error_code', risen('ims_smart_job_failures_total', RANGE))} > 0))",
            "{{error_code}}",
        ),
    )


def throughput() -> list[Panel]:
    """Returns what comes, what goes and what is left."""
    return [flow(), throughput_by_type(), backlog("job_type"), oldest_by_type()]


def flow(width: int = 6) -> Panel:
    """Returns jobs created, ended and deleted."""
    return graph(
        About(
            "Created and ended",
            "Jobs created, ended well, ended in an error and deleted while open, a minute. More created than ended "
            "for long means a growing backlog.",
            "cpm",
            width,
        ),
        Query(f"60 * {total('', rate('ims_smart_jobs_created_total'))}", "created"),
        Query(f"60 * {total('', rate('ims_smart_jobs_ended_total', FINISHED))}", "finished"),
        Query(f"60 * {total('', rate('ims_smart_jobs_ended_total', FAILED))}", "failed"),
        Query(f"60 * {total('', rate('ims_smart_jobs_deleted_total'))}", "deleted"),
    )


def throughput_by_type() -> Panel:
    """Returns how many jobs of each type end."""
    return graph(
        About("Throughput by type", "Jobs that ended, well or not, a minute.", "cpm", 6),
        Query(per_minute("job_type"), "{{job_type}}"),
        stacked=True,
    )


def per_minute(by: str) -> str:
    """Returns the ended jobs a minute."""
    return f"60 * {total(by, rate('ims_smart_jobs_ended_total'))}"


def backlog(by: str, width: int = 6) -> Panel:
    """Returns the open jobs over time."""
    return graph(
        About(
            "Backlog",
            "Jobs that wait (Created) or run (Executing).",
            "short",
            width,
            alerts=("ImsSmartJobStuck",),
        ),
        Query(total(by, value("ims_smart_jobs", OPEN)), f"{{{{{by}}}}}"),
        stacked=True,
    )


def oldest_by_type() -> Panel:
    """Returns the age of the oldest open job of each type, red where its alert fires."""
    return ranking(
        About(
            "Oldest open job by type",
            "Age since creation; red from where the alert of the type fires.",
            "s",
            6,
            alerts=("ImsSmartJobStuck",),
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
        ),
        quantiles(FINISHED, "Duration of finished jobs"),
        heat_of_durations(),
    ]


def quantiles(matcher: str, title: str, width: int = 8) -> Panel:
    """Returns the quantiles of durations."""
    return graph(
        About(
            title,
            "Quantiles of the time from creation to end, estimated from the histogram; a gap is where none ended.",
            "s",
            width,
        ),
        *(Query(quantile(share, rate(DURATION, matcher)), f"p{share * 100:g}") for share in (0.5, 0.9, 0.99)),
    )


def heat_of_durations(width: int = 8) -> Panel:
    """Returns the heatmap of durations."""
    return heat(
        About("Durations of ended jobs", "How many jobs took how long from creation to end.", "s", width),
        total("le", increase(DURATION, window=STEP)),
    )
