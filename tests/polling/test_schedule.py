"""The timer goes on when this machine's clock is set anew."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, cast

import pytest
from apscheduler.schedulers import base

from exporter.jobs.snapshot import PollKey
from exporter.jobs.target import Target
from exporter.polling.schedule import Worker, make_scheduler, reschedule_on_clock_step

if TYPE_CHECKING:
    from datetime import tzinfo

    from exporter.polling.poller import Poller
    from exporter.polling.survey import Survey

INTERVAL = 0.05
TARGET = Target(PollKey("prod", "cn-shanghai", "smart"), "https://ice.cn-shanghai.aliyuncs.com")


class Clock(datetime):
    """This machine's clock, which somebody sets."""

    ahead = timedelta(0)

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override] # a plain datetime is enough
        """Returns what the clock shows."""
        return datetime.now(tz) + cls.ahead


class Counting(Worker):
    """A worker that counts its polls."""

    def __init__(self) -> None:
        super().__init__(TARGET, cast("Poller", None), cast("Survey", None))
        self.polls = 0
        self.third = asyncio.Event()

    async def cycle(self) -> None:
        """Polls nothing."""
        self.polls += 1
        if self.polls == 3:
            self.third.set()


async def polls_after(ahead: timedelta, *, heeding: bool) -> int:
    """Returns how often a target is polled in twenty intervals after the clock was set."""
    Clock.ahead = timedelta(0)
    worker = Counting()
    scheduler = make_scheduler()
    scheduler.start()
    worker.start(scheduler, INTERVAL)
    heeds = asyncio.create_task(
        reschedule_on_clock_step(
            scheduler, now=lambda: Clock.now(UTC).timestamp(), pause_seconds=INTERVAL if heeding else 3600
        )
    )
    await asyncio.wait_for(worker.third.wait(), 10)
    Clock.ahead = ahead
    before = worker.polls
    await asyncio.sleep(20 * INTERVAL)
    heeds.cancel()
    with suppress(asyncio.CancelledError):
        await heeds
    scheduler.shutdown(wait=False)
    return worker.polls - before


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets the scheduler look at our clock."""
    monkeypatch.setattr(base, "datetime", Clock)


@pytest.mark.parametrize("hours", [-24 * 9999, -1, 1, 24 * 9999])
def test_a_clock_that_is_set(hours: int) -> None:
    """Polls go on, whether the clock was set back or forward."""
    assert asyncio.run(polls_after(timedelta(hours=hours), heeding=True)) > 5


def test_a_clock_set_back_unheeded() -> None:
    """Without our doing the timer would wait until the clock is as late again."""
    assert asyncio.run(polls_after(timedelta(hours=-1), heeding=False)) <= 2
