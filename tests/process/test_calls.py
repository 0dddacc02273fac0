"""The number of calls of a poll, counted by the service."""

from __future__ import annotations

import asyncio
import math
import random
from collections import Counter
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from exporter.app import assembled
from exporter.config.load import load_settings
from exporter.jobs.kinds import SMART
from exporter.polling.poller import MAX_REASONS_PER_POLL
from exporter.polling.reconcile import MIN_SLACK_SECONDS
from exporter.simulator.authentication import ACTIONS, Key
from exporter.simulator.server import DEMO_KEY, Simulator

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from exporter.polling.poller import Poller
    from exporter.simulator.job_store import Job, JobStore
    from tests.support.measurements import Measured

pytestmark = pytest.mark.process

LIST = "ListSmartJobs"
GET = "GetSmartHandleJob"
HISTORY = 200_000
OPEN = 1000
HOUR = 3600
DAY = 86400
BIRTHS, MOVES, ENDS = 180, 140, 180
ONLY_LISTS = Key(DEMO_KEY.key_id, DEMO_KEY.secret, actions=frozenset({LIST}))


@dataclass(frozen=True, slots=True)
class Service:
    """A simulated service, and the parts of the exporter that poll it over HTTP."""

    simulator: Simulator
    poller: Poller

    @property
    def jobs(self) -> JobStore:
        """The account's jobs."""
        return self.simulator.jobs

    async def poll(self) -> Counter[str]:
        """Makes one good poll; returns its calls by action."""
        before = Counter(self.simulator.calls)
        await self.poller.run()
        assert self.poller.view.health.up, self.poller.view.health.last_error
        return self.simulator.calls - before


@asynccontextmanager
async def service(key: Key = DEMO_KEY) -> AsyncIterator[Service]:
    """Yields a service with this key and an exporter with its ledger in memory."""
    async with Simulator(keys=[key]) as simulator:
        flags = {
            "region_id": "cn-shanghai",
            "endpoint": simulator.url,
            "max_requests_per_second": "1000",
            "ledger_path": ":memory:",
        }
        names = {"access_key_id_env": "KEY_ID", "access_key_secret_env": "KEY_SECRET"}
        environ = {"KEY_ID": key.key_id, "KEY_SECRET": key.secret}
        variables = {f"IMS_EXPORTER_CREDENTIALS__{name.upper()}": value for name, value in names.items()}
        async with assembled(load_settings(flags, variables), environ) as app:
            yield Service(simulator, app.workers[0].poller)


def fill(store: JobStore, dice: random.Random, oldest_open: float) -> None:
    """Creates a month of ended jobs, and open ones of various ages; none in the last minutes."""
    now = store.now()
    births = [(now - dice.uniform(HOUR / 6, 30 * DAY), dice.choice(SMART.ended_states)) for _ in range(HISTORY)]
    births += [(now - dice.uniform(HOUR / 12, oldest_open), dice.choice(SMART.open_states)) for _ in range(OPEN)]
    for created_at, state in sorted(births):
        store.create(dice.choice(SMART.job_types), state=state, created_at=created_at)


def change(store: JobStore, dice: random.Random) -> None:
    """Makes 500 changes: creates, starts and ends jobs."""
    jobs = [job for state in SMART.open_states for job in store.page(job_state=state, limit=OPEN)]
    dice.shuffle(jobs)
    for _ in range(BIRTHS):
        store.create(dice.choice(SMART.job_types))
    for job in [job for job in jobs if job.state == "Created"][:MOVES]:
        store.move(job.job_id, "Executing")
        jobs.remove(job)
    for job in jobs[:ENDS]:
        end(store, job, dice)


def end(store: JobStore, job: Job, dice: random.Random) -> None:
    """Ends a job, one in three in a failure."""
    failed = dice.random() < 1 / 3
    store.move(job.job_id, "Failed" if failed else "Finished", error=("Code", "message") if failed else None)


def open_counts(counts: dict[tuple[str, str], int]) -> dict[tuple[str, str], int]:
    """Returns the counts of open jobs."""
    return {key: number for key, number in counts.items() if key[1] in SMART.open_states}


