"""What the pages are made of: tables, moments, spans, counts, sparklines, as HTML that is escaped already."""

from __future__ import annotations

from datetime import UTC, datetime
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from exporter.jobs.snapshot import PollKey

UNITS = ((86400, "d"), (3600, "h"), (60, "min"), (1, "s"))
SPARK_WIDTH, SPARK_HEIGHT = 72, 18


def table(label: str, kind: str, heads: Sequence[str], rows: Iterable[str]) -> str:
    """Returns a table that scrolls sideways, by keyboard too, where the screen is narrow.

    With kind `cards` a narrow screen shows each row as a card; the roles keep it a table for screen readers.
    """
    head = "".join(f'<th scope="col" role="columnheader">{escape(name)}</th>' for name in heads)
    name = escape(label)
    return "\n".join(
        (
            f'<div class="wide" role="region" aria-label="{name}" tabindex="0">',
            f'<table class="{kind}" role="table" aria-label="{name}">',
            f'<thead role="rowgroup"><tr role="row">{head}</tr></thead>',
            '<tbody role="rowgroup">',
            *rows,
            "</tbody>",
            "</table></div>",
        )
    )


def row(heads: Sequence[str], head: str, cells: Iterable[str]) -> str:
    """Returns a row: its head, and one cell for each further column."""
    labelled = zip(heads[1:], cells, strict=True)
    rest = "".join(f'<td role="cell" data-label="{escape(name)}">{cell}</td>' for name, cell in labelled)
    return f'<tr role="row"><th scope="row" role="rowheader">{head}</th>{rest}</tr>'


def error_row(columns: int, text: str) -> str:
    """Returns a row with what is wrong with the row above."""
    return f'<tr role="row"><td role="cell" class="error" colspan="{columns}">{escape(text)}</td></tr>'


def facts(pairs: Iterable[tuple[str, str]]) -> str:
    """Returns a list of names and what holds for them."""
    return f"<dl>{''.join(f'<dt>{escape(name)}</dt><dd>{value}</dd>' for name, value in pairs)}</dl>"


def sums(pairs: Iterable[tuple[str, str]]) -> str:
    """Returns the few numbers that tell most, in large type."""
    items = "".join(f"<div><dt>{escape(name)}</dt><dd>{value}</dd></div>" for name, value in pairs)
    return f'<dl class="sum">{items}</dl>'


def target(key: PollKey) -> str:
    """Returns account and region."""
    place = f"{escape(key.region_id)} {escape(key.job_kind)}"
    return f'<span class="target">{escape(key.account)} <small>{place}</small></span>'


def count(number: int) -> str:
    """Returns a number of things, its thousands apart, a zero in the background."""
    return f"{number:,}" if number else '<span class="zero">0</span>'


def iso(moment: float) -> str:
    """Returns a moment in ISO 8601, UTC, to the second."""
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def span(seconds: float) -> str:
    """Returns a span of time in its largest unit, rounded down; the clock of another machine may be ahead."""
    whole = max(0, int(seconds))
    size, unit = next(((size, unit) for size, unit in UNITS if whole >= size), UNITS[-1])
    return f"{whole // size} {unit}"


def close_span(seconds: float) -> str:
    """Returns a span in its two largest units, for spans that are compared."""
    (size, _), *smaller = [unit for unit in UNITS if seconds >= unit[0]] or [UNITS[-1]]
    rest = seconds % size
    return f"{span(seconds)} {span(rest)}" if smaller and rest >= smaller[0][0] else span(seconds)


def ago(moment: float | None, now: float) -> str:
    """Returns how long ago a moment was, with the moment itself as tooltip."""
    if moment is None:
        return "never"
    return f'<time datetime="{iso(moment)}" title="{iso(moment)}">{span(now - moment)} ago</time>'


def at(moment: float) -> str:
    """Returns a moment as date and time of day, UTC."""
    return f'<time datetime="{iso(moment)}">{iso(moment)[:-1].replace("T", " ")}</time>'


def sparkline(points: Sequence[tuple[float, int]], kind: str = "") -> str:
    """Returns a small line over (time, count), from its lowest to its highest; nothing for fewer than two points."""
    if len(points) < 2 or points[-1][0] <= points[0][0]:  # noqa: PLR2004 - a line has two ends
        return ""
    low, high = min(number for _, number in points), max(number for _, number in points)
    line = f'<polyline points="{_line(points, low, high)}"/>'
    box = f'viewBox="0 0 {SPARK_WIDTH} {SPARK_HEIGHT}" preserveAspectRatio="none"'
    if low == high:
        return f'<svg class="spark flat" {box} aria-hidden="true">{line}</svg>'
    label = f"{low:,} to {high:,} in the last {span(points[-1][0] - points[0][0])}"
    return f'<svg class="spark {kind}" {box} role="img" aria-label="{label}"><title>{label}</title>{line}</svg>'


def _line(points: Sequence[tuple[float, int]], low: int, high: int) -> str:
    start, length = points[0][0], points[-1][0] - points[0][0]
    tallest = SPARK_HEIGHT - 2
    rise = tallest / ((high - low) or 1)
    return " ".join(
        f"{(moment - start) / length * SPARK_WIDTH:.1f},{1 + tallest - (number - low) * rise:.1f}"
        for moment, number in points
    )
