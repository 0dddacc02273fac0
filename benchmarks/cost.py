"""Cost of a piece of work: wall time, and CPU time of this process."""

from __future__ import annotations

import gc
import inspect
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True, slots=True)
class Cost:
    """Wall time and CPU time of a piece of work, all threads included."""

    wall_seconds: float
    cpu_seconds: float


async def cost(work: Callable[[], object]) -> Cost:
    """Runs the work once, awaits it if it is awaitable, and returns its cost."""
    gc.collect()
    wall, cpu = time.perf_counter(), time.process_time()
    doing = work()
    if inspect.isawaitable(doing):
        await doing
    return Cost(time.perf_counter() - wall, time.process_time() - cpu)


async def interleaved(repetitions: int, *works: Callable[[], object]) -> list[list[Cost]]:
    """Runs the works alternately (A B A B), after a round that is not measured; returns the costs of each."""
    turns = [[await cost(work) for work in works] for _ in range(1 + repetitions)]
    return [list(costs) for costs in zip(*turns[1:], strict=True)]
