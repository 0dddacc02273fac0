"""Many busy targets, all different, as they are published: what a scrape of them shows."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

from exporter.jobs.snapshot import Durations, Health, PollKey, TargetView
from exporter.metrics.exposition import Collector, Instruments, make_registry
from exporter.metrics.table import Process

Label = TypeVar("Label")

if TYPE_CHECKING:
    from collections.abc import Mapping

    from exporter.jobs.snapshot import Snapshot

CALLS = 3
"""Calls of an idle poll, the fewest there are."""


class Fleet:
    """So many targets, which are polled again and again; no two polls find the same numbers."""

    def __init__(self, snapshot: Snapshot, targets: int) -> None:
        self._chance = random.Random(targets)  # noqa: S311 - a simulated life
        self._instruments = Instruments()
        self._now = snapshot.taken_at
        self._views: list[TargetView] = []
        for number in range(targets):
            key = PollKey(f"account-{number}", "cn-shanghai", "smart")
            self._instruments.introduce(key)
            self._views.append(TargetView(key, snapshot))
        self.registry = make_registry(
            Collector(
                views=lambda: self._views,
                process=lambda: Process(2**20, reload_successful=True, reloaded_at=1.8e9, version="bench"),
                instruments=self._instruments,
                now=lambda: self._now,
                stale_after_seconds=lambda: 3600.0,
            )
        )
        self.poll(targets)

    def poll(self, targets: int) -> None:
        """Lets the first so many targets be polled, each of which finds other numbers everywhere; the others next."""
        self._now += 1
        polled = [self._polled(view) for view in self._views[:targets]]
        self._views = [*self._views[targets:], *polled]

    def _polled(self, view: TargetView) -> TargetView:
        for _ in range(CALLS):
            self._instruments.observe_request(view.key, "ListSmartJobs", "OK", self._chance.uniform(0.01, 1))
        self._instruments.observe_poll(view.key, self._chance.uniform(0.1, 3), None)
        health = Health(up=True, last_success_at=self._now, survey_complete=True, survey_progress=1.0)
        return replace(view, snapshot=self._changed(view.snapshot), health=health)

    def _changed(self, snapshot: Snapshot | None) -> Snapshot | None:
        if snapshot is None:
            return None
        return replace(
            snapshot,
            taken_at=self._now,
            jobs=self._more(snapshot.jobs),
            failed_recent=self._more(snapshot.failed_recent),
            created=self._more(snapshot.created),
            ended=self._more(snapshot.ended),
            failures=self._more(snapshot.failures),
            durations={
                pair: Durations(
                    tuple(count + self._chance.randrange(9) for count in durations.counts),
                    durations.sum_seconds + self._chance.uniform(1, 1000),
                )
                for pair, durations in snapshot.durations.items()
            },
            oldest_open=self._more(snapshot.oldest_open),
        )

    def _more(self, counts: Mapping[Label, int]) -> dict[Label, int]:
        return {label: count + 1 + self._chance.randrange(99) for label, count in counts.items()}
