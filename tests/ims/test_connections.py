"""Calls of one endpoint share its connections, of which surveys leave most to the polls."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

from exporter.ims.client import RetryBudget
from exporter.ims.connections import BEAT_SECONDS, CONNECTIONS, FOR_SURVEYS, Slots
from tests.support.apiclient import answer, client_of
from tests.support.leapingclock import run_leaping

if TYPE_CHECKING:
    import httpx


async def held(slots: Slots, for_survey: bool, until: asyncio.Event, holders: list[bool]) -> None:  # noqa: FBT001 - a value
    """Holds a slot until told."""
    async with slots.taken(for_survey=for_survey):
        holders.append(for_survey)
        await until.wait()


async def taken_by(*calls: bool) -> list[bool]:
    """Returns who of those that come one after the other has a slot, while nobody goes; True is a survey."""
    slots, until, holders = Slots(), asyncio.Event(), list[bool]()
    async with asyncio.TaskGroup() as group:
        for call in calls:
            group.create_task(held(slots, call, until, holders))
            for _ in range(4):
                await asyncio.sleep(0)
        found = list(holders)
        until.set()
    assert len(holders) == len(calls)
    return found


def test_surveys_leave_slots_to_polls() -> None:
    """However many surveys there are, polls find slots; and there are no more than there are connections."""
    found = asyncio.run(taken_by(*[True] * 100, *[False] * 100))

    assert (found.count(True), found.count(False)) == (FOR_SURVEYS, CONNECTIONS - FOR_SURVEYS)


def test_polls_may_take_all() -> None:
    """Where nothing is surveyed, polls have all connections."""
    assert len(asyncio.run(taken_by(*[False] * 100))) == CONNECTIONS


def test_waiting_for_a_slot_is_no_timeout() -> None:
    """Of very many calls at once none times out for the others' sake: its time runs from when its turn has come."""

    async def slow(_: httpx.Request) -> httpx.Response:
        await asyncio.sleep(9)
        return answer()

    async def scenario() -> int:
        async with client_of(slow, timeout_seconds=10) as client:
            pages = (client.list_smart_jobs(budget=RetryBudget(0)) for _ in range(3 * CONNECTIONS))
            return len(await asyncio.gather(*pages))

    assert run_leaping(scenario) == 3 * CONNECTIONS


def test_who_waits_is_alive_and_may_be_cut_short() -> None:
    """A wait gives signs of life, and a call that is cancelled in it leaves its place to others."""
    beats: list[float] = []

    async def scenario() -> None:
        slots = Slots()
        async with AsyncExitStack() as all_taken:
            for _ in range(CONNECTIONS):
                await all_taken.enter_async_context(slots.taken(for_survey=False))
            waiting = asyncio.create_task(slots.taken(for_survey=False, beat=lambda: beats.append(1)).__aenter__())
            await asyncio.sleep(10 * BEAT_SECONDS)
            waiting.cancel()
            await asyncio.wait([waiting])
        async with AsyncExitStack() as again:
            for _ in range(CONNECTIONS):
                await again.enter_async_context(slots.taken(for_survey=False))

    run_leaping(scenario)

    assert len(beats) >= 9
