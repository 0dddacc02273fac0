"""What a scrape takes, by the number of targets and of those polled since the last one, beside prometheus_client."""

from __future__ import annotations

import gzip
from functools import partial
from typing import TYPE_CHECKING

from prometheus_client.openmetrics import exposition as openmetrics

from benchmarks import ledgers
from benchmarks.cost import cost
from benchmarks.figure import Figure, milliseconds, ratios
from benchmarks.fleet import Fleet
from exporter.metrics.exposition import render
from exporter.polling.ledger import Ledger

if TYPE_CHECKING:
    from benchmarks.sizes import Sizes
    from exporter.jobs.snapshot import Snapshot
    from exporter.metrics.exposition import Registry

OPENMETRICS = "application/openmetrics-text;version=1.0.0"
"""What Prometheus asks for, packed."""
ONE_BY_ONE = 11
"""So many polls between two scrapes are rewritten one by one: a quarter of the targets judged."""
LEVEL = 1
"""The least that prometheus_client's text can be packed; its own server packs at level 9."""


async def measure(sizes: Sizes) -> list[Figure]:
    """Scrapes few targets, more, and many."""
    snapshot = busy_snapshot(sizes.open_jobs)
    figures = []
    for targets in sizes.scraped_targets:
        figures += await scrapes(Fleet(snapshot, targets), targets, sizes)
    return figures


async def scrapes(fleet: Fleet, targets: int, sizes: Sizes) -> list[Figure]:
    """Scrapes in turn after polls of all targets, of a quarter of them, of none, and by prometheus_client."""
    quarter = (targets + 3) // 4
    works = [(polled, partial(packed, fleet.registry)) for polled in (targets, quarter, 0)]
    works.append((0, partial(packed_by_the_library, fleet.registry)))
    turns = []
    for _ in range(1 + sizes.scrapes):
        turn = []
        for polled, work in works:
            fleet.poll(polled)
            turn.append((await cost(work)).cpu_seconds)
        turns.append([*turn, *await one_by_one(fleet, min(quarter, ONE_BY_ONE))])
    every, some, none, library, rewriting, prepared = zip(*turns[1:], strict=True)
    text = by_the_library(fleet.registry)
    if render(fleet.registry, OPENMETRICS)[0] != text:
        raise AssertionError("the exposition is not what prometheus_client writes")
    samples = sum(not line.startswith(b"#") for line in text.splitlines())
    name = f"scrape of {samples:,} samples of {targets} target{'s' * (targets > 1)}"
    has_goal = sizes.has_goals_of_time and targets == sizes.judged_targets
    return [
        milliseconds(f"{name}, none polled since: CPU", none),
        milliseconds(f"{name}, polled one by one: CPU", prepared, at_most=5.0 if has_goal else None),
        milliseconds(f"rewriting {samples:,} samples of {targets} targets after a poll: CPU", rewriting),
        milliseconds(f"{name}, a quarter polled since: CPU", some),
        milliseconds(f"{name}, all polled since: CPU", every),
        milliseconds(f"{name}, prometheus_client: CPU", library),
        ratios(f"{name}, prometheus_client / none polled since", library, none),
        ratios(f"{name}, prometheus_client / a quarter polled since", library, some, 10.0 if has_goal else None),
        ratios(f"{name}, prometheus_client / all polled since", library, every),
        Figure(f"{name}: size", "KiB", (len(text) / 1024,)),
        Figure(f"{name}: size in gzip", "KiB", (len(packed(fleet.registry)) / 1024,)),
    ]


async def one_by_one(fleet: Fleet, targets: int) -> tuple[float, float]:
    """Polls so many targets, and rewrites after each as the exporter does; the scrape comes just after one more poll.

    Returns the CPU seconds of the last rewriting, and of the scrape.
    """
    packed(fleet.registry)
    for _ in range(targets):
        fleet.poll(1)
        rewriting = await cost(partial(rewritten, fleet.registry))
    fleet.poll(1)
    return rewriting.cpu_seconds, (await cost(partial(packed, fleet.registry))).cpu_seconds


def rewritten(registry: Registry) -> None:
    """Does what the exporter does after a poll."""
    registry.rewrite(registry.collector.published())


def by_the_library(registry: Registry) -> bytes:
    """Returns the text as prometheus_client renders it."""
    text: bytes = openmetrics.generate_latest(registry)  # type: ignore[no-untyped-call] # the library's
    return text


def packed(registry: Registry) -> bytes:
    """Returns what Prometheus is sent."""
    return render(registry, OPENMETRICS, is_packed=True)[0]


def packed_by_the_library(registry: Registry) -> bytes:
    """Returns the same, rendered by prometheus_client."""
    return gzip.compress(by_the_library(registry), compresslevel=LEVEL, mtime=0)


def busy_snapshot(open_jobs: int) -> Snapshot:
    """Returns what a poll publishes after a month of work."""
    ledger = Ledger(":memory:")
    try:
        return ledgers.begin(ledger, open_jobs)
    finally:
        ledger.close()
