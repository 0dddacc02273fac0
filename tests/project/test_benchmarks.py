"""The benchmarks run, print what they measure, and fail only if a goal is missed."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from benchmarks.results import TABLE_HEADER, Result, milliseconds, ratios
from tests.support.repository import ROOT

DOCUMENT = ROOT / "docs" / "benchmarks.md"
PATIENCE_SECONDS = 600
UNITS = {"calls", "ms", "ratio", "pages", "pages/s", "KiB", "MiB", "s"}


@pytest.fixture(scope="module")
def printed() -> str:
    """Returns the output of a quick run, in a process of its own because it configures logging."""
    command = [sys.executable, "-m", "benchmarks", "--quick"]
    done = subprocess.run(  # noqa: S603 - our own module
        command, cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def rows(text: str) -> list[list[str]]:
    """Returns the cells of a table's rows: figure, median, spread, unit, goal."""
    lines = text.partition(TABLE_HEADER)[2].splitlines()
    return [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines if "|" in line]


def names(text: str) -> set[str]:
    """Returns the results of a table, whatever their sizes."""
    return {re.sub("[0-9,]+", "N", row[0]).replace("targets", "target") for row in rows(text)}


@pytest.mark.process
def test_every_benchmark_runs(printed: str) -> None:
    """A quick run measures results of every unit, an idle poll of 1.2 calls among them, and meets the goal."""
    found = {name: (median, unit, goal) for name, median, _, unit, goal in rows(printed)}

    assert {unit for _, unit, _ in found.values()} == UNITS
    assert found["idle poll: list calls"] == ("1.2", "calls", "at most 1.3: PASS")
    assert found["list calls, plain loop / poll"][2] == "at least 2: PASS"
    assert printed.endswith("PASS: every goal is met\n")


@pytest.mark.process
def test_the_document_shows_every_figure(printed: str) -> None:
    """The table in docs/benchmarks.md has exactly the results that a run prints."""
    assert names(DOCUMENT.read_text()) == names(printed)


def test_ratios_are_taken_pair_by_pair() -> None:
    """A machine that slows down for one pair does not change the ratio."""
    assert ratios("a / b", [10.0, 40.0, 10.0], [5.0, 20.0, 5.0]).values == (2.0, 2.0, 2.0)


def test_a_row_tells_median_spread_and_unit() -> None:
    """A row has the median, minimum, maximum and unit of a figure; a single value has no spread."""
    assert milliseconds("m", [0.002, 0.008, 0.004], pieces=2).row() == "| m | 2 | 1..4 | ms |  |\n"
    assert Result("n", "calls", (2025,)).row() == "| n | 2,025 |  | calls |  |\n"


@pytest.mark.parametrize(
    ("at_least", "at_most", "is_missed"),
    [(None, None, False), (2.0, None, False), (2.1, None, True), (None, 2.0, False), (None, 1.9, True)],
)
def test_only_a_median_beyond_its_goal_misses_it(
    at_least: float | None, at_most: float | None, *, is_missed: bool
) -> None:
    """A figure misses its goal if its median is below the minimum or above the maximum."""
    result = Result("n", "ratio", (1.0, 2.0, 9.0), at_least, at_most)

    assert result.is_missed is is_missed
    assert ("FAIL" in result.row()) is is_missed
