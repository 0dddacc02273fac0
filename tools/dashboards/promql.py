"""PromQL as the dashboards write it: selected by the variables, and never doubled by replicas or redeploys."""

from __future__ import annotations

from exporter.jobs.kinds import SMART
from exporter.metrics.table import METRICS

STEP = "$__rate_interval"
"""The window of a rate over time."""
RANGE = "$__range"
"""The time range that the dashboard shows."""

FAILED = 'job_state="Failed"'
FINISHED = 'job_state="Finished"'
OPEN = f'job_state=~"{"|".join(SMART.open_states)}"'
ENDED = f'job_state=~"{"|".join(SMART.ended_states)}"'
STATES = (*SMART.open_states, *SMART.ended_states)

VARIABLES = ("account", "region_id", "job_kind", "job_type")
LABELS = {metric.name: metric.labels for metric in METRICS}
KINDS = {metric.name: metric.kind for metric in METRICS}


def select(metric: str, *matchers: str) -> str:
    """Returns a metric with a matcher for each variable that it has a label for; a histogram's are its buckets."""
    chosen = [f'{name}=~"${name}"' for name in VARIABLES if name in LABELS[metric]]
    inner = ",".join((*chosen, *matchers))
    name = f"{metric}_bucket" if KINDS[metric] == "histogram" else metric
    return f"{name}{{{inner}}}" if inner else name


def once(metric: str, expr: str) -> str:
    """Returns the largest value for each of a metric's own labels, whatever labels the scrape target adds."""
    return f"max by ({', '.join(_labels(metric))}) ({expr})"


def value(metric: str, *matchers: str) -> str:
    """Returns what a gauge, or a counter, is now."""
    return once(metric, select(metric, *matchers))


def lowest(metric: str, *matchers: str) -> str:
    """Returns what a gauge is now, the smallest over replicas."""
    return f"min by ({', '.join(_labels(metric))}) ({select(metric, *matchers)})"


def rate(metric: str, *matchers: str, window: str = STEP) -> str:
    """Returns a counter's rise a second; what each replica counts of the same jobs is counted once."""
    return once(metric, f"rate({select(metric, *matchers)}[{window}])")


def increase(metric: str, *matchers: str, window: str = STEP) -> str:
    """Returns a counter's rise in a window; what each replica counts of the same jobs is counted once."""
    return once(metric, f"increase({select(metric, *matchers)}[{window}])")


def own_rate(metric: str, *matchers: str, window: str = STEP) -> str:
    """Returns the rise a second of what every replica does for itself, which adds up; to be summed."""
    return f"rate({select(metric, *matchers)}[{window}])"


def own_increase(metric: str, *matchers: str, window: str = RANGE) -> str:
    """Returns the rise in a window of what every replica does for itself, which adds up; to be summed."""
    return f"increase({select(metric, *matchers)}[{window}])"


def risen(metric: str, window: str, *, known: str = "") -> str:
    """Returns a counter's rise in a window, also of series that start within it at any value.

    A series without a value before the window has risen from zero; with `known`, a matcher of series that are
    always there, only if the target had such a series then, so that a gap in the scrapes is no rise.
    """
    now = value(metric)
    before = once(metric, f"{select(metric)} offset {window}")
    zero = f"0 * {now}"
    if known:
        there = once(metric, f"{select(metric, known)} offset {window}")
        zero += f" and on (account, region_id, job_kind, job_type) {there}"
    return f"clamp_min({now} - ({before} or {zero}), 0)"


def total(by: str, expr: str) -> str:
    """Returns the sum by labels; over everything where there are none."""
    return f"sum by ({by}) ({expr})" if by else f"sum({expr})"


def ratio(by: str, window: str) -> str:
    """Returns the failed share of the ended jobs; nothing where no job ended."""
    failed = total(by, rate("ims_jobs_ended_total", FAILED, window=window))
    ended = total(by, rate("ims_jobs_ended_total", ENDED, window=window))
    return f"{failed} / ({ended} > 0)"


def quantile(share: float, buckets: str, by: str = "") -> str:
    """Returns a quantile of summed bucket rates."""
    labels = f"le, {by}" if by else "le"
    return f"histogram_quantile({share:g}, {total(labels, buckets)})"


def age(timestamp: str) -> str:
    """Returns how many seconds ago something was."""
    return f"time() - {timestamp}"


def _labels(metric: str) -> tuple[str, ...]:
    """Returns a metric's labels, `instance` where it has none that tell its series apart."""
    bucket = ("le",) if KINDS[metric] == "histogram" else ()
    return (*LABELS[metric], *bucket) or ("instance",)
