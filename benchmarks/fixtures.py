"""Parts of the exporter, wired up as in `exporter.app` but without a rate limit, for the simulated service."""

from __future__ import annotations

from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING

from exporter.ims.client import ImsClient
from exporter.ims.credentials.source import credential_source
from exporter.ims.http import endpoint_pool
from exporter.ims.rate_limit import AccountLimiter
from exporter.jobs.kinds import SMART
from exporter.jobs.snapshot import PollKey
from exporter.jobs.target import Credentials
from exporter.polling.ledger import Ledger
from exporter.polling.poller import Poller, PollSettings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from benchmarks.service import Service
    from exporter.simulator.authentication import Key

KEY = PollKey("bench", "cn-shanghai", "smart")
LOOKBACK_DAYS = 30
UNLIMITED = 1e6
"""Calls per second, more than any client makes."""


@asynccontextmanager
async def connect(service: Service, key: Key, calls_per_second: float = UNLIMITED) -> AsyncIterator[ImsClient]:
    """Yields a client of an account."""
    environ = {"KEY_ID": key.key_id, "KEY_SECRET": key.secret}
    choice = Credentials(access_key_id_env="KEY_ID", access_key_secret_env="KEY_SECRET")  # noqa: S106 - a name
    async with endpoint_pool(service.state.url, 10.0) as http:
        limiter = AccountLimiter(calls_per_second)
        yield ImsClient(SMART, http, credential_source(choice, environ), limiter, timeout_seconds=10.0)


@contextmanager
def open_ledger(folder: Path, name: str) -> Iterator[Ledger]:
    """Yields a new ledger on disk."""
    ledger = Ledger(str(folder / f"{name}.db"))
    try:
        yield ledger
    finally:
        ledger.close()


def make_poller(service: Service, client: ImsClient, ledger: Ledger) -> Poller:
    """Returns a poller that uses the service's clock."""
    settings = PollSettings(interval_seconds=60.0, lookback_days=LOOKBACK_DAYS, failure_details=True)
    return Poller(KEY, client, ledger, settings, now=service.now)
