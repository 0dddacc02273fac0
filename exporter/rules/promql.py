"""PromQL as the bundled rules write it: selected series, durations, aggregation over replicas."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

UNITS = ((86400, "d"), (3600, "h"), (60, "m"), (1, "s"))
REPLICAS = ("instance", "pod", "node", "pod_template_hash", "controller_revision_hash")
"""Labels that differ between replicas or change with a redeploy: no alert depends on them."""


@dataclass(frozen=True, slots=True)
class Series:
    """Writes selectors; `selector` is added to each, such as `namespace="media"`, without braces."""

    selector: str = ""

    def __call__(self, metric: str, *matchers: str) -> str:
        """Returns a metric with its matchers, for example `up{job="x"}`."""
        inner = ",".join(part for part in (*matchers, self.selector) if part)
        return f"{metric}{{{inner}}}" if inner else metric


@dataclass(frozen=True, slots=True)
class Counter:
    """A counter's series: `each` replica's, the `highest` of them as recorded, and those of the latter born `late`.

    The late ones begin with what they count first; the labels `new` tell them from the others of their target.
    """

    each: str
    highest: str
    late: str
    new: str


def without(*labels: str) -> str:
    """Returns the clause that aggregates over replicas and redeploys, and over more labels."""
    return f"without ({', '.join((*labels, *REPLICAS))})"


def highest(expr: str, *labels: str) -> str:
    """Returns the largest value over replicas and redeploys, and over more labels."""
    return f"max {without(*labels)} ({expr})"


def lowest(expr: str) -> str:
    """Returns the smallest value over replicas and redeploys."""
    return f"min {without()} ({expr})"


def lasting(series: str, gap_seconds: int) -> str:
    """Returns the largest value over replicas, or the last known one in the gap that a restart leaves."""
    return any_of(highest(series), highest(f"last_over_time({series}[{duration(gap_seconds)}])"))


def any_of(*exprs: str) -> str:
    """Returns the union of vectors; of two with the same labels the first one wins."""
    return "\nor\n".join(exprs)


def all_of(*exprs: str) -> str:
    """Returns the first vector where all the others have something with the same labels."""
    return "\nand\n".join(exprs)


def each_type(limits: Mapping[str, int], other: int, expr: Callable[[str, int], str]) -> str:
    """Returns the union over job types, each with its limit, and one for all other types; `expr` takes a matcher."""
    named = [expr(f'job_type="{job_type}"', limit) for job_type, limit in limits.items()]
    return any_of(*named, expr(f'job_type!~"{"|".join(limits)}"', other))


def risen(counter: Counter, window_seconds: int, catchup_seconds: int) -> str:
    """Returns by how much a counter rose in a window, told in four ways, of which the largest is right.

    Against its highest value before the window, over whatever outage or redeploy; as a series that was born in it; and,
    for the time after a lost ledger, each series by itself, within the window and over a gap of up to an hour. None
    takes the start of a target's series, at any value, for a rise, and none needs a series to be there now: a rise
    stays for the whole window, whether the series does or not.
    """
    window = duration(window_seconds)
    within, before, lately = f"[{window}]", f"[{duration(catchup_seconds)}] offset {window}", f"[1h] offset {window}"
    others = f"sum without ({counter.new}) (max_over_time({counter.highest}{lately}))"
    return _largest(
        f"max_over_time({counter.highest}{within}) - max_over_time({counter.highest}{before})",
        f"(max_over_time({counter.late}{within}) unless max_over_time({counter.late}{before}))"
        f" and ignoring ({counter.new}) {others}",
        f"last_over_time({counter.each}{within}) - min_over_time({counter.each}{within})",
        f"last_over_time({counter.each}{within}) - last_over_time({counter.each}{lately})",
    )


def _largest(*ways: str) -> str:
    """Returns the largest of several vectors and over replicas."""
    told = (f'  label_replace({expr}, "way", "{way}", "", "")' for way, expr in enumerate(ways, 1))
    return highest("\n{}\n".format("\n  or\n".join(told)), "way")


def duration(seconds: int) -> str:
    """Returns whole seconds the way PromQL and people write them, for example `10m` or `90s`."""
    size, unit = next((size, unit) for size, unit in UNITS if seconds % size == 0)
    return f"{seconds // size}{unit}"
