"""The rate limit of one account, shared by all its targets, which yields when the service throttles."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from aiolimiter import AsyncLimiter

if TYPE_CHECKING:
    from collections.abc import Callable

SLOWEST = 16
"""At the slowest a call costs as much as this many."""
CALM_CALLS = 20
"""So many calls without throttling double the speed again."""


class AccountLimiter:
    """Lets calls pass at `per_second` at most, in bursts of a quarter of a second.

    A throttled account halves its speed, down to a sixteenth; every 20 good calls double it again.
    `waited` is told the seconds each call had to wait.
    """

    def __init__(
        self,
        per_second: float,
        waited: Callable[[float], None] = lambda _: None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        burst = max(1.0, per_second / 4)
        self._limiter = AsyncLimiter(burst, burst / per_second)
        self._waited = waited
        self._monotonic = monotonic
        self._cost = 1
        self._calm = 0
        self._paused_until = 0.0

    async def acquire(self, weight: int = 1, beat: Callable[[], None] = lambda: None) -> None:
        """Waits until a call may be made; a call of weight 2 uses twice the budget.

        `beat` is called as the wait goes on.
        """
        started = self._monotonic()
        await asyncio.sleep(max(0.0, self._paused_until - started))
        for _ in range(self._cost * weight):
            await self._limiter.acquire()
            beat()
        self._waited(self._monotonic() - started)

    def throttled(self, retry_after: float = 0.0) -> None:
        """Notes that the service throttled a call, and for how many seconds it asked to be left alone."""
        self._cost = min(self._cost * 2, SLOWEST)
        self._calm = 0
        self._paused_until = max(self._paused_until, self._monotonic() + retry_after)

    def passed(self) -> None:
        """Notes that the service took a call."""
        self._calm += 1
        if self._calm >= CALM_CALLS:
            self._cost = max(1, self._cost // 2)
            self._calm = 0
