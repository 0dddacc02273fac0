"""Cost of an idle poll, and of the ledger in a busy poll."""

from __future__ import annotations

from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING

from benchmarks import filled_ledger
from benchmarks.fixtures import KEY, connect, make_poller, open_ledger
from benchmarks.results import Result, milliseconds
from benchmarks.service import QUIET_KEY
from benchmarks.timing import measure_cost, measure_in_turn

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.service import Service
    from benchmarks.sizes import Sizes
    from benchmarks.timing import Cost

MAX_IDLE_CALLS = 1.3
"""Goal: list calls of an idle poll, on average."""
IDLE_POLLS = 20
"""Polls whose list calls are counted: two of them read the open lists as well."""


async def measure(service: Service, sizes: Sizes, folder: Path) -> list[Result]:
    """Measures idle polls, commits and loads."""
    return [
        *await idle(service, sizes, folder),
        *await commits(sizes, folder),
        *await loads(sizes, folder),
    ]


async def idle(service: Service, sizes: Sizes, folder: Path) -> list[Result]:
    """Polls the quiet account repeatedly."""
    with open_ledger(folder, "quiet") as ledger:
        async with connect(service, QUIET_KEY) as client:
            poller = make_poller(service, client, ledger)
            (costs,) = await measure_in_turn(sizes.repetitions, poller.poll)
            before = service.pass_time().list_calls
            for _ in range(IDLE_POLLS):
                await poller.poll()
    calls = (service.pass_time().list_calls - before) / IDLE_POLLS
    idle_calls = Result("idle poll: list calls", "calls", (calls,), at_most=MAX_IDLE_CALLS)
    return [idle_calls, *cpu_and_wall("idle poll", costs)]


async def commits(sizes: Sizes, folder: Path) -> list[Result]:
    """Commits the changes of a poll repeatedly."""
    costs = []
    with open_ledger(folder, "commits") as ledger:
        filled_ledger.fill(ledger, sizes.open_jobs)
        for turn in range(2, 2 + sizes.repetitions):
            known = ledger.load(KEY, ())
            now = filled_ledger.NOW + filled_ledger.INTERVAL_SECONDS * turn
            outcome = filled_ledger.next_outcome(known, sizes.changes, now)
            costs.append(await measure_cost(partial(filled_ledger.store, ledger, known, outcome, now)))
    return cpu_and_wall(f"commit of {sizes.changes} changes with {sizes.open_jobs:,} open jobs", costs)


async def loads(sizes: Sizes, folder: Path) -> list[Result]:
    """Loads ledgers of several sizes in turn."""
    with ExitStack() as stack:
        works = []
        for open_jobs in sizes.ledger_jobs:
            ledger = stack.enter_context(open_ledger(folder, f"load-{open_jobs}"))
            filled_ledger.fill(ledger, open_jobs)
            works.append(partial(ledger.load, KEY, ()))
        costs = await measure_in_turn(sizes.repetitions, *works)
    names = (f"load of a ledger with {open_jobs:,} open jobs" for open_jobs in sizes.ledger_jobs)
    return [result for name, each in zip(names, costs, strict=True) for result in cpu_and_wall(name, each)]


def cpu_and_wall(name: str, costs: list[Cost]) -> list[Result]:
    """Returns the CPU and wall time of costs as results."""
    return [
        milliseconds(f"{name}: CPU", (each.cpu_seconds for each in costs)),
        milliseconds(f"{name}: wall", (each.wall_seconds for each in costs)),
    ]
