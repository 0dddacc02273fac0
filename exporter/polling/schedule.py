"""The worker of one target: polls on a timer, surveys beside the polls, and can be stopped at any moment."""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import structlog
from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.triggers.interval import IntervalTrigger

if TYPE_CHECKING:
    from collections.abc import Callable

    from apscheduler.job import Job

    from exporter.jobs.target import Target
    from exporter.polling.poller import Poller
    from exporter.polling.survey import Survey

MAX_JITTER_SECONDS = 5.0
SET_BACK_SECONDS = 1.0
"""A clock set back by less only makes one poll so much later."""


@dataclass(slots=True, eq=False)
class Worker:
    """Polls one target, and surveys it beside that."""

    target: Target
    poller: Poller
    survey: Survey
    timer: Job | None = None
    tasks: set[asyncio.Task[object]] = field(default_factory=set)
    survey_task: asyncio.Task[bool] | None = None

    def start(self, scheduler: AsyncIOScheduler, interval_seconds: float, delay_seconds: float = 0.0) -> None:
        """Polls after the delay, then on the interval, never twice at a time."""
        trigger = Interval(
            seconds=interval_seconds, jitter=min(MAX_JITTER_SECONDS, interval_seconds / 10), timezone=UTC
        )
        self.timer = scheduler.add_job(
            self.cycle, trigger, next_run_time=datetime.now(UTC) + timedelta(seconds=delay_seconds)
        )

    async def cycle(self) -> None:
        """Makes one poll; after a good one, lets a survey run beside the next polls if one is due."""
        if self.timer is None:
            return  # stopped as the timer struck
        task = asyncio.create_task(self._cycle())
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        await asyncio.wait([task])  # the scheduler would log a poll that `stop` cuts short as an error

    async def _cycle(self) -> None:
        await self.poller.run()
        if self.poller.view.health.up and (self.survey_task is None or self.survey_task.done()):
            self.survey_task = asyncio.create_task(self._survey())

    async def _survey(self) -> bool:
        is_complete = await self.survey.run()
        if is_complete:
            await self.poller.run()
        return is_complete

    async def stop(self) -> None:
        """Ends what is under way; whatever is not stored by now is read again at the next start."""
        if self.timer is not None:
            self.timer.remove()
            self.timer = None
        tasks = [*self.tasks, *([self.survey_task] if self.survey_task else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class Interval(IntervalTrigger):  # type: ignore[misc] # the library is untyped
    """An interval that leaps over what was missed: after a clock was set forward by years that would take minutes."""

    def get_next_fire_time(self, previous_fire_time: datetime | None, now: datetime) -> datetime | None:
        """Returns the next appointment after the last one, or after now if that is long ago."""
        is_long_ago = previous_fire_time is not None and previous_fire_time < now - self.interval
        recent = now if is_long_ago else previous_fire_time
        following: datetime | None = super().get_next_fire_time(recent, now)
        return following


def make_scheduler() -> AsyncIOScheduler:
    """Returns the timer of all workers."""
    logging.getLogger("apscheduler").setLevel(logging.ERROR)  # that a long poll leaves out the next is no news
    return AsyncIOScheduler(
        timezone=UTC, job_defaults={"max_instances": 1, "coalesce": True, "misfire_grace_time": None}
    )


async def reschedule_on_clock_step(
    scheduler: AsyncIOScheduler,
    *,
    now: Callable[[], float] = time.time,
    pause_seconds: float = 5.0,
) -> None:
    """Moves the timer's appointments along when this machine's clock is set back, else it would wait for as long.

    One that is set forward does no harm: what is overdue is done at once, and once.
    """
    offset = now() - time.monotonic()
    while True:
        await asyncio.sleep(pause_seconds)
        before, offset = offset, now() - time.monotonic()
        if offset < before - SET_BACK_SECONDS:
            structlog.get_logger().warning("clock_set_back", seconds=round(before - offset, 3))
            for job in scheduler.get_jobs():
                job.modify(next_run_time=job.next_run_time + timedelta(seconds=offset - before))
