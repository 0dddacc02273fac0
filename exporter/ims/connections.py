"""The connections to one endpoint, shared by its targets. Surveys may use only some, so polls always find one."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

MAX_CONNECTIONS = 20
"""Maximum number of calls in flight to one endpoint; more would slow down the pool, which scans all at every call."""
MAX_SURVEY_CONNECTIONS = 5
"""Maximum number of these calls that surveys make."""
HEARTBEAT_SECONDS = 5.0
"""Time between two heartbeats of a call that waits for its slot."""


class CallSlots:
    """Limits the number of calls in flight; further calls wait in the order in which they came."""

    def __init__(self) -> None:
        self._all = asyncio.Semaphore(MAX_CONNECTIONS)
        self._surveys = asyncio.Semaphore(MAX_SURVEY_CONNECTIONS)

    @asynccontextmanager
    async def acquire(self, *, for_survey: bool, heartbeat: Callable[[], None] = lambda: None) -> AsyncIterator[None]:
        """Holds a slot for one call; calls `heartbeat` every few seconds while it waits for the slot."""
        async with AsyncExitStack() as stack:
            for slots in (self._surveys, self._all) if for_survey else (self._all,):
                await _acquire(slots, heartbeat)
                stack.callback(slots.release)
            yield


async def _acquire(slots: asyncio.Semaphore, heartbeat: Callable[[], None]) -> None:
    if not slots.locked():
        await slots.acquire()
        return
    # A task of its own keeps the place in the queue: a wait that times out and starts again would lose it each time.
    acquiring = asyncio.ensure_future(slots.acquire())
    try:
        while not acquiring.done():
            await asyncio.wait([acquiring], timeout=HEARTBEAT_SECONDS)
            heartbeat()
    except asyncio.CancelledError:
        if not acquiring.cancel():  # the slot was acquired in the same moment
            slots.release()
        raise
