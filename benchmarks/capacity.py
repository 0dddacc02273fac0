"""Capacity of one process on one core: `python -m benchmarks.capacity` prints the table in docs/sizing.md."""

from __future__ import annotations

import json
import os
import re
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from benchmarks.process import RunningExporter, run_exporter, run_simulator
from exporter.simulator.server import DEMO_KEY

INTERVAL_SECONDS = 60
SCRAPE_SECONDS = 15
SETTLING_SECONDS = 600
ROWS = ((1, True), (100, True), (500, True), (1000, True), (100, False), (500, False), (1000, False))
"""The number of targets of each row, and whether they are idle."""
HISTORY = 300
"""Ended jobs of each target, which are surveyed before the measurement."""
TABLE_HEADER = (
    "| targets | jobs of each | CPU of one core | memory | scrape | page | calls/s | polls late |\n"
    "|---:|---|---:|---:|---:|---:|---:|---:|\n"
)


@dataclass(frozen=True, slots=True)
class Capacity:
    """CPU, memory and scrapes of an exporter during one poll interval."""

    targets: int
    is_idle: bool
    cpu_share: float
    memory_mib: float
    scrape_seconds: float
    page_mib: float
    calls_per_second: float
    late: int
    """Targets whose last successful poll is older than one and a half intervals."""

    def row(self) -> str:
        """Returns a row of the table under `TABLE_HEADER`."""
        jobs = "idle" if self.is_idle else "32 created and ended per minute"
        return (
            f"| {self.targets:,} | {jobs} | {100 * self.cpu_share:.1f} % | {self.memory_mib:.0f} MiB"
            f" | {1000 * self.scrape_seconds:.0f} ms | {self.page_mib:.1f} MiB"
            f" | {self.calls_per_second:.0f} | {self.late} |\n"
        )


def write_config(folder: Path, endpoint: str, targets: int) -> Path:
    """Writes a configuration in which each target is an account of its own; returns its path."""
    path = folder / f"{targets}.json"
    settings = [
        {"account": f"account-{number}", "region_id": "cn-shanghai", "endpoint": endpoint} for number in range(targets)
    ]
    path.write_text(json.dumps({"targets": settings}))
    return path


def measure_capacity(folder: Path, targets: int, *, is_idle: bool) -> Capacity:
    """Runs an exporter on one core; when all targets are surveyed, measures one interval."""
    workload = ["--no-workload"] if is_idle else []
    with (
        run_simulator("--history", str(HISTORY), *workload) as endpoint,
        run_exporter(
            folder,
            f"{targets}-{is_idle}",
            DEMO_KEY,
            config=write_config(folder, endpoint, targets),
            poll_interval_seconds=INTERVAL_SECONDS,
            max_requests_per_second=100,
        ) as running,
    ):
        os.sched_setaffinity(running.process.pid, {0})
        running.wait(
            lambda: running.total("ims_exporter_survey_complete") == targets, SETTLING_SECONDS, pause=SCRAPE_SECONDS
        )
        time.sleep(INTERVAL_SECONDS)
        return measure_interval(running, targets, is_idle=is_idle)


def measure_interval(running: RunningExporter, targets: int, *, is_idle: bool) -> Capacity:
    """Scrapes for one interval, and returns the cost of scrapes and polls."""
    calls, cpu, began = running.total("ims_exporter_api_requests_total"), running.cpu_seconds(), time.monotonic()
    scrapes = []
    for turn in range(1, INTERVAL_SECONDS // SCRAPE_SECONDS + 1):
        time.sleep(max(0.0, began + turn * SCRAPE_SECONDS - time.monotonic()))
        scrapes.append(running.scrape())
    seconds = time.monotonic() - began
    cpu_seconds = running.cpu_seconds() - cpu
    text = scrapes[-1][0]
    polled_at = re.findall(r"^ims_exporter_last_success_timestamp_seconds{[^}]*} (\S+)", text, re.MULTILINE)
    oldest = time.time() - 1.5 * INTERVAL_SECONDS
    return Capacity(
        targets,
        is_idle,
        cpu_seconds / seconds,
        running.memory_mib(),
        median(took for _, took in scrapes),
        len(text) / 2**20,
        (running.total("ims_exporter_api_requests_total") - calls) / seconds,
        targets - sum(float(moment) >= oldest for moment in polled_at),
    )


def main() -> None:
    """Prints a row for each size."""
    sys.stdout.write(TABLE_HEADER)
    with tempfile.TemporaryDirectory() as folder:
        for targets, is_idle in ROWS:
            sys.stdout.write(measure_capacity(Path(folder), targets, is_idle=is_idle).row())
            sys.stdout.flush()


if __name__ == "__main__":
    main()
