"""The simulated service in a process of its own, so that its work is not counted as the exporter's.

`python -m benchmarks.service HISTORY OPEN_JOBS CHANGES QUIET_HISTORY` writes a line of JSON when it is ready, and one
for each line `SECONDS CHANGES` it reads: its clock then is so much later, and so many changes have been made meanwhile.
"""

from __future__ import annotations

import asyncio
import gc
import json
import sys

from benchmarks.accounts import Busy, fill_quiet
from exporter.jobs.kinds import SMART
from exporter.polling.reconcile import SLACK_SECONDS
from exporter.simulator.authentication import Key
from exporter.simulator.job_store import Account
from exporter.simulator.server import Simulator

BUSY_KEY = Key("busy-key-id", "busy-key-secret")
QUIET_KEY = Key("quiet-key-id", "quiet-key-secret")
BEHIND_SECONDS = 840.0
"""The clock starts this far behind the real one, which leaves room for 14 polls a minute apart."""


def pass_time(simulator: Simulator, busy: Busy, seconds: float, changes: int) -> int:
    """Sets the clock forward and spreads the changes over that time; returns the pages that hold the changes."""
    before, since = busy.open_jobs(), simulator.clock() - SLACK_SECONDS
    for _ in range(changes):
        simulator.clock_offset += seconds / changes
        busy.change()
    if not changes:
        simulator.clock_offset += seconds
    return busy.pages_of_news(before, since)


def state(simulator: Simulator, busy: Busy, pages_of_news: int = 0) -> str:
    """Returns the state of the service as a line of JSON."""
    counts = busy.jobs.counts()
    ended = sum(number for (_, state), number in counts.items() if state in SMART.ended_states)
    total = busy.jobs.total()
    standing = {
        "url": simulator.url,
        "clock_offset": simulator.clock_offset,
        "list_calls": simulator.calls["ListSmartJobs"],
        "get_calls": simulator.calls["GetSmartHandleJob"],
        "jobs": total,
        "open_jobs": total - ended,
        "pages_of_news": pages_of_news,
    }
    return f"{json.dumps(standing)}\n"


async def serve(history: int, open_jobs: int, changes: int, quiet_history: int) -> None:
    """Serves both accounts until the standard input ends."""
    # The SDK's asynchronous client sends other bytes than it signs: see Gate.
    async with Simulator(keys=[BUSY_KEY, QUIET_KEY], exact_query=False) as simulator:
        simulator.clock_offset = -BEHIND_SECONDS
        busy = Busy(simulator.jobs)
        busy.begin(history, open_jobs, changes)
        simulator.accounts[QUIET_KEY.key_id] = Account(simulator.clock)
        fill_quiet(simulator.accounts[QUIET_KEY.key_id].jobs, quiet_history)
        gc.freeze()
        sys.stdout.write(state(simulator, busy))
        sys.stdout.flush()
        while line := await asyncio.to_thread(sys.stdin.readline):
            seconds, count = line.split()
            pages = pass_time(simulator, busy, float(seconds), int(count))
            sys.stdout.write(state(simulator, busy, pages))
            sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(serve(*map(int, sys.argv[1:])))
