"""The simulated service, in a process of its own so that its CPU time is not counted as the exporter's.

`python -m benchmarks.service HISTORY OPEN_JOBS CHANGES QUIET_HISTORY` prints its state as a line of JSON when it is
ready. For each line `SECONDS CHANGES` on standard input it sets its clock forward by these seconds, makes these changes
in the meantime, and prints its state again.
"""

from __future__ import annotations

import asyncio
import gc
import json
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import IO, TYPE_CHECKING

from benchmarks.accounts import BusyAccount, fill_quiet_account
from exporter.jobs.kinds import SMART
from exporter.polling.reconcile import MIN_SLACK_SECONDS
from exporter.simulator.authentication import Key
from exporter.simulator.job_store import Account
from exporter.simulator.server import Simulator

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.sizes import Sizes

BUSY_KEY = Key("busy-key-id", "busy-key-secret")
QUIET_KEY = Key("quiet-key-id", "quiet-key-secret")
BEHIND_SECONDS = 840.0
"""The clock starts this far behind the real one, which the service tolerates: room for 14 polls a minute apart."""


@dataclass(frozen=True, slots=True)
class ServiceState:
    """State of the service; the jobs are those of the busy account."""

    url: str
    clock_offset: float
    list_calls: int
    get_calls: int
    jobs: int
    open_jobs: int
    pages_of_news: int
    """Pages with the open jobs, the new jobs, and the jobs that ended since the last change."""


class Service:
    """Controls the simulated service in the other process."""

    def __init__(self, requests: IO[str], states: IO[str]) -> None:
        self._requests = requests
        self._states = states
        self.state = self._read()

    def pass_time(self, seconds: float = 0.0, changes: int = 0) -> ServiceState:
        """Sets the service's clock forward, makes changes in the meantime, and returns the new state."""
        self._requests.write(f"{seconds} {changes}\n")
        self._requests.flush()
        self.state = self._read()
        return self.state

    def now(self) -> float:
        """Returns the time of the service's clock."""
        return time.time() + self.state.clock_offset

    def _read(self) -> ServiceState:
        return ServiceState(**json.loads(self._states.readline()))


@contextmanager
def running_service(sizes: Sizes) -> Iterator[Service]:
    """Runs the service in another process; yields its control when it is ready."""
    numbers = map(str, (sizes.history, sizes.open_jobs, sizes.changes, sizes.quiet_history))
    command = [sys.executable, "-m", "benchmarks.service", *numbers]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603 - our own module
        if process.stdin is None or process.stdout is None:
            raise RuntimeError("the service has no pipes")
        with process.stdin:  # it ends with its input
            yield Service(process.stdin, process.stdout)


def pass_time(simulator: Simulator, busy: BusyAccount, seconds: float, changes: int) -> int:
    """Sets the clock forward with the changes spread over that time; returns the pages of news."""
    before, since = busy.open_jobs(), simulator.clock() - MIN_SLACK_SECONDS
    for _ in range(changes):
        simulator.clock_offset += seconds / changes
        busy.make_change()
    if not changes:
        simulator.clock_offset += seconds
    return busy.pages_of_news(before, since)


def print_state(simulator: Simulator, busy: BusyAccount, pages_of_news: int = 0) -> None:
    """Prints the state as a line of JSON."""
    counts = busy.jobs.counts()
    ended = sum(number for (_, state), number in counts.items() if state in SMART.ended_states)
    total = busy.jobs.total()
    state = ServiceState(
        url=simulator.url,
        clock_offset=simulator.clock_offset,
        list_calls=simulator.calls["ListSmartJobs"],
        get_calls=simulator.calls["GetSmartHandleJob"],
        jobs=total,
        open_jobs=total - ended,
        pages_of_news=pages_of_news,
    )
    sys.stdout.write(f"{json.dumps(asdict(state))}\n")
    sys.stdout.flush()


async def serve(history: int, open_jobs: int, changes: int, quiet_history: int) -> None:
    """Serves both accounts until standard input ends."""
    # The SDK's asynchronous client sends a query that differs from the one it signs.
    async with Simulator(keys=[BUSY_KEY, QUIET_KEY], exact_query=False) as simulator:
        simulator.clock_offset = -BEHIND_SECONDS
        busy = BusyAccount(simulator.jobs)
        busy.create_history(history, open_jobs, changes)
        simulator.accounts[QUIET_KEY.key_id] = Account(simulator.clock)
        fill_quiet_account(simulator.accounts[QUIET_KEY.key_id].jobs, quiet_history)
        gc.freeze()
        print_state(simulator, busy)
        while line := await asyncio.to_thread(sys.stdin.readline):
            seconds, count = line.split()
            print_state(simulator, busy, pass_time(simulator, busy, float(seconds), int(count)))


if __name__ == "__main__":
    asyncio.run(serve(*map(int, sys.argv[1:])))
