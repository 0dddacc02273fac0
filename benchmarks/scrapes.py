"""CPU and memory of a scrape, compared with prometheus_client rendering the same families."""

from __future__ import annotations

import gc
import time
import tracemalloc
from statistics import median
from typing import TYPE_CHECKING

from benchmarks import filled_ledger
from benchmarks.fleet import Fleet
from benchmarks.results import Result, milliseconds, ratios
from exporter.metrics.exposition import OPENMETRICS, TEXT
from exporter.polling.ledger import Ledger

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.sizes import Sizes
    from exporter.jobs.snapshot import Snapshot

SCRAPES_PER_TURN = 11
"""Scrapes whose median is taken, each after a poll of one more target."""
MIN_RATIO = 70.0
MAX_MEMORY_MIB = 175.0
"""What the exposition that this one replaced kept for 1,000 targets."""


async def measure(sizes: Sizes) -> list[Result]:
    """Scrapes few targets, more, and many; takes the memory of the most."""
    snapshot = busy_snapshot(sizes.open_jobs)
    results = []
    for targets in sizes.scraped_targets:
        results += await scrapes(Fleet(snapshot, targets), targets, sizes)
    return [*results, await memory(snapshot, sizes)]


async def scrapes(fleet: Fleet, targets: int, sizes: Sizes) -> list[Result]:
    """Scrapes while targets are polled one by one, and lets prometheus_client render the same, in turn."""
    turns = [await turn(fleet, targets) for _ in range(1 + sizes.scrapes)]
    packed, page, called, rendering, text, openmetrics = zip(*turns[1:], strict=True)
    samples = sum(not line.startswith(b"#") for line in fleet.exposition.page(TEXT).splitlines())
    name = f"scrape of {samples:,} samples of {targets} target{'s' * (targets > 1)}"
    at_least = MIN_RATIO if targets in sizes.judged_targets else None
    size = len(fleet.exposition.page(OPENMETRICS))
    packed_size = len(await fleet.exposition.scrape(OPENMETRICS, is_gzip=True))
    return [
        milliseconds(f"{name}, gzip: CPU", packed),
        milliseconds(f"{name}, no gzip: CPU", page),
        milliseconds(f"{name}, gzip, a tenth of the targets in the middle of a poll: CPU", called),
        milliseconds(f"{name}, prometheus_client, text, no gzip: CPU", text),
        milliseconds(f"{name}, prometheus_client, OpenMetrics, no gzip: CPU", openmetrics),
        ratios(f"{name}, prometheus_client, text, no gzip / exporter, gzip", text, packed, at_least),
        ratios(f"{name}, prometheus_client, OpenMetrics, no gzip / exporter, gzip", openmetrics, packed),
        milliseconds(f"rendering one of {targets} target{'s' * (targets > 1)} after its poll: CPU", rendering),
        Result(f"{name}: size", "KiB", (size / 1024,)),
        Result(f"{name}: size in gzip", "KiB", (packed_size / 1024,)),
    ]


async def turn(fleet: Fleet, targets: int) -> tuple[float, ...]:
    """Returns CPU seconds of a scrape with gzip, without, and in mid-poll; of rendering a target; of prometheus_client.

    Raises AssertionError if the exporter's page is not what prometheus_client writes.
    """
    packed, page, called = [], [], []
    for _ in range(SCRAPES_PER_TURN):
        fleet.poll(1)
        packed.append(await cpu_of_scrape(fleet, is_gzip=True))
        fleet.poll(1)
        page.append(await cpu_of_scrape(fleet, is_gzip=False))
        fleet.call((targets + 9) // 10)
        called.append(await cpu_of_scrape(fleet, is_gzip=True))
    rendering = cpu_of(lambda: fleet.prerender_again(1))
    families = fleet.families()
    for form in (TEXT, OPENMETRICS):
        if fleet.exposition.page(form) != form.encode(families):
            raise AssertionError("the page is not what prometheus_client writes")
    text = cpu_of(lambda: TEXT.encode(families))
    openmetrics = cpu_of(lambda: OPENMETRICS.encode(families))
    return (*map(median, (packed, page, called)), rendering, text, openmetrics)


async def cpu_of_scrape(fleet: Fleet, *, is_gzip: bool) -> float:
    """Returns the CPU seconds of one scrape, all threads included."""
    started = time.process_time()
    await fleet.exposition.scrape(TEXT, is_gzip=is_gzip)
    return time.process_time() - started


def cpu_of(work: Callable[[], object]) -> float:
    """Returns the CPU seconds of some work."""
    started = time.process_time()
    work()
    return time.process_time() - started


async def memory(snapshot: Snapshot, sizes: Sizes) -> Result:
    """Returns the memory that is kept after scrapes in both formats."""
    gc.collect()
    tracemalloc.start()
    fleet = Fleet(snapshot, sizes.remembered_targets)
    for form in (TEXT, OPENMETRICS):
        await fleet.exposition.scrape(form, is_gzip=True)
    gc.collect()
    kept, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    name = f"memory of {sizes.remembered_targets:,} targets, scraped in both formats"
    return Result(name, "MiB", (kept / 2**20,), at_most=MAX_MEMORY_MIB)


def busy_snapshot(open_jobs: int) -> Snapshot:
    """Returns the snapshot of a poll after a month of work."""
    ledger = Ledger(":memory:")
    try:
        return filled_ledger.fill(ledger, open_jobs)
    finally:
        ledger.close()
