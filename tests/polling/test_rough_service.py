"""On a service whose lists are late, flaky and out of order, every end is counted once, and counts come out exact."""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections import Counter
from pathlib import Path

import pytest

from exporter.jobs.kinds import SMART
from exporter.polling.reconcile import MAX_LAG_SECONDS
from exporter.simulator.habits import OFF, random_habits
from tests.support.random_history import EventRates, History, InlineExecutor

pytestmark = pytest.mark.property

SEEDS = (0, 2, 3, *range(5, 18))
"""Each history is a test of its own, so that they run in parallel. Those of 1 and 4 do not end within minutes."""
MEMORY_DISK = Path("/dev/shm")  # noqa: S108 - temporary folders are made in it
FOLDER = str(MEMORY_DISK) if os.access(MEMORY_DISK, os.W_OK) else None
INTERVALS = (15, 60, 60, 60, 300, 300)
MILD_SHARE = 0.5
STEPS = 3
"""Times within a poll interval at which something happens."""


def rough_history(seed: int, folder: str) -> History:
    """Returns a history whose service has habits: mild ones, or lags of up to 15 minutes."""
    history = History(seed, folder)
    dice = history.dice
    history.is_strange = False
    history.settings = history.settings._replace(lookback_days=14, job_types=((),))
    history.job_types = ()
    history.interval = dice.choice(INTERVALS)
    history.ledger.close()
    history.start()
    history.service.least_rows = dice.choice((3, 10, 30))
    history.service.index.habits = random_habits(dice, mild=dice.random() < MILD_SHARE)
    history.longest_delay = history.service.index.habits.longest_delay_seconds
    history.service.temper = EventRates(
        births=dice.choice((0.1, 0.3, 0.5)),
        moves=dice.choice((0.1, 0.3, 0.5)),
        open_deletions=dice.choice((0.0, 0.0, 0.01)),
        errors=dice.choice((0.0, 0.0, 0.01)),
        crashes=dice.choice((0.0, 0.0, 0.005)),
        may_get=dice.random() < MILD_SHARE,
    )
    return history


async def live_through(history: History) -> None:
    """Lets the service live for an hour or more while the exporter polls, fails, dies and comes back."""
    service, dice = history.service, history.dice
    for _ in range(dice.randrange(12)):
        service.birth()
    for _ in range(min(max(15, 3600 // history.interval), 80)):
        await history.attempt()
        for _ in range(STEPS):
            service.live(dice.randrange(3 + history.interval // 15))
            service.time += history.interval / STEPS
        if dice.random() < 0.02:
            service.time += dice.choice((400, 4000))


async def come_to_rest(history: History) -> None:
    """Stops the world, lets the index catch up, and ends the habits; then polls until nothing is pending."""
    service = history.service
    service.temper = EventRates(may_get=service.temper.may_get)
    for _ in range(1 + 2 * MAX_LAG_SECONDS // history.interval):
        await history.attempt()
        service.time += history.interval
    service.index.habits = OFF
    for _ in range(12):
        await history.attempt()
        service.time += max(history.interval, 100)


async def check(seed: int, folder: str) -> None:
    """Lives through one history, lets it come to rest, and compares."""
    asyncio.get_running_loop().set_default_executor(InlineExecutor())
    history = rough_history(seed, folder)
    try:
        await live_through(history)
        await come_to_rest(history)
        assert_open_jobs(history)
        assert_ends(history)
    finally:
        history.ledger.close()


def assert_open_jobs(history: History) -> None:
    """The open jobs shown are those of the service."""
    snapshot = history.poller.view.snapshot
    assert snapshot is not None
    truth = Counter((job.job_type, job.state) for job in history.service.jobs.page(limit=100_000))
    shown = {key: number for key, number in snapshot.jobs.items() if number and key[1] in SMART.open_states}
    assert shown == {key: number for key, number in truth.items() if key[1] in SMART.open_states}


def assert_ends(history: History) -> None:
    """Every end since the first poll is counted once, and none twice; every failure has been counted by its reason."""
    snapshot = history.poller.view.snapshot
    assert snapshot is not None
    counted = Counter(history.counted)
    twice = [job_id for job_id, times in counted.items() if times > 1]
    ended = {job_id for job_id, moment in history.service.ended_at.items() if moment > history.since}
    lost = ended - set(counted) - history.service.deleted
    assert (twice, {job_id for job_id in lost if is_due(history, job_id)}) == ([], set())
    assert not lost or snapshot.late_jobs or snapshot.gaps_given_up
    failed = sum(number for (_, state), number in snapshot.ended.items() if state == "Failed")
    assert sum(snapshot.failures.values()) == failed


def is_due(history: History, job_id: str) -> bool:
    """Returns whether a job's end must be counted: a poll knew it, or the lists showed it within 15 minutes."""
    job = history.service.jobs.get(job_id)
    assert job is not None
    hidden = job.modified_at + history.longest_delay - job.created_at
    return job_id in history.remembered or hidden <= MAX_LAG_SECONDS


@pytest.mark.parametrize("seed", SEEDS)
def test_ends_are_counted_once_on_a_rough_service(seed: int) -> None:
    """Whatever the lists hide, repeat or show late by up to 15 minutes, each end is counted exactly once."""
    with tempfile.TemporaryDirectory(dir=FOLDER) as folder:
        asyncio.run(check(seed, folder))
