"""The connections to one endpoint, shared by its targets; surveys have a few of them, so that polls find one free."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

CONNECTIONS = 20
"""Each costs the connection pool a look at every call."""
FOR_SURVEYS = 5
BEAT_SECONDS = 5.0


class Slots:
    """Lets so many calls be made at a time; whoever comes while all slots are taken waits its turn."""

    def __init__(self) -> None:
        self._all = asyncio.Semaphore(CONNECTIONS)
        self._for_surveys = asyncio.Semaphore(FOR_SURVEYS)

    @asynccontextmanager
    async def taken(self, *, for_survey: bool, beat: Callable[[], None] = lambda: None) -> AsyncIterator[None]:
        """Holds a slot for a call; `beat` is called as the wait for it goes on."""
        async with AsyncExitStack() as stack:
            for slots in (self._for_surveys, self._all) if for_survey else (self._all,):
                await _acquire(slots, beat)
                stack.callback(slots.release)
            yield


async def _acquire(slots: asyncio.Semaphore, beat: Callable[[], None]) -> None:
    """Waits in the queue, with a sign of life now and then."""
    if not slots.locked():
        await slots.acquire()
        return
    acquiring = asyncio.ensure_future(slots.acquire())
    try:
        while not acquiring.done():
            await asyncio.wait([acquiring], timeout=BEAT_SECONDS)
            beat()
    except asyncio.CancelledError:
        if not acquiring.cancel():
            slots.release()
        raise
