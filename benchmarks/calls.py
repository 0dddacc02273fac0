"""Calls of a poll in a busy account, compared with a plain loop over the official SDK."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from benchmarks.fixtures import connect, make_poller, open_ledger
from benchmarks.results import Result, milliseconds, ratios
from benchmarks.sdk import OfficialSdk
from benchmarks.service import BUSY_KEY
from benchmarks.timing import Cost, measure_cost
from exporter.jobs.kinds import SMART

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from benchmarks.service import Service
    from benchmarks.sizes import Sizes
    from exporter.polling.poller import Poller

INTERVAL_SECONDS = 60.0
WARM_UP_POLLS = 5
"""Polls that are not measured: at first only the oldest jobs run, later any job may be old."""


@dataclass(frozen=True, slots=True)
class Work:
    """Calls and cost of one poll, or of one plain loop."""

    list_calls: int
    get_calls: int
    cost: Cost

    @property
    def calls(self) -> int:
        """List calls and calls for single jobs."""
        return self.list_calls + self.get_calls


async def measure(service: Service, sizes: Sizes, folder: Path) -> list[Result]:
    """Polls once a minute, and counts the pages of a plain loop after each poll; one plain loop is really run."""
    polls, pages, news = [], [], []
    with open_ledger(folder, "busy") as ledger:
        async with connect(service, BUSY_KEY) as client:
            polling = make_poller(service, client, ledger)
            for turn in range(WARM_UP_POLLS + sizes.pairs):
                state = service.pass_time(INTERVAL_SECONDS, sizes.changes)
                work = await measure_work(service, partial(poll_all, service, polling))
                if turn >= WARM_UP_POLLS:
                    polls.append(work)
                    pages.append(math.ceil(state.jobs / SMART.paging.max_size))
                    news.append(state.pages_of_news)
    loop = await measure_work(service, OfficialSdk(service.state.url, BUSY_KEY).list_all)
    if loop.calls != pages[-1]:
        raise AssertionError(f"the plain loop made {loop.calls} calls, not {pages[-1]}")
    return make_results(polls, pages, news, loop, sizes)


async def poll_all(service: Service, polling: Poller) -> None:
    """Polls once; raises AssertionError if the poll did not find all open jobs."""
    jobs = (await polling.poll()).jobs
    found = sum(number for (_, state), number in jobs.items() if state in SMART.open_states)
    if found != service.state.open_jobs:
        raise AssertionError(f"the poll found {found} open jobs, not {service.state.open_jobs}")


async def measure_work(service: Service, work: Callable[[], object]) -> Work:
    """Runs the work and returns its cost, and its calls as counted by the service."""
    before = service.state
    took = await measure_cost(work)
    after = service.pass_time()
    return Work(after.list_calls - before.list_calls, after.get_calls - before.get_calls, took)


def make_results(polls: list[Work], pages: list[int], news: list[int], loop: Work, sizes: Sizes) -> list[Result]:
    """Returns the results of the polls and the plain loop."""
    lists = tuple(poll.list_calls for poll in polls)
    calls = tuple(poll.calls for poll in polls)
    return [
        Result("plain loop over the SDK: list calls", "calls", tuple(pages)),
        Result("poll: list calls", "calls", lists),
        Result("poll: list calls and calls for single jobs", "calls", calls),
        ratios("list calls, plain loop / poll", pages, lists, sizes.fewer_calls),
        ratios("all calls, plain loop / poll", pages, calls),
        Result("pages that hold the open, the new and the lately ended jobs", "pages", tuple(news)),
        ratios("list calls of a poll / pages that hold its news", lists, news),
        ratios("all calls of a poll / pages that hold its news", calls, news, at_most=sizes.more_calls),
        milliseconds("plain loop: CPU", [loop.cost.cpu_seconds]),
        milliseconds("plain loop: wall", [loop.cost.wall_seconds]),
        milliseconds("poll: CPU", (poll.cost.cpu_seconds for poll in polls)),
        milliseconds("poll: wall", (poll.cost.wall_seconds for poll in polls)),
    ]
