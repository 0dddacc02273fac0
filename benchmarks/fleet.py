"""Many busy targets whose numbers all differ, and their exposition."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

from prometheus_client import CollectorRegistry

from exporter.jobs.snapshot import Durations, FailedJob, Health, PollKey, TargetView
from exporter.metrics.counters import Instruments
from exporter.metrics.exposition import ACCOUNT_GROUPS, TARGET_GROUPS, Exposition, Families
from exporter.metrics.families import make_family
from exporter.metrics.table import PROCESS_METRICS, Process

Label = TypeVar("Label")

if TYPE_CHECKING:
    from collections.abc import Mapping

    from exporter.jobs.snapshot import Snapshot
    from exporter.metrics.families import Sources

CALLS = 3
"""Calls of a poll."""


class Fleet:
    """Targets that are polled again and again; no two polls find the same numbers.

    The exposition leaves out the families of the process itself, whose cost does not depend on the targets.
    """

    def __init__(self, snapshot: Snapshot, targets: int) -> None:
        self._random = random.Random(targets)  # noqa: S311 - simulated numbers
        self._instruments = Instruments()
        self._now = snapshot.taken_at
        self._process = Process(2**20, reload_successful=True, reloaded_at=1.8e9, version="bench")
        self._views: list[TargetView] = []
        for number in range(targets):
            key = PollKey(f"account-{number}", "cn-shanghai", "smart")
            self._instruments.add_target(key)
            self._views.append(TargetView(key, snapshot))
        self.exposition = Exposition(
            views=lambda: self._views,
            process=lambda: self._process,
            instruments=self._instruments,
            now=lambda: self._now,
            stale_after_seconds=lambda: 3600.0,
            runtime=CollectorRegistry(),
        )
        self.poll(targets)

    def poll(self, targets: int) -> None:
        """Polls the first targets as the exporter does, and moves them to the end of the queue."""
        self._now += 1
        polled = [self._polled(view) for view in self._views[:targets]]
        self._views = [*self._views[targets:], *polled]
        for view in polled:
            self.exposition.prerender(view)

    def prerender_again(self, targets: int) -> None:
        """Renders the first targets as after a poll, without finding other numbers."""
        for place, view in enumerate(self._views[:targets]):
            self._call(view.key)
            self._views[place] = replace(view, snapshot=replace(view.snapshot)) if view.snapshot else view
            self.exposition.prerender(self._views[place])

    def call(self, targets: int) -> None:
        """Lets the first targets make one call each, as in the middle of a poll."""
        for view in self._views[:targets]:
            self._call(view.key)

    def families(self) -> Families:
        """Returns all families that the exposition shows now, ready for an encoder of prometheus_client."""
        views = [((view.key.account, view.key.region_id, view.key.job_kind), view) for view in self._views]
        snapshots = [(labels, view.snapshot) for labels, view in views]
        counts = [(labels, self._instruments.counts[view.key]) for labels, view in views]
        waits = [((account,), seconds) for account, seconds in self._instruments.waits.items()]
        groups = (*TARGET_GROUPS, *ACCOUNT_GROUPS, PROCESS_METRICS)
        sources: tuple[Sources, ...] = (snapshots, views, counts, waits, [((), self._process)])
        pairs = zip(groups, sources, strict=True)
        return Families([make_family(metric, some) for metrics, some in pairs for metric in metrics])

    def _call(self, key: PollKey) -> None:
        self._instruments.observe_request(key, "ListSmartJobs", "OK", self._random.uniform(0.01, 1))
        self._instruments.add_rate_limit_wait(key.account, self._random.uniform(0, 0.1))

    def _polled(self, view: TargetView) -> TargetView:
        for _ in range(CALLS):
            self._call(view.key)
        self._instruments.observe_poll(view.key, self._random.uniform(0.1, 3), None)
        health = Health(up=True, last_success_at=self._now, survey_complete=True, survey_progress=1.0)
        return replace(view, snapshot=self._changed(view.snapshot), health=health)

    def _changed(self, snapshot: Snapshot | None) -> Snapshot | None:
        if snapshot is None:
            return None
        now = int(self._now)
        return replace(
            snapshot,
            taken_at=self._now,
            jobs=self._increased(snapshot.jobs),
            failed_recent=self._increased(snapshot.failed_recent),
            created=self._increased(snapshot.created),
            ended=self._increased(snapshot.ended),
            failures=self._increased(snapshot.failures),
            durations={
                pair: Durations(
                    tuple(count + self._random.randrange(9) for count in durations.counts),
                    durations.sum_seconds + self._random.uniform(1, 1000),
                )
                for pair, durations in snapshot.durations.items()
            },
            oldest_open=self._increased(snapshot.oldest_open),
            last_failure={
                job_type: FailedJob(f"{self._random.getrandbits(128):032x}", job_type, now - 60, now, "Timeout", "")
                for job_type in snapshot.created
            },
        )

    def _increased(self, counts: Mapping[Label, int]) -> dict[Label, int]:
        return {label: count + 1 + self._random.randrange(99) for label, count in counts.items()}
