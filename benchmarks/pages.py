"""CPU per page of 100 jobs, compared with both clients of the official SDK on the same pages."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING

from benchmarks.cost import interleaved
from benchmarks.figure import Figure, milliseconds, ratios
from benchmarks.rig import connected
from benchmarks.sdk import OfficialSdk
from benchmarks.service import BUSY_KEY
from exporter.ims.client import RetryBudget
from exporter.jobs.kinds import SMART
from exporter.polling.pagination import PAGE_SIZE, Labels
from exporter.polling.reading import Reader
from exporter.polling.reconcile import Known, Observed, reconcile

if TYPE_CHECKING:
    from benchmarks.rig import Service
    from benchmarks.sizes import Sizes
    from exporter.ims.client import ImsClient
    from exporter.polling.pagination import Row

NOTHING_KNOWN = Known(SMART, polls=1, horizon=0)
"""State of an empty ledger, for which every job is new: the most work for `reconcile`."""


async def measure(service: Service, sizes: Sizes) -> list[Figure]:
    """Reads the newest pages of the busy account in turn: client, client and reconcile, the SDK's clients."""
    number = sizes.pages
    sdk = OfficialSdk(service.standing.url, BUSY_KEY)
    async with connected(service, BUSY_KEY) as client:
        costs = await interleaved(
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
        ratios("CPU per page, exporter's client / SDK, synchronous", ours, blocking),
        ratios("CPU per page, exporter's client / SDK, asynchronous", ours, asynchronous),
        ratios("CPU per page, exporter's client, rows and reconcile / SDK, synchronous", reconciled, blocking),
    ]


async def read(client: ImsClient, pages: int) -> None:
    """Reads a number of pages with the exporter's client."""
    budget, token = RetryBudget(0), ""
    for _ in range(pages):
        token = (await client.list_jobs(size=PAGE_SIZE, token=token, budget=budget)).next_token


async def read_and_reconcile(client: ImsClient, pages: int) -> None:
    """Reads a number of pages as the poller does, and reconciles them."""
    now = int(time.time())
    reader = Reader(client, RetryBudget(0), Labels(SMART), (), PAGE_SIZE, may_get=False, local_time=now)

    def goes_on(_rows: tuple[Row, ...]) -> bool:
        return reader.list_calls < pages

    walk = await reader.walk(down_to=-math.inf, goes_on=goes_on)
    reconcile(NOTHING_KNOWN, Observed(now, reader.rows, head_seams=walk.seams()))
