"""Times, durations and numbers are short and exact."""

from __future__ import annotations

import pytest

from exporter.web.pages.formatting import date_time, duration, iso_time, precise_duration, thousands
from tests.support.scenarios import NOW


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(-5, "0 s"), (0, "0 s"), (59.9, "59 s"), (60, "1 min"), (7199, "1 h"), (200_000, "2 d")],
)
def test_duration_has_its_largest_unit(seconds: float, text: str) -> None:
    """A duration has one unit, rounded down, and is never negative, although clocks differ."""
    assert duration(seconds) == text


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
def test_precise_duration_has_two_units(seconds: float, text: str) -> None:
    """A duration that readers compare has two units, the second one only if it is not zero."""
    assert precise_duration(seconds) == text


@pytest.mark.parametrize(
    ("unix_seconds", "iso"),
    [
        (NOW - 60, "2027-01-15T07:59:00Z"),
        (NOW - 60.001, "2027-01-15T07:58:59Z"),
        (-62_135_596_800, "0001-01-01T00:00:00Z"),
    ],
)
def test_times_are_utc(unix_seconds: float, iso: str) -> None:
    """A time is UTC, to the second, rounded down, with four digits for the year."""
    assert iso_time(unix_seconds) == iso
    assert date_time(unix_seconds) == iso.replace("T", " ").removesuffix("Z")


def test_thousands_are_separated() -> None:
    """A long number has a comma between thousands."""
    assert thousands(12345678) == "12,345,678"
