"""Sparklines run from the lowest to the highest count, on the time axis of the target's history."""

from __future__ import annotations

import pytest

from exporter.jobs.snapshot import PastCounts
from exporter.web.pages.sparklines import Sparkline, sparklines

PAIR = ("ASR", "Failed")
OTHER = ("ASR", "Finished")


def line(*counts: tuple[float, int]) -> Sparkline | None:
    """Returns the line of a history that has one pair only."""
    return sparklines([PastCounts(time, {PAIR: count}) for time, count in counts]).get(PAIR)


def test_line_runs_from_lowest_to_highest() -> None:
    """A line fills its box, its points as far apart as the polls in time, and its label has the range."""
    assert line((0.0, 10), (45.0, 30), (60.0, 20)) == Sparkline(
        "0.0,17.0 54.0,1.0 72.0,9.0", "10 to 30 in the last 1 min"
    )


def test_level_line_has_no_label() -> None:
    """A count that did not change is a line of two points that screen readers skip."""
    assert line((0.0, 7), (30.0, 7), (60.0, 7)) == Sparkline("0.0,17.0 72.0,17.0", "")


@pytest.mark.parametrize("counts", [[], [(0.0, 1)], [(5.0, 1), (5.0, 2)], [(9.0, 1), (5.0, 2)]])
def test_no_line_without_time(counts: list[tuple[float, int]]) -> None:
    """A single poll, or a clock that was set back, draws nothing."""
    assert line(*counts) is None


def test_lines_share_the_time_axis() -> None:
    """A count that became known later starts where it became known; one that was known once has no line."""
    once = ("Avatar", "Failed")
    history = [
        PastCounts(0.0, {PAIR: 1}),
        PastCounts(30.0, {PAIR: 2, OTHER: 5, once: 1}),
        PastCounts(60.0, {PAIR: 3, OTHER: 6}),
    ]

    assert sparklines(history) == {
        PAIR: Sparkline("0.0,17.0 36.0,9.0 72.0,1.0", "1 to 3 in the last 1 min"),
        OTHER: Sparkline("36.0,17.0 72.0,1.0", "5 to 6 in the last 30 s"),
    }
