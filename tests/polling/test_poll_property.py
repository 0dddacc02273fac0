"""Over random histories of jobs, calls, errors and crashes: every count is exact, every end is counted once."""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.jobs.kinds import SMART
from exporter.polling.reconcile import MAX_LAG_SECONDS
from tests.support.random_history import STRANGE_STATES, EventRates, History, InlineExecutor, random_event_rates

pytestmark = pytest.mark.property

HISTORIES = 500
POLLS_UNTIL_EXACT = 2
POLLS_UNTIL_OPEN_LISTS = 10
"""Where no job is known to be open, the open lists are read in every tenth poll."""
POLLS_UNTIL_SETTLED = 12
"""A deletion without a details call takes ten polls if the job shares its second with a page gap."""
CHUNKS = 4
"""Each is a test of its own, so that they run in parallel."""
MEMORY_DISK = Path("/dev/shm")  # noqa: S108 - temporary folders are made in it
FOLDER = str(MEMORY_DISK) if os.access(MEMORY_DISK, os.W_OK) else None


async def live_through(history: History) -> None:
    """Fills the world and lets it live while the exporter polls, fails, dies and comes back."""
    service = history.service
    for _ in range(history.dice.randrange(12)):
        service.birth()
    service.temper = random_event_rates(history)
    service.live(history.dice.randrange(40))
    for _ in range(history.dice.randrange(3, 12)):
        await history.attempt()
        history.pass_time()


async def come_to_rest(history: History) -> None:
    """Stops the world and polls as often as exact counts of open jobs may take."""
    temper = history.service.temper
    history.service.temper = EventRates(
        may_get=temper.may_get, lists_strange=temper.lists_strange, hides_creation=temper.hides_creation
    )
    for _ in range(POLLS_UNTIL_EXACT if history.knows_open_jobs() else POLLS_UNTIL_OPEN_LISTS):
        await history.attempt()
        history.service.time += history.interval


async def settle(history: History) -> None:
    """Polls until no deletion is pending and no reason is owed."""
    for _ in range(POLLS_UNTIL_SETTLED):
        history.service.time += MAX_LAG_SECONDS / 2
        await history.attempt()


async def survey_at_rest(history: History) -> None:
    """Surveys anew once the ledger keeps none of the ended jobs one by one: that corrects deleted ones, too."""
    for _ in range(6):
        history.service.time += 4000
        await history.poller.poll()
    await history.survey.run()
    history.service.time += 4000
    await history.poller.poll()
    await history.survey.run()
    await history.poller.poll()


async def check(seed: int, folder: str) -> None:
    """Lives through one history, lets it come to rest, and compares."""
    asyncio.get_running_loop().set_default_executor(InlineExecutor())
    history = History(seed, folder)
    try:
        await live_through(history)
        await come_to_rest(history)
        assert_counts(history, SMART.open_states if history.has_changed else (*SMART.open_states, *STRANGE_STATES))
        await settle(history)
        assert_counts(history, SMART.open_states)
        assert_each_end_counted_once(history)
        assert_births_and_deletions(history)
        if is_surveyed(history):
            assert_counts(history, SMART.ended_states)
        await survey_at_rest(history)
        assert_counts(history, SMART.ended_states)
    finally:
        history.ledger.close()


def is_surveyed(history: History) -> bool:
    """Whether the ended jobs shown must be exact without another survey: nothing has happened that polls cannot see."""
    service, snapshot = history.service, history.poller.view.snapshot
    assert snapshot is not None
    is_seen = not (service.deleted & service.ended_at.keys() or history.is_strange or service.temper.hides_creation)
    return is_seen and any(state in SMART.ended_states for _, state in snapshot.jobs)


def assert_counts(history: History, states: tuple[str, ...]) -> None:
    """The published counts are the world's; of jobs in undocumented states, which nobody looks through, those met."""
    snapshot = history.poller.view.snapshot
    assert snapshot is not None
    shown = {key: number for key, number in snapshot.jobs.items() if number and key[1] in states}
    truth = Counter(
        (job.job_type, job.state)
        for job in history.service.jobs.page(limit=10_000)
        if job.state in states
        and history.is_polled(job.job_id)
        and (job.state not in STRANGE_STATES or job.job_id in history.remembered)
        and (job.state not in SMART.ended_states or job.created_at >= history.window_start)
    )
    assert shown == truth, (shown, truth)


def assert_each_end_counted_once(history: History) -> None:
    """No end is counted twice, none that a good poll came after is missed, none of before the first poll is counted."""
    snapshot = history.poller.view.snapshot
    assert snapshot is not None
    counted = Counter(history.counted)
    assert not [job_id for job_id, times in counted.items() if times > 1]
    assert not history.must_count - set(counted)
    assert not history.must_not_count & set(counted)
    assert sum(snapshot.ended.values()) == len(list(filter(history.is_polled, history.counted)))
    assert sum(snapshot.failures.values()) == sum(
        number for (_, state), number in snapshot.ended.items() if state == "Failed"
    )


def assert_births_and_deletions(history: History) -> None:
    """Births since the first poll are counted, and jobs met open that went without an end; each once."""
    snapshot, service = history.poller.view.snapshot, history.service
    assert snapshot is not None
    born = {job.job_id for job in service.jobs.page(limit=10_000) if job.created_at > history.since}
    gone = (history.remembered & service.deleted) - set(history.counted)
    assert history.deleted <= len(gone)
    if not history.has_changed:
        assert history.created <= len(service.types)
        assert history.created >= len([job_id for job_id in born if history.is_polled(job_id)])
        assert history.deleted == len(gone)
        assert (sum(snapshot.created.values()), sum(snapshot.deleted.values())) == (history.created, history.deleted)


@pytest.mark.parametrize("chunk", range(CHUNKS))
@settings(max_examples=HISTORIES // CHUNKS)
@given(seed=st.integers(0, 2**32))
def test_counts_are_exact_and_ends_counted_once(chunk: int, seed: int) -> None:
    """Whatever happens between any two calls, counts come out exact, and each end is counted exactly once."""
    del chunk
    with tempfile.TemporaryDirectory(dir=FOLDER) as folder:
        asyncio.run(check(seed, folder))
