"""Time from the start of the process to the first metrics."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from benchmarks.figure import Figure
from benchmarks.process import exporter
from benchmarks.service import QUIET_KEY

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.rig import Service
    from benchmarks.sizes import Sizes

AT_MOST_SECONDS = 2.0


def measure(service: Service, sizes: Sizes, folder: Path) -> list[Figure]:
    """Starts the exporter repeatedly, each time on a new ledger."""
    seconds = tuple(first_metrics(service, folder, f"start-{turn}") for turn in range(sizes.starts))
    at_most = AT_MOST_SECONDS if sizes.has_goals_of_time else None
    return [Figure("start of the process until /metrics shows target_up 1", "s", seconds, at_most=at_most)]


def first_metrics(service: Service, folder: Path, name: str) -> float:
    """Returns the seconds from the start of the process until a scrape shows that the target is up."""
    started = time.perf_counter()
    with exporter(folder, name, QUIET_KEY, region_id="cn-shanghai", endpoint=service.standing.url) as running:
        running.wait(lambda: running.total("ims_exporter_target_up") == 1)
        return time.perf_counter() - started
