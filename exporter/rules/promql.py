"""PromQL for the bundled rules: selectors, durations, aggregation over replicas, increases across gaps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

UNITS = ((86400, "d"), (3600, "h"), (60, "m"), (1, "s"))
REPLICA_LABELS = ("instance", "pod", "node", "pod_template_hash", "controller_revision_hash")
"""Labels that differ between replicas or change with a redeploy; the rules aggregate over them."""


@dataclass(frozen=True, slots=True)
class Series:
    """Writes selectors; `selector` is added to each of them, such as `namespace="media"`, without braces."""

    selector: str = ""

    def __call__(self, metric: str, *matchers: str) -> str:
        """Returns a metric with its matchers, for example `up{job="x"}`."""
        inner = ",".join(part for part in (*matchers, self.selector) if part)
        return f"{metric}{{{inner}}}" if inner else metric


@dataclass(frozen=True, slots=True)
class Counter:
    """Selectors of a counter whose increase is calculated."""

    raw: str
    """The series of every replica, as scraped."""
    recorded: str
    """The recorded maximum over the replicas."""
    recorded_late: str
    """The recorded series that may start late, such as those of an unknown job type; they start above zero."""
    late_labels: str
    """The labels that distinguish a late series from the other series of its poll target."""


def without(*labels: str) -> str:
    """Returns the clause that aggregates over replicas, and over these labels."""
    return f"without ({', '.join((*labels, *REPLICA_LABELS))})"


def highest(expr: str, *labels: str) -> str:
    """Returns the maximum over replicas, and over these labels."""
    return f"max {without(*labels)} ({expr})"


def lowest(expr: str, *labels: str) -> str:
    """Returns the minimum over replicas, and over these labels."""
    return f"min {without(*labels)} ({expr})"


def last_known(series: str, gap_seconds: int) -> str:
    """Returns the maximum over replicas; during a gap of up to `gap_seconds`, such as a restart, the last value."""
    return any_of(highest(series), highest(f"last_over_time({series}[{duration(gap_seconds)}])"))


def any_of(*exprs: str) -> str:
    """Returns the union of vectors; of elements with the same labels the first one wins."""
    return "\nor\n".join(exprs)


def all_of(*exprs: str) -> str:
    """Returns the elements of the first vector that every other vector has, too, by their labels."""
    return "\nand\n".join(exprs)


def per_job_type(limits: Mapping[str, int], other: int, expr: Callable[[str, int], str]) -> str:
    """Returns the union of an expression per job type with its limit, and one for all other job types.

    `expr` takes a label matcher and the limit.
    """
    named = [expr(f'job_type="{job_type}"', limit) for job_type, limit in limits.items()]
    return any_of(*named, expr(f'job_type!~"{"|".join(limits)}"', other))


def increase(counter: Counter, window_seconds: int, catchup_seconds: int) -> str:
    """Returns the increase of a counter within a window, across restarts, outages and redeploys.

    `increase()` of PromQL misses what was counted between two series, and what a new series starts with. So the
    increase is calculated in four ways, and the largest result is used. With a window of 8m and a catch-up of 1d:

    1. Highest value within the window minus highest value of the day before. A counter at 20 before an outage of
       two hours and at 25 after it has increased by 5.
    2. The value of a late series that did not exist before the window, if its poll target did. The first job of an
       unknown type fails, and its series starts at 1: an increase by 1. The series of a new target are no increase.
    3. Last minus lowest value within the window, per raw series. After a lost ledger the counter restarts at 0, and
       ways 1 and 2 give nothing until it exceeds its old value: 0, 0, 1 is an increase by 1.
    4. Last value within the window minus last value of the hour before it, per raw series: as way 3, across a gap.

    No way needs the series to exist now: the increase is constant for the whole window, even if the series vanishes.
    """
    window = duration(window_seconds)
    within, before = f"[{window}]", f"[{duration(catchup_seconds)}] offset {window}"
    hour_before = f"[1h] offset {window}"
    siblings = f"sum without ({counter.late_labels}) (max_over_time({counter.recorded}{hour_before}))"
    new = f"max_over_time({counter.recorded_late}{within}) unless max_over_time({counter.recorded_late}{before})"
    ways = (
        f"max_over_time({counter.recorded}{within}) - max_over_time({counter.recorded}{before})",
        f"({new}) and ignoring ({counter.late_labels}) {siblings}",
        f"last_over_time({counter.raw}{within}) - min_over_time({counter.raw}{within})",
        f"last_over_time({counter.raw}{within}) - last_over_time({counter.raw}{hour_before})",
    )
    labelled = (f'  label_replace({expr}, "way", "{way}", "", "")' for way, expr in enumerate(ways, 1))
    return highest("\n{}\n".format("\n  or\n".join(labelled)), "way")


def duration(seconds: int) -> str:
    """Returns whole seconds as a PromQL duration in the largest unit that fits, for example `10m` or `90s`."""
    size, unit = next((size, unit) for size, unit in UNITS if seconds % size == 0)
    return f"{seconds // size}{unit}"
