"""A poll takes as long as the rate limit allows, or as its longest chain of calls that depend on each other."""

from __future__ import annotations

import asyncio
import random
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from exporter.ims.rate_limit import AccountLimiter
from exporter.jobs.snapshot import PollKey
from exporter.polling.ledger import Ledger
from exporter.polling.poller import Poller, PollSettings
from tests.support.fake_service import FakeService
from tests.support.random_history import InlineExecutor
from tests.support.time_skipping_loop import run_skipping_time

if TYPE_CHECKING:
    from exporter.ims.answers import JobDetails, Page

LATENCY_SECONDS = 0.2
CALLS_PER_SECOND = 20.0
HISTORY, OPEN_JOBS = 5000, 600
TYPES = ("ASR", "DynamicChart", "VideoTranslation", "TextToSpeech")


@dataclass(slots=True)
class SlowService(FakeService):
    """A service that takes its time for each answer, called within a rate limit."""

    limiter: AccountLimiter = field(default_factory=lambda: AccountLimiter(CALLS_PER_SECOND, monotonic=time.monotonic))

    async def list_jobs(self, **options: Any) -> Page:  # noqa: ANN401 - those of the class above
        """Returns one page, after a while."""
        await self.limiter.acquire()
        await asyncio.sleep(LATENCY_SECONDS)
        return await FakeService.list_jobs(self, **options)

    async def get_job(self, job_id: str, **options: Any) -> JobDetails:  # noqa: ANN401 - those of the class above
        """Returns one job, after a while."""
        await self.limiter.acquire()
        await asyncio.sleep(LATENCY_SECONDS)
        return await FakeService.get_job(self, job_id, **options)


def filled(service: FakeService, dice: random.Random) -> list[str]:
    """Fills the service with jobs of a day; returns the open ones."""
    opened = []
    for number in range(HISTORY + OPEN_JOBS):
        age = int(86400 * (1 - number / (HISTORY + OPEN_JOBS))) + 600
        is_open = number % (HISTORY // OPEN_JOBS) == 0
        state = dice.choice(("Created", "Executing")) if is_open else dice.choice(("Finished",) * 19 + ("Failed",))
        job_id = service.create(f"job {number}", age, job_type=dice.choice(TYPES), state=state)
        opened += [job_id] if is_open else []
    return opened


@pytest.mark.parametrize(("ends", "failed_share", "max_ratio"), [(10, 0.5, 1.3), (300, 0.1, 1.3), (300, 0.9, 1.6)])
def test_calls_are_made_side_by_side(ends: int, failed_share: float, max_ratio: float) -> None:
    """A poll takes at most 1.3 times what the rate, or the chain of pages of the lists it must read, takes.

    Where most ends are failures it takes longer: their reasons are asked for once the lists are read.
    """

    async def scenario() -> tuple[float, int, int]:
        asyncio.get_running_loop().set_default_executor(InlineExecutor())
        service, dice = SlowService(now=int(time.time())), random.Random(1)
        opened = filled(service, dice)
        poller = Poller(
            PollKey("a", "r", "smart"), service, Ledger(":memory:"), PollSettings(60, 30, failure_details=True)
        )
        await poller.poll()
        service.jobs.move(opened.pop(), "Failed", error=("E", "it failed"))
        service.now += 60
        await poller.poll()  # a process makes its first details call alone, to see whether it is allowed
        for job_id in dice.sample(opened, ends):
            service.jobs.move(
                job_id, "Failed" if dice.random() < failed_share else "Finished", error=("E", "it failed")
            )
        service.now += 60
        await asyncio.sleep(60)  # the rate limit has its burst back
        calls, started = len(service.calls), time.monotonic()
        await poller.poll()
        made = service.calls[calls:]
        return time.monotonic() - started, len(made), longest_chain(made)

    seconds, calls, chain = run_skipping_time(scenario)

    assert seconds <= max_ratio * max(calls / CALLS_PER_SECOND, chain * LATENCY_SECONDS), (seconds, calls, chain)


def longest_chain(calls: list[str]) -> int:
    """Returns how many calls wait for each other: pages of the open lists, then of a list searched, then a reason."""
    lists = [call.rsplit(" ", 1)[0] for call in calls if not call.startswith("get")]
    opened = lists.count("* Created") + lists.count("* Executing")
    searched = max((lists.count(name) for name in set(lists) if name.endswith(("Finished", "Failed"))), default=0)
    return opened + searched + any(call.startswith("get") for call in calls)
