"""Measured results: the repetitions, their median and spread, and the goal if there is one."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

TABLE_HEADER = "| figure | median | min..max | unit | goal |\n|---|---:|---:|---|---|\n"
WHOLE_FROM = 100
"""Numbers from here on are printed without decimals."""


@dataclass(frozen=True, slots=True)
class Result:
    """One row of the table; `at_least` or `at_most` is the goal of the median."""

    name: str
    unit: str
    values: tuple[float, ...]
    at_least: float | None = None
    at_most: float | None = None

    @property
    def is_missed(self) -> bool:
        """Whether the median misses its goal."""
        middle = median(self.values)
        too_little = self.at_least is not None and middle < self.at_least
        return too_little or (self.at_most is not None and middle > self.at_most)

    def row(self) -> str:
        """Returns a row of the table under `TABLE_HEADER`."""
        spread = f"{formatted(min(self.values))}..{formatted(max(self.values))}" if len(self.values) > 1 else ""
        verdict = "FAIL" if self.is_missed else "PASS"
        bounds = (("at least", self.at_least), ("at most", self.at_most))
        goal = "".join(f"{words} {formatted(bound)}: {verdict}" for words, bound in bounds if bound is not None)
        return f"| {self.name} | {formatted(median(self.values))} | {spread} | {self.unit} | {goal} |\n"


def formatted(value: float) -> str:
    """Returns a number with three significant digits, or without decimals if it is large."""
    return f"{value:,.0f}" if abs(value) >= WHOLE_FROM else f"{value:.3g}"


def ratios(
    name: str,
    above: Sequence[float],
    below: Sequence[float],
    at_least: float | None = None,
    *,
    at_most: float | None = None,
) -> Result:
    """Returns the ratio of each pair of repetitions, so that a slow phase of the machine slows both sides of a pair."""
    return Result(name, "ratio", tuple(a / b for a, b in zip(above, below, strict=True)), at_least, at_most)


def milliseconds(name: str, seconds: Iterable[float], pieces: int = 1, *, at_most: float | None = None) -> Result:
    """Returns milliseconds per piece of work, for repetitions that do `pieces` of them."""
    return Result(name, "ms", tuple(1000 * value / pieces for value in seconds), at_most=at_most)
