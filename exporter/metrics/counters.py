"""Counters of the process: polls, requests and waits of each target, since the process started."""

from __future__ import annotations

import re
from bisect import bisect_left
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

from exporter.jobs.kinds import KINDS
from exporter.jobs.snapshot import Durations
from exporter.metrics.table import MAX_CODES, OK, OTHER, POLL_BOUNDS, REASONS, REQUEST_BOUNDS, TargetCounts

if TYPE_CHECKING:
    from collections.abc import Mapping

    from exporter.jobs.snapshot import PollKey

CODE = re.compile(r"[A-Za-z0-9._-]{1,64}")
Label = TypeVar("Label")


class Instruments:
    """Counts polls, requests and waits as they happen; events of targets that were not added are ignored.

    `counts` holds the counts of each target, `waits` the seconds of each account. An event replaces the counts of its
    target, so that a reader keeps what it has read.
    """

    def __init__(self) -> None:
        self.counts: dict[PollKey, TargetCounts] = {}
        self.waits: dict[str, float] = {}

    def add_target(self, key: PollKey) -> None:
        """Starts all series of a target that are known beforehand at zero; does nothing if it was added before."""
        actions = KINDS[key.job_kind].actions
        self.counts.setdefault(
            key,
            TargetCounts(
                polls=0,
                poll_seconds=empty_histogram(POLL_BOUNDS),
                poll_failures=dict.fromkeys(REASONS, 0),
                requests={(action, OK): 0 for action in actions},
                request_seconds=dict.fromkeys(actions, empty_histogram(REQUEST_BOUNDS)),
            ),
        )
        self.waits.setdefault(key.account, 0.0)

    def remove_target(self, key: PollKey) -> None:
        """Removes all series of a target, and those of its account together with its last target."""
        self.counts.pop(key, None)
        if not any(other.account == key.account for other in self.counts):
            self.waits.pop(key.account, None)

    def observe_poll(self, key: PollKey, seconds: float, reason: str | None) -> None:
        """Counts a poll that ended; `reason` is why it failed, None if it succeeded."""
        if (counts := self.counts.get(key)) is None:
            return
        failures = counts.poll_failures
        if reason is not None:
            failures = incremented(failures, reason if reason in REASONS else OTHER)
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
        before = counts.request_seconds.get(action) or empty_histogram(REQUEST_BOUNDS)
        self.counts[key] = replace(
            counts,
            requests=incremented(counts.requests, (action, shown_code(code, counts))),
            request_seconds={**counts.request_seconds, action: observed(before, REQUEST_BOUNDS, seconds)},
        )

    def add_rate_limit_wait(self, account: str, seconds: float) -> None:
        """Adds the seconds that a request of the account waited for the rate limit."""
        if account in self.waits:
            self.waits[account] += seconds


def empty_histogram(bounds: tuple[float, ...]) -> Durations:
    """Returns a histogram without observations."""
    return Durations((0,) * (len(bounds) + 1), 0.0)


def observed(before: Durations, bounds: tuple[float, ...], seconds: float) -> Durations:
    """Returns the histogram with one more observation."""
    place = bisect_left(bounds, seconds)
    counts = before.counts
    return Durations((*counts[:place], counts[place] + 1, *counts[place + 1 :]), before.sum_seconds + seconds)


def incremented(counts: Mapping[Label, int], label: Label) -> dict[Label, int]:
    """Returns the counts with one more at the label."""
    return {**counts, label: counts.get(label, 0) + 1}


def shown_code(code: str, counts: TargetCounts) -> str:
    """Returns the code, or `other` if it is no short word or the target shows `MAX_CODES` codes already."""
    seen = {seen for _, seen in counts.requests} - {OTHER}
    return code if code in seen or (len(seen) < MAX_CODES and CODE.fullmatch(code)) else OTHER
