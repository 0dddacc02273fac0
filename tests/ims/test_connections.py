"""Calls of one endpoint share its connections; surveys use at most a few of them."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

from exporter.ims.client import RetryBudget
from exporter.ims.connections import HEARTBEAT_SECONDS, MAX_CONNECTIONS, MAX_SURVEY_CONNECTIONS, CallSlots
from tests.support.api_client import answer, client_of
from tests.support.time_skipping_loop import run_skipping_time

if TYPE_CHECKING:
    import httpx


async def held(slots: CallSlots, for_survey: bool, until: asyncio.Event, holders: list[bool]) -> None:  # noqa: FBT001 - a value
    """Holds a slot until the event is set."""
    async with slots.acquire(for_survey=for_survey):
        holders.append(for_survey)
        await until.wait()


async def with_a_slot(*calls: bool) -> list[bool]:
    """Starts calls in this order (True is a survey) and returns those that get a slot while none ends."""
    slots, until, holders = CallSlots(), asyncio.Event(), list[bool]()
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
    """Surveys never take the slots of polls, and all calls together never exceed the number of connections."""
    found = asyncio.run(with_a_slot(*[True] * 100, *[False] * 100))

    assert found.count(True) == MAX_SURVEY_CONNECTIONS
    assert found.count(False) == MAX_CONNECTIONS - MAX_SURVEY_CONNECTIONS


def test_polls_may_use_all_slots() -> None:
    """Without surveys, polls may use all connections."""
    assert len(asyncio.run(with_a_slot(*[False] * 100))) == MAX_CONNECTIONS


def test_a_wait_for_a_slot_is_not_part_of_the_timeout() -> None:
    """The timeout of a call starts when it has a slot, so no call of a large batch times out in the queue."""

    async def slow(_: httpx.Request) -> httpx.Response:
        await asyncio.sleep(9)
        return answer()

    async def scenario() -> int:
        async with client_of(slow, timeout_seconds=10) as client:
            pages = (client.list_jobs(size=10, budget=RetryBudget(0)) for _ in range(3 * MAX_CONNECTIONS))
            return len(await asyncio.gather(*pages))

    assert run_skipping_time(scenario) == 3 * MAX_CONNECTIONS


def test_a_waiting_call_sends_heartbeats_and_can_be_cancelled() -> None:
    """A waiting call sends heartbeats; once cancelled, it holds no slot."""
    heartbeats: list[float] = []

    async def scenario() -> None:
        slots = CallSlots()
        async with AsyncExitStack() as every_slot:
            for _ in range(MAX_CONNECTIONS):
                await every_slot.enter_async_context(slots.acquire(for_survey=False))
            waiting = asyncio.create_task(
                slots.acquire(for_survey=False, heartbeat=lambda: heartbeats.append(1)).__aenter__()
            )
            await asyncio.sleep(10 * HEARTBEAT_SECONDS)
            waiting.cancel()
            await asyncio.wait([waiting])
        async with AsyncExitStack() as again:
            for _ in range(MAX_CONNECTIONS):
                await again.enter_async_context(slots.acquire(for_survey=False))

    run_skipping_time(scenario)

    assert len(heartbeats) >= 9
