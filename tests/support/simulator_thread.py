"""Simulated IMS endpoints in a thread, for tests in which another process calls them."""

from __future__ import annotations

import asyncio
import threading
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator

    from exporter.simulator.server import Simulator

Value = TypeVar("Value")
LONGEST_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class SimulatorThread:
    """The event loop of the simulators, in a thread."""

    loop: asyncio.AbstractEventLoop

    def run(self, work: Coroutine[Any, Any, Value]) -> Value:
        """Returns what the coroutine returns."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(LONGEST_SECONDS)

    def do(self, work: Callable[[], Value]) -> Value:
        """Returns what the function returns, called between two answers of the simulators."""

        async def call() -> Value:
            return work()

        return self.run(call())

    @contextmanager
    def in_background(self, work: Coroutine[Any, Any, None]) -> Iterator[None]:
        """Runs a coroutine until the block ends; fails if the coroutine has failed before."""
        task = self.do(lambda: self.loop.create_task(work))
        try:
            yield
        finally:
            self.run(_cancelled(task))


@contextmanager
def running_simulators(*simulators: Simulator) -> Iterator[SimulatorThread]:
    """Runs simulators in a thread until the block ends."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    here = SimulatorThread(loop)
    entered: list[Simulator] = []
    try:
        for simulator in simulators:
            entered.append(here.run(simulator.__aenter__()))  # noqa: PERF401 - what is entered must be left
        yield here
    finally:
        for simulator in entered:
            here.run(simulator.__aexit__())
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def _cancelled(task: asyncio.Task[None]) -> None:
    task.cancel()
    try:
        await task
    except asyncio.CancelledError:
        return
