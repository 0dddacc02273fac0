"""What a scrape takes, by the number of targets: rendering, in the two formats, and packing."""

from __future__ import annotations

import gzip
from functools import partial
from typing import TYPE_CHECKING

from benchmarks import ledgers
from benchmarks.cost import interleaved
from benchmarks.figure import Figure, milliseconds
from exporter.exposition import Collector, Instruments, make_registry, render
from exporter.ledger import Ledger
from exporter.metrics import Process
from exporter.snapshot import Health, TargetKey, TargetView

if TYPE_CHECKING:
    from benchmarks.sizes import Sizes
    from exporter.exposition import Registry
    from exporter.snapshot import Snapshot

OPENMETRICS = "application/openmetrics-text;version=1.0.0"
"""What Prometheus asks for, packed."""


async def measure(sizes: Sizes) -> list[Figure]:
    """Renders the metrics of a few targets, of more, of many, in turn."""
    snapshot = busy_snapshot(sizes.open_jobs)
    registries = [registry(snapshot, number) for number in sizes.scraped_targets]
    works = [partial(work, each) for each in registries for work in (render, packed)]
    costs = iter(await interleaved(sizes.scrapes, *works))
    figures = []
    for targets, each in zip(sizes.scraped_targets, registries, strict=True):
        name = f"/metrics of {targets} target{'s' * (targets > 1)}"
        size = len(render(each)[0]) / 1024
        figures += [
            milliseconds(f"{name} as text: CPU", (one.cpu_seconds for one in next(costs))),
            milliseconds(f"{name} as OpenMetrics, gzip: CPU", (one.cpu_seconds for one in next(costs))),
            Figure(f"{name} as text: size", "KiB", (size,)),
        ]
    return figures


def packed(registry: Registry) -> bytes:
    """Returns what Prometheus is sent."""
    return gzip.compress(render(registry, OPENMETRICS)[0], compresslevel=5, mtime=0)


def busy_snapshot(open_jobs: int) -> Snapshot:
    """Returns what a poll publishes after a month of work."""
    ledger = Ledger(":memory:")
    try:
        return ledgers.begin(ledger, open_jobs)
    finally:
        ledger.close()


def registry(snapshot: Snapshot, targets: int) -> Registry:
    """Returns a registry that shows so many targets, all alike."""
    keys = [TargetKey(f"account-{number}", "cn-shanghai") for number in range(targets)]
    health = Health(up=True, last_success_at=snapshot.taken_at, survey_complete=True, survey_progress=1.0)
    views = [TargetView(key, snapshot, health) for key in keys]
    instruments = Instruments()
    for key in keys:
        instruments.introduce(key)
        instruments.observe_poll(key, 0.5, None)
        instruments.observe_request(key, "ListSmartJobs", "OK", 0.05)
    return make_registry(
        Collector(
            views=lambda: views,
            process=lambda: Process(2**20, reload_successful=True, reloaded_at=snapshot.taken_at, version="bench"),
            instruments=instruments,
            now=lambda: snapshot.taken_at + 1,
            stale_after_seconds=lambda: 300.0,
        )
    )
