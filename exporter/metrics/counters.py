"""What the process counts as it goes: polls, requests and waits, of each target that is introduced."""

from __future__ import annotations

import re
from bisect import bisect_left
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

from exporter.jobs.snapshot import Durations
from exporter.metrics.table import ACTIONS, MAX_CODES, OK, OTHER, POLL_BOUNDS, REASONS, REQUEST_BOUNDS, Counts

if TYPE_CHECKING:
    from collections.abc import Mapping

    from exporter.jobs.snapshot import PollKey

CODE = re.compile(r"[A-Za-z0-9._-]{1,64}")
Label = TypeVar("Label")


class Instruments:
    """Counts polls, requests and waits as they happen, for the targets introduced and not forgotten since.

    `counts` and `waits` are what to show of each target, and the seconds of each account. What is read from them never
    changes afterwards.
    """

    def __init__(self) -> None:
        self.counts: dict[PollKey, Counts] = {}
        self.waits: dict[str, float] = {}

    def introduce(self, key: PollKey) -> None:
        """Starts all series of a target that can be known beforehand at zero."""
        self.counts.setdefault(key, at_zero())
        self.waits.setdefault(key.account, 0.0)

    def forget(self, key: PollKey) -> None:
        """Removes all series of a target, and those of its account with its last target."""
        self.counts.pop(key, None)
        if not any(other.account == key.account for other in self.counts):
            self.waits.pop(key.account, None)

    def observe_poll(self, key: PollKey, seconds: float, reason: str | None) -> None:
        """Counts a poll that ended, and why it failed if it did."""
        if (counts := self.counts.get(key)) is None:
            return
        failures = counts.poll_failures
        if reason is not None:
            failures = one_more(failures, reason if reason in REASONS else OTHER)
        self.counts[key] = replace(
            counts,
            polls=counts.polls + 1,
            poll_seconds=observed(counts.poll_seconds, POLL_BOUNDS, seconds),
            poll_failures=failures,
        )

    def observe_request(self, key: PollKey, action: str, code: str, seconds: float) -> None:
        """Counts one request to the service; `code` is `OK` or the error code."""
        if (counts := self.counts.get(key)) is None:
            return
        before = counts.request_seconds.get(action) or no_seconds(REQUEST_BOUNDS)
        self.counts[key] = replace(
            counts,
            requests=one_more(counts.requests, (action, shown(code, counts))),
            request_seconds={**counts.request_seconds, action: observed(before, REQUEST_BOUNDS, seconds)},
        )

    def add_rate_limit_wait(self, account: str, seconds: float) -> None:
        """Adds the seconds that a request of the account waited for its turn."""
        if account in self.waits:
            self.waits[account] += seconds


def at_zero() -> Counts:
    """Returns the counts of a target of which nothing has happened yet."""
    return Counts(
        polls=0,
        poll_seconds=no_seconds(POLL_BOUNDS),
        poll_failures=dict.fromkeys(REASONS, 0),
        requests={(action, OK): 0 for action in ACTIONS},
        request_seconds=dict.fromkeys(ACTIONS, no_seconds(REQUEST_BOUNDS)),
    )


def no_seconds(bounds: tuple[float, ...]) -> Durations:
    """Returns a histogram that has seen nothing."""
    return Durations((0,) * (len(bounds) + 1), 0.0)


def observed(before: Durations, bounds: tuple[float, ...], seconds: float) -> Durations:
    """Returns the histogram with one more value."""
    place = bisect_left(bounds, seconds)
    counts = before.counts
    return Durations((*counts[:place], counts[place] + 1, *counts[place + 1 :]), before.sum_seconds + seconds)


def one_more(counts: Mapping[Label, int], label: Label) -> dict[Label, int]:
    """Returns the counts with one more of that label."""
    return {**counts, label: counts.get(label, 0) + 1}


def shown(code: str, counts: Counts) -> str:
    """Returns the code to show: `other` for a strange one, and for all beyond what a target may show."""
    seen = {seen for _, seen in counts.requests} - {OTHER}
    return code if code in seen or (len(seen) < MAX_CODES and CODE.fullmatch(code)) else OTHER
