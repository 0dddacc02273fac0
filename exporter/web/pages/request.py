"""A request for a page, its query, and the response."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from exporter.jobs.snapshot import PollKey, TargetView

MAX_VALUE_LENGTH = 256
"""Maximum number of characters of a parameter's value."""


@dataclass(frozen=True, slots=True)
class PageSettings:
    """The settings that the pages depend on."""

    version: str
    stuck_seconds: Mapping[str, int]
    """Age from which an open job counts as stuck, by job type."""
    stuck_other_seconds: int
    """The same for job types that `stuck_seconds` does not name."""
    stale_after_seconds: float
    refresh_seconds: float
    shard: str = ""
    """Which shard this exporter is, in words; empty without shards."""
    shards: int = 1
    """Number of shards among which the targets are divided."""

    def stuck_after_seconds(self, job_type: str) -> int:
        """Returns the age from which an open job of a type counts as stuck."""
        return self.stuck_seconds.get(job_type, self.stuck_other_seconds)


@dataclass(frozen=True, slots=True)
class PageRequest:
    """A request for a page, with the data that the page shows."""

    path: str
    query: Sequence[tuple[str, str]]
    accept: str
    """The Accept header."""
    endpoints: Sequence[str]
    """The paths for programs, which the footer links: metrics and probes."""
    views: Sequence[TargetView]
    settings: PageSettings
    now: float


@dataclass(frozen=True, slots=True)
class PageResponse:
    """A response, to be sent in UTF-8."""

    status: int
    content_type: str
    text: str


class PageError(Exception):
    """A request that a page refuses: an HTTP status, and a message for the reader."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


def parse_query(query: Sequence[tuple[str, str]], known: Sequence[str]) -> dict[str, str]:
    """Returns the parameters that are not empty; raises PageError for unknown, repeated and overlong ones."""
    known = (*known, "refresh")
    found: dict[str, str] = {}
    for name, value in query:
        if name not in known:
            raise PageError(400, f"unknown parameter {name[:MAX_VALUE_LENGTH]!r}: known are {', '.join(known)}")
        if name in found:
            raise PageError(400, f"parameter {name} is given twice: give it once")
        if len(value) > MAX_VALUE_LENGTH:
            raise PageError(400, f"parameter {name} is longer than {MAX_VALUE_LENGTH} characters")
        found[name] = value
    parse_choice(found, "refresh", ("on", "off"), default="on")
    return {name: value for name, value in found.items() if value}


def parse_choice(parameters: Mapping[str, str], name: str, choices: tuple[str, str], default: str) -> str:
    """Returns a parameter that has two possible values; raises PageError for any other value."""
    value = parameters.get(name) or default
    if value not in choices:
        raise PageError(400, f"parameter {name} is {value!r}: it must be {' or '.join(choices)}")
    return value


def parse_number(parameters: Mapping[str, str], name: str, default: int, maximum: int) -> int:
    """Returns a parameter as a whole number from 1 to `maximum`; raises PageError for any other value."""
    value = parameters.get(name, str(default))
    is_number = value.isascii() and value.isdigit() and len(value) <= len(str(maximum))
    if not (is_number and 1 <= int(value) <= maximum):
        raise PageError(400, f"parameter {name} is {value!r}: it must be a whole number from 1 to {maximum}")
    return int(value)


def matches_target(key: PollKey, parameters: Mapping[str, str]) -> bool:
    """Returns whether a target has the account, region and job kind of the parameters, as far as they are given."""
    return all(parameters.get(name, value) == value for name, value in key.labels.items())
