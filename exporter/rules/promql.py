"""PromQL as the bundled rules write it: selected series, durations, aggregation over replicas."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

UNITS = ((86400, "d"), (3600, "h"), (60, "m"), (1, "s"))
REPLICAS = "without (instance, pod)"
"""Labels that differ between replicas and change with a redeploy: no alert depends on them."""


@dataclass(frozen=True, slots=True)
class Series:
    """Writes selectors; `selector` is added to each, such as `namespace="media"`, without braces."""

    selector: str = ""

    def __call__(self, metric: str, *matchers: str) -> str:
        """Returns a metric with its matchers, for example `up{job="x"}`."""
        inner = ",".join(part for part in (*matchers, self.selector) if part)
        return f"{metric}{{{inner}}}" if inner else metric


def highest(expr: str) -> str:
    """Returns the largest value over replicas and redeploys."""
    return f"max {REPLICAS} ({expr})"


def lowest(expr: str) -> str:
    """Returns the smallest value over replicas and redeploys."""
    return f"min {REPLICAS} ({expr})"


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


def before(counter: str, window_seconds: int, catchup_seconds: int) -> str:
    """Returns a counter's highest value before a window, which may be on the other side of an outage or redeploy."""
    return highest(f"max_over_time({counter}[{duration(catchup_seconds)}] offset {duration(window_seconds)})")


def risen(counter: str, window_seconds: int, catchup_seconds: int) -> tuple[str, str]:
    """Returns by how much a counter rose in a window, told in two ways that complete each other.

    The first compares it with its highest value before the window; it is negative after a lost ledger and absent
    after a first start. The second compares each series with its own lowest value in the window. Neither takes a
    series that starts, at any value, for a rise.
    """
    over_outages = f"{highest(counter)} - {before(counter, window_seconds, catchup_seconds)}"
    return over_outages, highest(f"{counter} - min_over_time({counter}[{duration(window_seconds)}])")


def duration(seconds: int) -> str:
    """Returns whole seconds the way PromQL and people write them, for example `10m` or `90s`."""
    size, unit = next((size, unit) for size, unit in UNITS if seconds % size == 0)
    return f"{seconds // size}{unit}"
