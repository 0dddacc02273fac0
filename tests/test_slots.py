"""Calls of one endpoint share its connections, of which surveys leave most to the polls."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from exporter.api import RetryBudget
from exporter.slots import CONNECTIONS, FOR_SURVEYS, Slots
from exporter.survey import WEIGHT
from tests.apiclient import answer, client_of
from tests.leapingclock import run_leaping

if TYPE_CHECKING:
    import httpx


async def held(slots: Slots, weight: int, until: asyncio.Event, holders: list[int]) -> None:
    """Holds a slot until told."""
    async with slots.taken(weight):
        holders.append(weight)
        await until.wait()


async def taken_by(*weights: int) -> list[int]:
    """Returns who of those that come one after the other has a slot, while nobody goes."""
    slots, until, holders = Slots(), asyncio.Event(), list[int]()
    async with asyncio.TaskGroup() as group:
        for weight in weights:
            group.create_task(held(slots, weight, until, holders))
        for _ in range(10):
            await asyncio.sleep(0)
        found = list(holders)
        until.set()
    assert len(holders) == len(weights)
    return found


def test_surveys_leave_slots_to_polls() -> None:
    """However many surveys there are, polls find slots; and there are no more than there are connections."""
    found = asyncio.run(taken_by(*[WEIGHT] * 100, *[1] * 100))

    assert (found.count(WEIGHT), found.count(1)) == (FOR_SURVEYS, CONNECTIONS - FOR_SURVEYS)


def test_polls_may_take_all() -> None:
    """Where nothing is surveyed, polls have all connections."""
    assert len(asyncio.run(taken_by(*[1] * 100))) == CONNECTIONS


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
