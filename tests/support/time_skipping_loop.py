"""An event loop whose clock leaps to the next timer instead of waiting for it: minutes of pauses take no time."""

from __future__ import annotations

import asyncio
import selectors
import time
from typing import TYPE_CHECKING, TypeVar

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

Value = TypeVar("Value")


class TimeSkippingSelector(selectors.DefaultSelector):
    """Waits for files only, not for time: that it leaps over."""

    def __init__(self) -> None:
        super().__init__()
        self.leapt = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Returns what is ready, or lets the time pass at once."""
        ready = super().select(min(timeout, 0) if timeout else timeout)
        if timeout and not ready:
            self.leapt += max(timeout, 0)
        return ready


def run_skipping_time(main: Callable[[], Coroutine[None, None, Value]]) -> Value:
    """Runs a coroutine; `time.monotonic` leaps with its loop. Not for coroutines that wait for threads or sockets."""
    selector, real = TimeSkippingSelector(), time.monotonic
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(time, "monotonic", lambda: real() + selector.leapt)
        with asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(selector)) as runner:
            return runner.run(main())