async def calls_without_news(open_jobs: int, polls: int) -> list[Counter[str]]:
    """Returns the calls of each poll of a service where nothing happens; there are 2,000 failures of an hour ago."""
    async with service() as target:
        now = target.jobs.now()
        for age in range(2000, 0, -1):
            target.jobs.create("ASR", state="Failed", created_at=now - HOUR - age)
        for state in SMART.open_states:
            for age in range(open_jobs):
                target.jobs.create("ASR", state=state, created_at=now - 3 * HOUR - age)
        return [await target.poll() for _ in range(polls)]


def test_a_poll_of_open_jobs_without_news_costs_three_calls() -> None:
    """Where jobs are open and nothing happens, a poll makes three list calls and no other, whatever the history."""
    assert asyncio.run(calls_without_news(40, 11)) == [{LIST: 3}] * 11


def test_an_idle_poll_costs_one_call() -> None:
    """Where no job is open a poll makes one list call; the first one, and every tenth as a net, makes three."""
    calls = asyncio.run(calls_without_news(0, 21))

    assert calls == [{LIST: 3 if number % 10 == 0 else 1} for number in range(21)]
    assert sum(each[LIST] for each in calls[1:]) <= 1.3 * 20


def jobs_in(store: JobStore, states: tuple[str, ...]) -> list[Job]:
    """Returns the jobs in these states."""
    return [job for state in states for job in store.page(job_state=state, limit=HISTORY)]


def pages_of_news(store: JobStore, open_before: list[Job]) -> int:
    """Returns the pages of the open lists, of the jobs of the last two minutes, and of the ended lists.

    The ended lists count down to the oldest job that has ended.
    """
    still_open = {job.job_id for job in jobs_in(store, SMART.open_states)}
    oldest = min(job.created_at for job in open_before if job.job_id not in still_open)
    newest = sum(job.created_at >= store.now() - MIN_SLACK_SECONDS for job in store.page(limit=HISTORY))
    numbers = [newest, *(store.total(job_state=state) for state in SMART.open_states)]
    numbers += [sum(job.created_at >= oldest for job in jobs_in(store, (state,))) for state in SMART.ended_states]
    return sum(max(1, math.ceil(number / SMART.paging.max_size)) for number in numbers)


@pytest.mark.parametrize(
    ("key", "oldest_open"),
    [(DEMO_KEY, 12 * HOUR), (DEMO_KEY, HOUR), (ONLY_LISTS, HOUR)],
    ids=["details allowed, 12 hours old", "details allowed, an hour old", "details forbidden, an hour old"],
)
def test_a_busy_poll_costs_half_more_than_its_news_at_most(key: Key, oldest_open: float, measured: Measured) -> None:
    """With 200,000 jobs of history and 500 changes, a poll makes at most 1.5 times as many calls as its news has pages.

    Calls for the reasons of failures have a budget of their own.
    """
    dice = random.Random(7)

    async def scenario() -> tuple[Counter[str], int]:
        async with service(key) as target:
            fill(target.jobs, dice, oldest_open)
            await target.poll()
            ended_before = Counter(target.jobs.ended_ever)
            open_before = jobs_in(target.jobs, SMART.open_states)
            change(target.jobs, dice)
            news = pages_of_news(target.jobs, open_before)
            calls = await target.poll()
            snapshot = target.poller.view.snapshot

            assert snapshot is not None
            assert Counter(snapshot.ended) == target.jobs.ended_ever - ended_before
            assert sum(snapshot.created.values()) == BIRTHS
            assert open_counts(dict(snapshot.jobs)) == open_counts(target.jobs.counts())
            return calls, news

    calls, news = asyncio.run(scenario())

    measured(f"busy poll: {calls[LIST]} list calls, {calls[GET]} details calls, {news} pages of news")
    assert calls[LIST] + max(0, calls[GET] - MAX_REASONS_PER_POLL) <= 1.5 * news
    assert key.actions == ACTIONS or calls[GET] <= 1
