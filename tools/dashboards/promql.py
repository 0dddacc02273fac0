"""PromQL for the dashboards: selected by the variables, and not doubled by replicas or redeploys."""

from __future__ import annotations

from exporter.jobs import states
from exporter.jobs.kinds import KINDS
from exporter.metrics.table import METRICS

STEP = "$__rate_interval"
"""The window of a rate over time."""
RANGE = "$__range"
"""The time range of the dashboard."""

FAILED = f'job_state="{states.FAILED}"'
FINISHED = f'job_state="{states.FINISHED}"'
STATES = tuple(state for state in states.JOB_STATES if any(state in kind.job_states for kind in KINDS.values()))
"""The states that the jobs of at least one job kind can have."""
OPEN_STATES = tuple(state for state in STATES if state in states.OPEN_STATES)
OPEN = f'job_state=~"{"|".join(OPEN_STATES)}"'
ENDED = f'job_state=~"{"|".join(state for state in STATES if state in states.ENDED_STATES)}"'
JOB_TYPES = tuple(job_type for kind in KINDS.values() for job_type in kind.known_types)
"""The known job types of all job kinds."""

VARIABLES = ("account", "region_id", "job_kind", "job_type")
LABELS = {metric.name: metric.labels for metric in METRICS}
METRIC_KINDS = {metric.name: metric.kind for metric in METRICS}


def select(metric: str, *matchers: str) -> str:
    """Returns a metric with a matcher per variable that is one of its labels; of a histogram, the buckets."""
    chosen = [f'{name}=~"${name}"' for name in VARIABLES if name in LABELS[metric]]
    inner = ",".join((*chosen, *matchers))
    name = f"{metric}_bucket" if METRIC_KINDS[metric] == "histogram" else metric
    return f"{name}{{{inner}}}" if inner else name


def once(metric: str, expr: str) -> str:
    """Returns the maximum by the labels of a metric, without the labels of the scrape target."""
    return f"max by ({', '.join(_labels(metric))}) ({expr})"


def value(metric: str, *matchers: str) -> str:
    """Returns the current value of a gauge or counter, the maximum over replicas."""
    return once(metric, select(metric, *matchers))


def lowest(metric: str, *matchers: str) -> str:
    """Returns the current value of a gauge, the minimum over replicas."""
    return f"min by ({', '.join(_labels(metric))}) ({select(metric, *matchers)})"


def rate(metric: str, *matchers: str, window: str = STEP) -> str:
    """Returns the rate of a counter of jobs, which every replica counts: the maximum over replicas."""
    return once(metric, f"rate({select(metric, *matchers)}[{window}])")


def increase(metric: str, *matchers: str, window: str = STEP) -> str:
    """Returns the increase of a counter of jobs, which every replica counts: the maximum over replicas."""
    return once(metric, f"increase({select(metric, *matchers)}[{window}])")


def own_rate(metric: str, *matchers: str, window: str = STEP) -> str:
    """Returns the rate of a counter of work, which adds up over replicas; to be summed."""
    return f"rate({select(metric, *matchers)}[{window}])"


def own_increase(metric: str, *matchers: str, window: str = RANGE) -> str:
    """Returns the increase of a counter of work, which adds up over replicas; to be summed."""
    return f"increase({select(metric, *matchers)}[{window}])"


def increase_with_new_series(metric: str, window: str, *, known: str = "") -> str:
    """Returns the increase of a counter within a window, including series that start within it above zero.

    A series without a value before the window counts from zero. For example, the first job with a new error code makes
    a series that starts at 1, an increase by 1. With `known`, a matcher of series that always exist, this holds only
    if the target had such a series before the window: otherwise a gap in the scrapes would be an increase.
    """
    now = value(metric)
    before = once(metric, f"{select(metric)} offset {window}")
    zero = f"0 * {now}"
    if known:
        existed = once(metric, f"{select(metric, known)} offset {window}")
        zero += f" and on (account, region_id, job_kind, job_type) {existed}"
    return f"clamp_min({now} - ({before} or {zero}), 0)"


def total(by: str, expr: str) -> str:
    """Returns the sum by labels, or the sum of all series if there are none."""
    return f"sum by ({by}) ({expr})" if by else f"sum({expr})"


def ratio(by: str, window: str) -> str:
    """Returns the failure ratio of the ended jobs; no value if no job ended."""
    failed = total(by, rate("ims_jobs_ended_total", FAILED, window=window))
    ended = total(by, rate("ims_jobs_ended_total", ENDED, window=window))
    return f"{failed} / ({ended} > 0)"


def quantile(share: float, buckets: str, by: str = "") -> str:
    """Returns a quantile of a histogram from the rates of its buckets."""
    labels = f"le, {by}" if by else "le"
    return f"histogram_quantile({share:g}, {total(labels, buckets)})"


def age(timestamp: str) -> str:
    """Returns the seconds since a timestamp."""
    return f"time() - {timestamp}"


def _labels(metric: str) -> tuple[str, ...]:
    """Returns the labels of a metric, or `instance` if it has none."""
    bucket = ("le",) if METRIC_KINDS[metric] == "histogram" else ()
    return (*LABELS[metric], *bucket) or ("instance",)
