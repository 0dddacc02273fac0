"""The parts of the exporter, wired up as in `exporter.app` but for the rate limit, against the simulated service."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING

from exporter.ims.client import ImsClient, endpoint_pool
from exporter.ims.credentials.source import credential_source
from exporter.ims.rate_limit import AccountLimiter
from exporter.jobs.kinds import SMART
from exporter.jobs.snapshot import PollKey
from exporter.jobs.target import Credentials
from exporter.polling.ledger import Ledger
from exporter.polling.poller import Poller, PollSettings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from benchmarks.sizes import Sizes
    from exporter.simulator.authentication import Key

KEY = PollKey("bench", "cn-shanghai", "smart")
LOOKBACK_DAYS = 30
UNLIMITED = 1e6
"""Rate limit that no client reaches, in calls per second."""


@dataclass(frozen=True, slots=True)
class Standing:
    """State of the service; the jobs are those of the busy account."""

    url: str
    clock_offset: float
    list_calls: int
    get_calls: int
    jobs: int
    open_jobs: int
    pages_of_news: int
    """Number of pages with open jobs, new jobs, and jobs that ended since the last change."""


class Service:
    """The simulated service, running in another process."""

    def __init__(self, orders: IO[str], answers: IO[str]) -> None:
        self._orders = orders
        self._answers = answers
        self.standing = self._read()

    def pass_time(self, seconds: float = 0.0, changes: int = 0) -> Standing:
        """Sets the service's clock forward, makes a number of changes meanwhile, and returns its new state."""
        self._orders.write(f"{seconds} {changes}\n")
        self._orders.flush()
        self.standing = self._read()
        return self.standing

    def now(self) -> float:
        """Returns the time of the service's clock."""
        return time.time() + self.standing.clock_offset

    def _read(self) -> Standing:
        return Standing(**json.loads(self._answers.readline()))


@contextmanager
def running_service(sizes: Sizes) -> Iterator[Service]:
    """Runs the service; yields it when it is ready."""
    numbers = map(str, (sizes.history, sizes.open_jobs, sizes.changes, sizes.quiet_history))
    command = [sys.executable, "-m", "benchmarks.service", *numbers]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603 - our own module
        if process.stdin is None or process.stdout is None:
            raise RuntimeError("the service has no pipes")
        with process.stdin:  # it ends with its input
            yield Service(process.stdin, process.stdout)


@asynccontextmanager
async def connected(service: Service, key: Key, calls_per_second: float = UNLIMITED) -> AsyncIterator[ImsClient]:
    """Yields a client of an account."""
    environ = {"KEY_ID": key.key_id, "KEY_SECRET": key.secret}
    choice = Credentials(access_key_id_env="KEY_ID", access_key_secret_env="KEY_SECRET")  # noqa: S106 - a name
    async with endpoint_pool(service.standing.url, 10.0) as http:
        limiter = AccountLimiter(calls_per_second)
        yield ImsClient(SMART, http, credential_source(choice, environ), limiter, timeout_seconds=10.0)


@contextmanager
def opened(folder: Path, name: str) -> Iterator[Ledger]:
    """Yields a new ledger on disk."""
    ledger = Ledger(str(folder / f"{name}.db"))
    try:
        yield ledger
    finally:
        ledger.close()


def poller(service: Service, client: ImsClient, ledger: Ledger) -> Poller:
    """Returns a poller that uses the service's clock."""
    settings = PollSettings(interval_seconds=60.0, lookback_days=LOOKBACK_DAYS, failure_details=True)
    return Poller(KEY, client, ledger, settings, now=service.now)
