"""The token bucket that limits how often the server may be asked."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from exporter.web.config.model import RateLimit


class Bucket:
    """Tokens for requests, one more in each interval up to the burst."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._limit: RateLimit | None = None
        self._tokens = 0.0
        self._counted_at = 0.0

    def takes(self, limit: RateLimit) -> bool:
        """Says whether one more request may pass; another limit than last time starts with a full bucket."""
        if not limit.interval:
            return True
        now = self._clock()
        gained = (now - self._counted_at) / limit.interval if limit == self._limit else limit.burst
        self._tokens = min(float(limit.burst), self._tokens + gained)
        self._limit, self._counted_at = limit, now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True
