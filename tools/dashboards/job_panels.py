"""The panels about jobs that several dashboards show."""

from __future__ import annotations

from typing import TYPE_CHECKING

from exporter.jobs.states import CREATED, EXECUTING
from exporter.rules import Thresholds
from tools.dashboards.panels import ORANGE, RED, YELLOW, About, Query, graph, heat, number, ranking
from tools.dashboards.promql import (
    FAILED,
    FINISHED,
    JOB_TYPES,
    OPEN_STATES,
    RANGE,
    STEP,
    age,
    increase,
    increase_with_new_series,
    lowest,
    quantile,
    rate,
    ratio,
    total,
    value,
)

if TYPE_CHECKING:
    from tools.dashboards.panels import Panel

LIMITS = Thresholds()
HOUR = "1h"
OLDEST = "ims_job_oldest_open_timestamp_seconds"
DURATION = "ims_job_duration_seconds"
RECENT = "ims_jobs_failed_recent"
RATIO_ALERTS = ("ImsJobFailureRatioHigh", "ImsJobFailureRatioCritical", "ImsJobFailureBudgetBurn")
QUEUE_ALERTS = ("ImsJobStuck", "ImsJobQueueNotDraining", "ImsJobNothingFinishes")
QUANTILES = ("p50", "p90", "p99")
FLOWS = ("created", "finished", "failed", "deleted")


def failed_now(width: int) -> Panel:
    """Returns the number of jobs that failed during the last hour."""
    return number(
        About(
            "Failed in the last hour",
            "Jobs that failed during the last hour. No data until the first survey is complete.",
            "short",
            width,
            4,
            alerts=("ImsJobFailed",),
            failures=True,
            steps={1: ORANGE},
        ),
        Query(total("", value(RECENT, 'window="1h"'))),
    )


def ratio_now(width: int) -> Panel:
    """Returns the failure ratio of the last hour."""
    return number(
        About(
            "Failure ratio, last hour",
            "Failed share of the jobs that ended during the last hour; no data if none ended. Red above the "
            "threshold of the alert.",
            "percentunit",
            width,
            4,
            alerts=RATIO_ALERTS,
            failures=True,
            steps={LIMITS.failure_ratio / 2: YELLOW, LIMITS.failure_ratio: RED},
        ),
        Query(ratio("", HOUR)),
    )


def open_now(width: int) -> list[Panel]:
    """Returns the number of waiting jobs and of running jobs."""
    titles = {CREATED: "Waiting", EXECUTING: "Running"}
    return [
        number(
            About(title, f"Jobs in state {state}, of any age.", "short", width, 4),
            Query(total("", value("ims_jobs", f'job_state="{state}"'))),
        )
        for state, title in titles.items()
    ]


def oldest_now(width: int) -> Panel:
    """Returns the age of the oldest open job."""
    return number(
        About(
            "Oldest open job",
            "Age of the oldest job that is waiting or running, since its creation; no data if none is open.",
            "s",
            width,
            4,
            alerts=QUEUE_ALERTS,
            steps={min(LIMITS.stuck_seconds.values()): YELLOW, max(LIMITS.stuck_seconds.values()): RED},
        ),
        Query(age(f"min({lowest(OLDEST)})")),
    )


def data_age() -> Panel:
    """Returns the age of the oldest data of all targets."""
    return number(
        About(
            "Oldest data",
            "Maximum time since the last successful poll of a target. Stale job series are withdrawn.",
            "s",
            4,
            4,
            alerts=("ImsExporterDataStale", "ImsExporterTargetDown"),
            steps={LIMITS.data_stale_seconds / 2: YELLOW, LIMITS.data_stale_seconds: RED},
        ),
        Query(age(f"min({value('ims_exporter_last_success_timestamp_seconds')})")),
    )


def failures_over_time(by: str, legend: str, width: int = 8) -> Panel:
    """Returns the failures over time, with the failed jobs as exemplars."""
    return graph(
        About(
            "Failures",
            "Failed jobs per step. The diamonds are exemplars with the job_id of a failed job "
            "(Prometheus needs --enable-feature=exemplar-storage).",
            "short",
            width,
            alerts=("ImsJobFailed",),
            failures=True,
        ),
        Query(total(by, increase("ims_jobs_ended_total", FAILED)), legend, exemplar=True),
        bars=True,
        names=names(by),
    )


def ratio_over_time(by: str, legend: str, width: int = 8) -> Panel:
    """Returns the failure ratio over time."""
    return graph(
        About(
            "Failure ratio",
            "Failed share of the jobs that ended within the last 10 minutes; no value if none ended.",
            "percentunit",
            width,
            alerts=RATIO_ALERTS,
            failures=True,
            steps={LIMITS.failure_ratio: RED},
        ),
        Query(ratio(by, "10m"), legend),
        names=names(by),
    )


def reasons(width: int = 8) -> Panel:
    """Returns the most frequent error codes."""
    failures = total("error_code", increase_with_new_series("ims_job_failures_total", RANGE))
    return ranking(
        About(
            "Error codes",
            "The ten most frequent error codes within the time range, or since the first start if Prometheus has "
            "no older data. Unknown: failure_details is off, or the permission to read job details is missing.",
            "short",
            width,
            alerts=("ImsJobFailureReasonDominates",),
            failures=True,
            steps={1: ORANGE},
        ),
        Query(
            f"sort_desc(topk(10, {failures} > 0))",
            "{{error_code}}",
        ),
    )


def flow(width: int = 6) -> Panel:
    """Returns the rates at which jobs are created, end and are deleted."""
    return graph(
        About(
            "Created and ended",
            "Jobs created, finished, failed, and deleted while open, per minute. If more jobs are created than end, "
            "the backlog grows.",
            "cpm",
            width,
        ),
        Query(f"60 * {total('', rate('ims_jobs_created_total'))}", "created"),
        Query(f"60 * {total('', rate('ims_jobs_ended_total', FINISHED))}", "finished"),
        Query(f"60 * {total('', rate('ims_jobs_ended_total', FAILED))}", "failed"),
        Query(f"60 * {total('', rate('ims_jobs_deleted_total'))}", "deleted"),
        names=FLOWS,
    )


def per_minute(by: str) -> str:
    """Returns the ended jobs per minute."""
    return f"60 * {total(by, rate('ims_jobs_ended_total'))}"


def quantiles(matcher: str, title: str, width: int = 8) -> Panel:
    """Returns the quantiles of job durations."""
    return graph(
        About(
            title,
            "Quantiles of the time from creation to end, estimated from the histogram; no value if no job ended.",
            "s",
            width,
        ),
        *(Query(quantile(share, rate(DURATION, matcher)), f"p{share * 100:g}") for share in (0.5, 0.9, 0.99)),
        names=QUANTILES,
    )


def heat_of_durations(width: int = 8) -> Panel:
    """Returns the heatmap of job durations."""
    return heat(
        About("Durations of ended jobs", "Number of jobs by the time from creation to end.", "s", width),
        total("le", increase(DURATION, window=STEP)),
    )


def names(by: str) -> tuple[str, ...]:
    """Returns the values of a label that have fixed colours."""
    return {"job_type": JOB_TYPES, "job_state": OPEN_STATES}.get(by, ())
