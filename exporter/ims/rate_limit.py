"""The rate limit of one account, shared by all its targets. It slows down when the service throttles."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from aiolimiter import AsyncLimiter

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_COST = 16
"""Maximum number of tokens that one call costs: a throttled account runs at no less than 1/16 of its rate."""
CALLS_TO_SPEED_UP = 20
"""Number of successful calls without throttling after which the rate doubles again."""


class AccountLimiter:
    """Limits calls to `per_second`, in bursts of at most a quarter of a second.

    A throttled call halves the rate, down to a sixteenth; every 20 successful calls double it again.
    `observe_wait` receives the seconds that each call waited.
    """

    def __init__(
        self,
        per_second: float,
        observe_wait: Callable[[float], None] = lambda _: None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        burst = max(1.0, per_second / 4)
        self._limiter = AsyncLimiter(burst, burst / per_second)
        self._observe_wait = observe_wait
        self._monotonic = monotonic
        self._cost = 1
        self._successes = 0
        self._paused_until = 0.0

    async def acquire(self, weight: int = 1, heartbeat: Callable[[], None] = lambda: None) -> None:
        """Waits until a call may be made; a call of weight 2 uses twice the budget.

        Calls `heartbeat` after each token, so a long wait at a low rate does not look like a hung poll.
        """
        started = self._monotonic()
        await asyncio.sleep(max(0.0, self._paused_until - started))
        # One token at a time: AsyncLimiter refuses an amount above its burst, and gives no heartbeat in between.
        for _ in range(self._cost * weight):
            await self._limiter.acquire()
            heartbeat()
        self._observe_wait(self._monotonic() - started)

    def record_throttled(self, retry_after: float = 0.0) -> None:
        """Halves the rate after a throttled call, and lets no call pass for `retry_after` seconds."""
        self._cost = min(self._cost * 2, MAX_COST)
        self._successes = 0
        self._paused_until = max(self._paused_until, self._monotonic() + retry_after)

    def record_success(self) -> None:
        """Counts a successful call towards the next doubling of the rate."""
        self._successes += 1
        if self._successes >= CALLS_TO_SPEED_UP:
            self._cost = max(1, self._cost // 2)
            self._successes = 0
