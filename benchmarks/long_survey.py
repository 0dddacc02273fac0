"""Speed, memory and ledger of a process that surveys a very long history."""

from __future__ import annotations

import re
from datetime import datetime
from typing import TYPE_CHECKING

from benchmarks.process import run_exporter, run_simulator
from benchmarks.results import Result
from exporter.polling.survey import WEIGHT
from exporter.simulator.server import DEMO_KEY

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.process import RunningExporter
    from benchmarks.sizes import Sizes

CALLS_PER_POLL = 3
MIN_SHARE = 0.95
MAX_MEMORY_MIB = 80.0
MAX_LEDGER_MIB = 5.0
MAX_SECONDS = 900.0


def measure(sizes: Sizes, folder: Path) -> list[Result]:
    """Runs an exporter until it has surveyed the history."""
    name = f"survey of {sizes.long_history:,} jobs by a process"
    with (
        run_simulator("--no-workload", "--history", str(sizes.long_history)) as endpoint,
        run_exporter(
            folder,
            "history",
            DEMO_KEY,
            region_id="cn-shanghai",
            endpoint=endpoint,
            max_requests_per_second=sizes.long_rate,
        ) as running,
    ):
        running.wait(lambda: running.total("ims_exporter_survey_complete") == 1, MAX_SECONDS, pause=1)
        polls = running.total("ims_exporter_polls_total")
        calls = running.total("ims_exporter_api_requests_total")
        found = running.total("ims_jobs")
        if found != sizes.long_history:
            raise AssertionError(f"the survey found {found:.0f} jobs, not {sizes.long_history}")
        used = WEIGHT * (calls - CALLS_PER_POLL * polls) + CALLS_PER_POLL * polls
        share = used / survey_seconds(running) / sizes.long_rate
        at_least = MIN_SHARE if sizes.has_time_goals else None
        return [
            Result(f"{name}: share of the rate", "ratio", (share,), at_least=at_least),
            Result(f"{name}: most memory", "MiB", (running.memory_mib("VmHWM"),), at_most=MAX_MEMORY_MIB),
            Result(
                f"{name}: ledger",
                "MiB",
                (running.total("ims_exporter_ledger_size_bytes") / 2**20,),
                at_most=MAX_LEDGER_MIB,
            ),
        ]


def survey_seconds(running: RunningExporter) -> float:
    """Returns the duration of the survey as logged."""
    log = running.log.read_text()
    began, ended = (
        datetime.fromisoformat(re.findall(rf"ts=(\S+) .*event=survey .*outcome={outcome}", log)[0])
        for outcome in ("started", "complete")
    )
    return (ended - began).total_seconds()
