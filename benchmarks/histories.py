"""Speed and size of a survey of a very long history, by a process of its own."""

from __future__ import annotations

import re
from datetime import datetime
from typing import TYPE_CHECKING

from benchmarks.figure import Figure
from benchmarks.process import exporter, simulator
from exporter.polling.survey import WEIGHT
from exporter.simulator.server import DEMO_KEY

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.process import Running
    from benchmarks.sizes import Sizes

CALLS_OF_A_POLL = 3
AT_LEAST_SHARE = 0.95
AT_MOST_MEMORY_MIB = 80.0
AT_MOST_LEDGER_MIB = 5.0
PATIENCE_SECONDS = 900.0


def measure(sizes: Sizes, folder: Path) -> list[Figure]:
    """Runs an exporter until the survey of the history is complete, and measures it."""
    name = f"survey of {sizes.long_history:,} jobs by a process"
    with (
        simulator("--no-workload", "--history", str(sizes.long_history)) as endpoint,
        exporter(
            folder,
            "history",
            DEMO_KEY,
            region_id="cn-shanghai",
            endpoint=endpoint,
            max_requests_per_second=sizes.long_rate,
        ) as running,
    ):
        running.wait(lambda: running.total("ims_exporter_survey_complete") == 1, PATIENCE_SECONDS, pause=1)
        polls = running.total("ims_exporter_polls_total")
        calls = running.total("ims_exporter_api_requests_total")
        found = running.total("ims_jobs")
        if found != sizes.long_history:
            raise AssertionError(f"the survey found {found:.0f} jobs, not {sizes.long_history}")
        used = WEIGHT * (calls - CALLS_OF_A_POLL * polls) + CALLS_OF_A_POLL * polls
        share = used / seconds(running) / sizes.long_rate
        at_least = AT_LEAST_SHARE if sizes.has_goals_of_time else None
        return [
            Figure(f"{name}: share of the rate", "ratio", (share,), at_least=at_least),
            Figure(f"{name}: most memory", "MiB", (running.memory_mib("VmHWM"),), at_most=AT_MOST_MEMORY_MIB),
            Figure(
                f"{name}: ledger",
                "MiB",
                (running.total("ims_exporter_ledger_size_bytes") / 2**20,),
                at_most=AT_MOST_LEDGER_MIB,
            ),
        ]


def seconds(running: Running) -> float:
    """Returns the duration of the survey according to the log."""
    log = running.log.read_text()
    began, ended = (
        datetime.fromisoformat(re.findall(rf"ts=(\S+) .*event=survey .*outcome={outcome}", log)[0])
        for outcome in ("started", "complete")
    )
    return (ended - began).total_seconds()
