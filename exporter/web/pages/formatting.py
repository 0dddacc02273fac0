"""Times, durations and numbers as plain text; the templates use these functions as filters."""

from __future__ import annotations

from datetime import UTC, datetime

UNITS = ((86400, "d"), (3600, "h"), (60, "min"), (1, "s"))


def iso_time(unix_seconds: float) -> str:
    """Returns a time in ISO 8601, UTC, to the second."""
    return f"{datetime.fromtimestamp(unix_seconds, UTC).isoformat()[:19]}Z"


def date_time(unix_seconds: float) -> str:
    """Returns a time as date and time of day, UTC."""
    return datetime.fromtimestamp(unix_seconds, UTC).isoformat(" ")[:19]


def duration(seconds: float) -> str:
    """Returns a duration in its largest unit, rounded down; a negative one (clocks that differ) is `0 s`."""
    whole = max(0, int(seconds))
    size, unit = next(((size, unit) for size, unit in UNITS if whole >= size), UNITS[-1])
    return f"{whole // size} {unit}"


def precise_duration(seconds: float) -> str:
    """Returns a duration in its two largest units, as `2 h 30 min`; the second one only if it is not zero."""
    (size, _), *smaller = [unit for unit in UNITS if seconds >= unit[0]] or [UNITS[-1]]
    rest = seconds % size
    return f"{duration(seconds)} {duration(rest)}" if smaller and rest >= smaller[0][0] else duration(seconds)


def thousands(number: int) -> str:
    """Returns a number with a comma between thousands."""
    return f"{number:,}"
