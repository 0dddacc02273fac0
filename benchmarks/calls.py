"""API calls of a poll of a busy account, compared with a plain loop over the official SDK."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from benchmarks.cost import Cost, cost
from benchmarks.figure import Figure, milliseconds, ratios
from benchmarks.rig import connected, opened, poller
from benchmarks.sdk import OfficialSdk
from benchmarks.service import BUSY_KEY
from exporter.jobs.kinds import SMART
from exporter.polling.pagination import PAGE_SIZE

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from benchmarks.rig import Service
    from benchmarks.sizes import Sizes
    from exporter.polling.poller import Poller

INTERVAL_SECONDS = 60.0
WARM_UP_POLLS = 5
"""Number of polls before the measured ones: at first only the oldest jobs run, later any job can be old."""


@dataclass(frozen=True, slots=True)
class Work:
    """Calls and cost of one poll or one plain loop."""

    list_calls: int
    get_calls: int
    cost: Cost

    @property
    def calls(self) -> int:
        """Number of all calls."""
        return self.list_calls + self.get_calls


async def measure(service: Service, sizes: Sizes, folder: Path) -> list[Figure]:
    """Polls once a minute and counts the pages that the plain loop would read; runs that loop once to confirm."""
    polls, pages, news = [], [], []
    with opened(folder, "busy") as ledger:
        async with connected(service, BUSY_KEY) as client:
            polling = poller(service, client, ledger)
            for turn in range(WARM_UP_POLLS + sizes.pairs):
                standing = service.pass_time(INTERVAL_SECONDS, sizes.changes)
                work = await worked(service, partial(poll_all, service, polling))
                if turn >= WARM_UP_POLLS:
                    polls.append(work)
                    pages.append(math.ceil(standing.jobs / PAGE_SIZE))
                    news.append(standing.pages_of_news)
    loop = await worked(service, OfficialSdk(service.standing.url, BUSY_KEY).list_all)
    if loop.calls != pages[-1]:
        raise AssertionError(f"the plain loop made {loop.calls} calls, not {pages[-1]}")
    return figures(polls, pages, news, loop, sizes)


async def poll_all(service: Service, polling: Poller) -> None:
    """Polls; raises AssertionError if the poll missed an open job."""
    jobs = (await polling.poll()).jobs
    found = sum(number for (_, state), number in jobs.items() if state in SMART.open_states)
    if found != service.standing.open_jobs:
        raise AssertionError(f"the poll found {found} open jobs, not {service.standing.open_jobs}")


async def worked(service: Service, work: Callable[[], object]) -> Work:
    """Runs the work, and returns its cost and its calls as the service counted them."""
    before = service.standing
    took = await cost(work)
    after = service.pass_time()
    return Work(after.list_calls - before.list_calls, after.get_calls - before.get_calls, took)


def figures(polls: list[Work], pages: list[int], news: list[int], loop: Work, sizes: Sizes) -> list[Figure]:
    """Returns the figures of the polls, compared with the plain loop."""
    lists = tuple(poll.list_calls for poll in polls)
    calls = tuple(poll.calls for poll in polls)
    return [
        Figure("plain loop over the SDK: list calls", "calls", tuple(pages)),
        Figure("poll: list calls", "calls", lists),
        Figure("poll: list calls and calls for single jobs", "calls", calls),
        ratios("list calls, plain loop / poll", pages, lists, sizes.fewer_calls),
        ratios("all calls, plain loop / poll", pages, calls),
        Figure("pages that hold the open, the new and the lately ended jobs", "pages", tuple(news)),
        ratios("list calls of a poll / pages that hold its news", lists, news),
        ratios("all calls of a poll / pages that hold its news", calls, news, at_most=sizes.more_calls),
        milliseconds("plain loop: CPU", [loop.cost.cpu_seconds]),
        milliseconds("plain loop: wall", [loop.cost.wall_seconds]),
        milliseconds("poll: CPU", (poll.cost.cpu_seconds for poll in polls)),
        milliseconds("poll: wall", (poll.cost.wall_seconds for poll in polls)),
    ]
