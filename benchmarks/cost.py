"""What a piece of work takes: seconds on the clock, and of this process's processors."""

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
    """What a piece of work took in this process, all threads together."""

    wall_seconds: float
    cpu_seconds: float


async def cost(work: Callable[[], object]) -> Cost:
    """Does the work once, awaits it where it can be awaited, and returns what it took."""
    gc.collect()
    wall, cpu = time.perf_counter(), time.process_time()
    doing = work()
    if inspect.isawaitable(doing):
        await doing
    return Cost(time.perf_counter() - wall, time.process_time() - cpu)


async def interleaved(repetitions: int, *works: Callable[[], object]) -> list[list[Cost]]:
    """Does the works in turn (A B A B), after a turn that is not measured; returns the costs of each."""
    turns = [[await cost(work) for work in works] for _ in range(1 + repetitions)]
    return [list(costs) for costs in zip(*turns[1:], strict=True)]
