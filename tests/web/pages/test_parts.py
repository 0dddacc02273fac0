"""Moments, spans, counts and lines are short and say what they mean."""

from __future__ import annotations

import pytest

from exporter.web.pages.parts import ago, at, close_span, count, span, sparkline, table
from tests.support.rendered_page import Seen
from tests.support.scenarios import NOW


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(-5, "0 s"), (0, "0 s"), (59.9, "59 s"), (60, "1 min"), (7199, "1 h"), (200_000, "2 d")],
)
def test_spans_are_short(seconds: float, text: str) -> None:
    """A span is told in its largest unit; the clock of another machine may be ahead."""
    assert span(seconds) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-5, "0 s"),
        (30, "30 s"),
        (60, "1 min"),
        (9000, "2 h 30 min"),
        (7230, "2 h"),
        (90_000, "1 d 1 h"),
        (86_400, "1 d"),
    ],
)
def test_spans_to_compare(seconds: float, text: str) -> None:
    """A span that is compared has two units, the second one only where there is some of it."""
    assert close_span(seconds) == text


def test_ages_carry_their_moment() -> None:
    """An age has the exact moment for machines and as a tooltip; what has not happened yet was never."""
    exact = "2027-01-15T07:59:00Z"

    assert ago(NOW - 60, NOW) == f'<time datetime="{exact}" title="{exact}">1 min ago</time>'
    assert at(NOW - 60) == f'<time datetime="{exact}">2027-01-15 07:59:00</time>'
    assert ago(None, NOW) == "never"


def test_counts_are_readable() -> None:
    """Thousands stand apart, and a zero stays in the background."""
    assert count(12345678) == "12,345,678"
    assert count(0) == '<span class="zero">0</span>'


def test_line_runs_from_lowest_to_highest() -> None:
    """A line fills its box, in the distances of time, and says its range to those who do not see it."""
    found = sparkline([(0.0, 10), (45.0, 30), (60.0, 20)], "failed")

    assert '<polyline points="0.0,17.0 54.0,1.0 72.0,9.0"/>' in found
    assert 'class="spark failed"' in found
    assert 'role="img" aria-label="10 to 30 in the last 1 min"' in found


def test_level_line_is_silent() -> None:
    """A count that has not moved is a pale line that nobody is told about."""
    found = sparkline([(0.0, 7), (60.0, 7)])

    assert 'class="spark flat"' in found
    assert 'aria-hidden="true"' in found
    assert '<polyline points="0.0,17.0 72.0,17.0"/>' in found


@pytest.mark.parametrize("points", [[], [(0.0, 1)], [(5.0, 1), (5.0, 2)], [(9.0, 1), (5.0, 2)]])
def test_no_line_without_time(points: list[tuple[float, int]]) -> None:
    """A single point, or a clock that was set back, draws nothing."""
    assert sparkline(points) == ""


def test_table_is_named_and_reachable() -> None:
    """A table may be scrolled by keyboard, has a name, and stays a table where it is shown as cards."""
    seen = Seen(table('Jobs of "x"', "cards", ("A", "B"), ()))

    assert seen.of("div") == [
        {"class": "wide", "role": "region", "aria-label": 'Jobs of "x"', "tabindex": "0"},
    ]
    assert seen.of("th") == [{"scope": "col", "role": "columnheader"}] * 2
