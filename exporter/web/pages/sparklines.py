"""Sparklines: the counts of the last polls of a target as small lines."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from exporter.web.pages.formatting import duration

if TYPE_CHECKING:
    from collections.abc import Sequence

    from exporter.jobs.snapshot import PastCounts

WIDTH, HEIGHT = 72, 18
"""The size of a sparkline in its own units; the style sheet scales it."""
TOP, BOTTOM = 1, HEIGHT - 1


@dataclass(frozen=True, slots=True)
class Sparkline:
    """The course of a count over time, from its lowest to its highest value."""

    view_box: ClassVar[str] = f"0 0 {WIDTH} {HEIGHT}"
    points: str
    """The points of an SVG polyline."""
    label: str
    """Lowest and highest count and the time between the first and the last; empty if the count did not change."""


def sparklines(history: Sequence[PastCounts]) -> dict[tuple[str, str], Sparkline]:
    """Returns the line of each (job type, job state) of a target's history, oldest first, on a common time axis.

    A line has at least two polls; if the clock was set back over the whole history, there are no lines.

    Example: counts of 10, 30 and 20 after 0, 45 and 60 seconds. A second is 72 / 60 = 1.2 units wide. SVG counts from
    the top, so the lowest count, 10, lies at 17 and the highest, 30, at 1: `0.0,17.0 54.0,1.0 72.0,9.0`.
    """
    if not history or history[-1].taken_at <= history[0].taken_at:
        return {}
    start = history[0].taken_at
    scale = WIDTH / (history[-1].taken_at - start)
    polls = [(past.taken_at, f"{(past.taken_at - start) * scale:.1f}", past.jobs) for past in history]
    pairs = {pair for past in history for pair in past.jobs}
    lines = {pair: _sparkline([(time, x, jobs[pair]) for time, x, jobs in polls if pair in jobs]) for pair in pairs}
    return {pair: line for pair, line in lines.items() if line}


def _sparkline(counts: Sequence[tuple[float, str, int]]) -> Sparkline | None:
    """Returns the line over (time, horizontal position, count)."""
    if len(counts) < 2:  # noqa: PLR2004 - a line has two ends
        return None
    (start, left, _), (end, right, _) = counts[0], counts[-1]
    distinct = {count for _, _, count in counts}
    low, high = min(distinct), max(distinct)
    if low == high:
        return Sparkline(f"{left},{BOTTOM:.1f} {right},{BOTTOM:.1f}", "")
    scale = (BOTTOM - TOP) / (high - low)
    heights = {count: f"{BOTTOM - (count - low) * scale:.1f}" for count in distinct}
    points = " ".join([f"{x},{heights[count]}" for _, x, count in counts])
    return Sparkline(points, f"{low:,} to {high:,} in the last {duration(end - start)}")
