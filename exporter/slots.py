"""The connections to one endpoint, shared by its targets; surveys have a few of them, so that polls find one free."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

CONNECTIONS = 20
"""Each costs the connection pool a look at every call."""
FOR_SURVEYS = 5


class Slots:
    """Lets so many calls be made at a time; whoever comes while all slots are taken waits its turn."""

    def __init__(self) -> None:
        self._all = asyncio.Semaphore(CONNECTIONS)
        self._for_surveys = asyncio.Semaphore(FOR_SURVEYS)

    @asynccontextmanager
    async def taken(self, weight: int) -> AsyncIterator[None]:
        """Holds a slot for a call; the calls of surveys are those of more weight than one."""
        if weight > 1:
            async with self._for_surveys, self._all:
                yield
        else:
            async with self._all:
                yield
