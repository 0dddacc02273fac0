"""A measured figure: its repetitions, their median and spread, and the goal it may have."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

HEAD = "| figure | median | min..max | unit | goal |\n|---|---:|---:|---|---|\n"
LARGE = 100


@dataclass(frozen=True, slots=True)
class Figure:
    """One row of the table; `at_least` or `at_most` is the goal for the median."""

    name: str
    unit: str
    values: tuple[float, ...]
    at_least: float | None = None
    at_most: float | None = None

    @property
    def is_missed(self) -> bool:
        """Whether there is a goal, and the median is below or above it."""
        middle = median(self.values)
        too_little = self.at_least is not None and middle < self.at_least
        return too_little or (self.at_most is not None and middle > self.at_most)

    def row(self) -> str:
        """Returns the figure as a row of the table under `HEAD`."""
        spread = f"{number(min(self.values))}..{number(max(self.values))}" if len(self.values) > 1 else ""
        verdict = "FAIL" if self.is_missed else "PASS"
        bounds = (("at least", self.at_least), ("at most", self.at_most))
        goal = "".join(f"{words} {number(bound)}: {verdict}" for words, bound in bounds if bound is not None)
        return f"| {self.name} | {number(median(self.values))} | {spread} | {self.unit} | {goal} |\n"


def number(value: float) -> str:
    """Returns a number with three significant digits, or as a whole number from 100."""
    return f"{value:,.0f}" if abs(value) >= LARGE else f"{value:.3g}"


def ratios(
    name: str,
    above: Sequence[float],
    below: Sequence[float],
    at_least: float | None = None,
    *,
    at_most: float | None = None,
) -> Figure:
    """Returns the ratio of each pair of repetitions: a slow phase of the machine affects both values of a pair."""
    return Figure(name, "ratio", tuple(a / b for a, b in zip(above, below, strict=True)), at_least, at_most)


def milliseconds(name: str, seconds: Iterable[float], pieces: int = 1, *, at_most: float | None = None) -> Figure:
    """Returns a figure in milliseconds per piece of work."""
    return Figure(name, "ms", tuple(1000 * value / pieces for value in seconds), at_most=at_most)
