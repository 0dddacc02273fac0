"""Time from the start of the exporter's process to its first metrics."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from benchmarks.process import run_exporter
from benchmarks.results import Result
from benchmarks.service import QUIET_KEY

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.service import Service
    from benchmarks.sizes import Sizes

MAX_SECONDS = 2.0


def measure(service: Service, sizes: Sizes, folder: Path) -> list[Result]:
    """Starts the exporter repeatedly, each time on a new ledger."""
    seconds = tuple(first_metrics(service, folder, f"start-{turn}") for turn in range(sizes.starts))
    at_most = MAX_SECONDS if sizes.has_time_goals else None
    return [Result("start of the process until /metrics shows target_up 1", "s", seconds, at_most=at_most)]


def first_metrics(service: Service, folder: Path, name: str) -> float:
    """Returns the seconds from the start of the process until a scrape shows that the target is up."""
    started = time.perf_counter()
    with run_exporter(folder, name, QUIET_KEY, region_id="cn-shanghai", endpoint=service.state.url) as running:
        running.wait(lambda: running.total("ims_exporter_target_up") == 1)
        return time.perf_counter() - started
