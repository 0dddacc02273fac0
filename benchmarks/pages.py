"""CPU per page of 100 jobs: the exporter's client compared with both clients of the official SDK."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from benchmarks.fixtures import connect
from benchmarks.results import Result, milliseconds, ratios
from benchmarks.sdk import OfficialSdk
from benchmarks.service import BUSY_KEY
from benchmarks.timing import measure_in_turn
from exporter.ims.client import RetryBudget
from exporter.jobs.kinds import SMART
from exporter.polling.pagination import Labels
from exporter.polling.reading import Reader
from exporter.polling.reconcile import MIN_SLACK_SECONDS, reconcile
from exporter.polling.records import Known, Observed

if TYPE_CHECKING:
    from benchmarks.service import Service
    from benchmarks.sizes import Sizes
    from exporter.ims.client import ImsClient

NOTHING_KNOWN = Known(SMART, polls=1, polled_at=0)
"""An empty ledger: every job is new, which is the most work for `reconcile`."""

MAX_CPU_RATIO = 0.95
"""Goal: CPU per page of the exporter's client, divided by that of the SDK's synchronous client."""


async def measure(service: Service, sizes: Sizes) -> list[Result]:
    """Reads the newest pages of the busy account in turn by the client, client and reconcile, and the SDK's clients."""
    number = sizes.pages
    sdk = OfficialSdk(service.state.url, BUSY_KEY)
    async with connect(service, BUSY_KEY) as client:
        costs = await measure_in_turn(
            sizes.repetitions,
            lambda: read(client, number),
            lambda: read_and_reconcile(client, number),
            lambda: sdk.list_all(number),
            lambda: sdk.list_pages(number),
        )
    ours, reconciled, blocking, asynchronous = ([each.cpu_seconds for each in some] for some in costs)
    return [
        milliseconds("exporter's client: CPU per page", ours, number),
        milliseconds("exporter's client, rows and reconcile: CPU per page", reconciled, number),
        milliseconds("SDK, synchronous: CPU per page", blocking, number),
        milliseconds("SDK, asynchronous: CPU per page", asynchronous, number),
        ratios(
            "CPU per page, exporter's client / SDK, synchronous",
            ours,
            blocking,
            at_most=MAX_CPU_RATIO if sizes.has_time_goals else None,
        ),
        ratios("CPU per page, exporter's client / SDK, asynchronous", ours, asynchronous),
        ratios("CPU per page, exporter's client, rows and reconcile / SDK, synchronous", reconciled, blocking),
    ]


async def read(client: ImsClient, pages: int) -> None:
    """Reads pages as the poller's client does."""
    budget, token = RetryBudget(0), ""
    for _ in range(pages):
        token = (await client.list_jobs(size=SMART.paging.max_size, token=token, budget=budget)).next_token


async def read_and_reconcile(client: ImsClient, pages: int) -> None:
    """Reads pages as the poller does, and reconciles them."""
    now = int(time.time())
    reader = Reader(client, RetryBudget(0), Labels(SMART), (), SMART.paging.max_size, may_get=False, local_time=now)

    reading = await reader.read_list(reader.cursor(), lambda _: reader.list_calls < pages)
    observed = Observed(
        now, is_deep=False, slack_seconds=MIN_SLACK_SECONDS, rows=reader.rows, newest_gaps=reading.gaps()
    )
    reconcile(NOTHING_KNOWN, observed)
