"""The panels about jobs that more than one dashboard shows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from exporter.jobs.kinds import SMART
from exporter.rules import Thresholds
from tools.dashboards.panels import ORANGE, RED, YELLOW, About, Query, graph, heat, number, ranking
from tools.dashboards.promql import (
    FAILED,
    FINISHED,
    RANGE,
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
    """Returns how many jobs failed in the last hour."""
    return number(
        About(
            "Failed in the last hour",
            "Jobs whose end in state Failed is less than an hour ago; falls by itself. No data until the first "
            "survey is complete.",
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
    """Returns the failed share of the last hour."""
    return number(
        About(
            "Failure ratio, last hour",
            "Failed share of the jobs that ended in the last hour; no data if none ended. Red from where the "
            "alert fires.",
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
    """Returns how many jobs wait, and how many run."""
    texts = {"Created": ("Waiting", "wait for their start"), "Executing": ("Running", "run")}
    return [
        number(
            About(title, f"Jobs in state {state}, of any age, that {what}.", "short", width, 4),
            Query(total("", value("ims_jobs", f'job_state="{state}"'))),
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
            alerts=QUEUE_ALERTS,
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


def failures_over_time(by: str, legend: str, width: int = 8) -> Panel:
    """Returns the failures, with the failed jobs as exemplars."""
    return graph(
        About(
            "Failures",
            "Jobs that failed in each step. The diamonds are exemplars: each names a failed job by its job_id "
            "(needs Prometheus with --enable-feature=exemplar-storage).",
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
    """Returns the failed share over time."""
    return graph(
        About(
            "Failure ratio",
            "Failed share of the jobs that ended, in a window that moves along; a gap is where none ended.",
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
    """Returns why jobs failed."""
    return ranking(
        About(
            "Reasons",
            "Failures by the service's error code in the shown time range (or since the first start, where "
            "Prometheus knows nothing older): the ten most frequent. Unknown: not fetched, because failure_details "
            "is off or ice:GetSmartHandleJob not granted.",
            "short",
            width,
            alerts=("ImsJobFailureReasonDominates",),
            failures=True,
            steps={1: ORANGE},
        ),
        Query(
            f"sort_desc(topk(10, {total('error_code', risen('ims_job_failures_total', RANGE))} > 0))",
            "{{error_code}}",
        ),
    )


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
        Query(f"60 * {total('', rate('ims_jobs_created_total'))}", "created"),
        Query(f"60 * {total('', rate('ims_jobs_ended_total', FINISHED))}", "finished"),
        Query(f"60 * {total('', rate('ims_jobs_ended_total', FAILED))}", "failed"),
        Query(f"60 * {total('', rate('ims_jobs_deleted_total'))}", "deleted"),
        names=FLOWS,
    )


def per_minute(by: str) -> str:
    """Returns the ended jobs a minute."""
    return f"60 * {total(by, rate('ims_jobs_ended_total'))}"


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
        names=QUANTILES,
    )


def heat_of_durations(width: int = 8) -> Panel:
    """Returns the heatmap of durations."""
    return heat(
        About("Durations of ended jobs", "How many jobs took how long from creation to end.", "s", width),
        total("le", increase(DURATION, window=STEP)),
    )


def names(by: str) -> tuple[str, ...]:
    """Returns the values of a label that have colours of their own."""
    return {"job_type": SMART.job_types, "job_state": SMART.open_states}.get(by, ())
