"""CPU and wall time of a piece of work in this process."""

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
    """Time of a piece of work; the CPU time is that of all threads."""

    wall_seconds: float
    cpu_seconds: float


async def measure_cost(work: Callable[[], object]) -> Cost:
    """Runs the work once, awaits its result if it is awaitable, and returns its cost."""
    gc.collect()
    wall, cpu = time.perf_counter(), time.process_time()
    result = work()
    if inspect.isawaitable(result):
        await result
    return Cost(time.perf_counter() - wall, time.process_time() - cpu)


async def measure_in_turn(repetitions: int, *works: Callable[[], object]) -> list[list[Cost]]:
    """Runs the works in turn (A B A B), after a first turn that is not measured; returns the costs of each."""
    turns = [[await measure_cost(work) for work in works] for _ in range(1 + repetitions)]
    return [list(costs) for costs in zip(*turns[1:], strict=True)]
