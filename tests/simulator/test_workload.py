"""The demo's life of jobs is lively, believable and repeatable."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import suppress

import pytest

from exporter.jobs.kinds import SMART
from exporter.simulator.job_store import Account, JobStore
from exporter.simulator.workload import DAY, Workload


class Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 1_700_000_000.0

    def __call__(self) -> float:
        """Returns the time it is set to."""
        return self.now


def lived(
    seconds: int, *, stride: float = 1.0, history: int = 0, seed: int = 0, speed: float = 1.0
) -> tuple[JobStore, Workload]:
    """Returns a world after so many seconds of life."""
    clock = Clock()
    account = Account(clock)
    store = account.jobs
    workload = Workload(account, seed=seed, speed=speed)
    workload.start(history)
    workload.step(clock())
    for _ in range(round(seconds / stride)):
        clock.now += stride
        workload.step(clock())
    return store, workload


def ends(store: JobStore, state: str) -> int:
    """Returns how many jobs ever ended in a state."""
    return sum(count for (_, ended), count in store.ended_ever.items() if ended == state)


@pytest.mark.parametrize("seed", range(8))
def test_two_minutes_show_something(seed: int) -> None:
    """Within two minutes jobs of every type are born, some finish and at least one fails."""
    store, _ = lived(120, seed=seed)

    assert set(store.created_ever) == set(SMART.job_types)
    assert ends(store, "Finished") >= 20
    assert ends(store, "Failed") >= 1


def test_the_same_seed_lives_the_same_life() -> None:
    """Two worlds of one seed are equal job by job; another seed gives another."""
    same = [lived(300, seed=7)[0].page(limit=10_000) for _ in range(2)]
    other = lived(300, seed=8)[0].page(limit=10_000)

    assert same[0] == same[1]
    assert same[0] != other


def test_history_lies_in_its_days() -> None:
    """The past holds the asked number of ended jobs, spread over its days, none ending in the future."""
    store, _ = lived(0, history=5_000)
    now = store.now()

    past = [job for state in SMART.ended_states for job in store.page(job_state=state, limit=10_000)]

    assert len(past) == 5_000
    assert {job.job_type for job in past if job.state == "Failed"} == set(SMART.job_types)
    assert len({int(job.created_at // DAY) for job in past}) >= 30
    assert all(now - 30 * DAY <= job.created_at <= job.modified_at <= now for job in past)


def test_failures_have_reasons_and_one_dominates_the_first_burst() -> None:
    """Every failed job has a code and a message, and the burst of the first minutes has one reason."""
    store, _ = lived(120)

    failed = store.page(job_state="Failed", limit=1_000)

    assert all(job.error and all(job.error) for job in failed)
    reasons = Counter(job.error for job in failed if job.job_type == "TextToSpeech")
    assert max(reasons.values()) >= 3


def test_hours_keep_a_bounded_queue_and_the_stuck_jobs() -> None:
    """Over hours queues build and drain, jobs are deleted, and the jobs that were stuck still are."""
    store, workload = lived(0)
    clock = store.now
    assert isinstance(clock, Clock)
    queued = []

    for _ in range(6 * 360):
        clock.now += 10
        workload.step(clock())
        queued.append(store.total(None, "Created"))

    assert max(queued) >= 5
    assert min(queued) == 0
    assert max(queued) < 200
    assert store.deleted_ever.total() > 10
    oldest = store.page(job_state="Executing", limit=2, ascending=True)
    assert [clock() - job.created_at > 6 * 3600 for job in oldest] == [True, True]


def test_speed_gives_more_jobs() -> None:
    """Ten times the speed gives about ten times the ends in the same time."""
    slow, _ = lived(600)
    fast, _ = lived(600, speed=10.0)

    assert 5 < ends(fast, "Finished") / ends(slow, "Finished") < 20


def test_a_pause_brings_no_avalanche() -> None:
    """After a night's sleep of the machine life goes on with at most a minute's events."""
    store, workload = lived(60)
    clock = store.now
    assert isinstance(clock, Clock)
    before = store.created_ever.total()

    clock.now += 8 * 3600
    workload.step(clock())

    assert store.created_ever.total() - before < 100


def test_jobs_moved_or_deleted_by_others_are_left_alone() -> None:
    """A job that somebody else ended stays as it is, and a deleted one does not come back."""
    store, workload = lived(30)
    clock = store.now
    assert isinstance(clock, Clock)
    ended, deleted = (job.job_id for job in store.page(job_state="Executing", limit=2))
    store.move(ended, "Failed", error=("Mine", "by hand"))
    store.delete(deleted)

    for _ in range(600):
        clock.now += 1
        workload.step(clock())

    job = store.get(ended)
    assert job is not None
    assert (job.state, job.error) == ("Failed", ("Mine", "by hand"))
    assert store.get(deleted) is None


def test_run_lives_until_cancelled() -> None:
    """The loop steps by the world's clock and ends when cancelled."""
    clock = Clock()
    account = Account(clock)
    store = account.jobs
    workload = Workload(account)

    async def scenario() -> None:
        task = asyncio.create_task(workload.run(interval_seconds=0))
        async with asyncio.timeout(10):
            while not ends(store, "Finished"):
                clock.now += 1
                await asyncio.sleep(0)
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task

    asyncio.run(scenario())

    assert store.created_ever.total() > 0
