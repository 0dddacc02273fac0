"""Cost of polls: an idle poll as a whole, and the ledger's part of a busy poll."""

from __future__ import annotations

from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING

from benchmarks import ledgers
from benchmarks.cost import cost, interleaved
from benchmarks.figure import Figure, milliseconds
from benchmarks.rig import KEY, connected, opened, poller
from benchmarks.service import QUIET_KEY

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.cost import Cost
    from benchmarks.rig import Service
    from benchmarks.sizes import Sizes

IDLE_CALLS = 3.0


async def measure(service: Service, sizes: Sizes, folder: Path) -> list[Figure]:
    """Makes idle polls, commits and loads."""
    return [
        *await idle(service, sizes, folder),
        *await commits(sizes, folder),
        *await loads(sizes, folder),
    ]


async def idle(service: Service, sizes: Sizes, folder: Path) -> list[Figure]:
    """Polls the quiet account."""
    before = service.pass_time().list_calls
    with opened(folder, "quiet") as ledger:
        async with connected(service, QUIET_KEY) as client:
            (costs,) = await interleaved(sizes.repetitions, poller(service, client, ledger).poll)
    calls = (service.pass_time().list_calls - before) / (1 + sizes.repetitions)
    return [Figure("idle poll: list calls", "calls", (calls,), at_most=IDLE_CALLS), *both("idle poll", costs)]


async def commits(sizes: Sizes, folder: Path) -> list[Figure]:
    """Commits the changes of a poll repeatedly."""
    costs = []
    with opened(folder, "commits") as ledger:
        ledgers.begin(ledger, sizes.open_jobs)
        for turn in range(2, 2 + sizes.repetitions):
            known = ledger.load(KEY, ())
            now = ledgers.NOW + ledgers.INTERVAL_SECONDS * turn
            outcome = ledgers.following(known, sizes.changes, now)
            costs.append(await cost(partial(ledgers.store, ledger, known, outcome, now)))
    return both(f"commit of {sizes.changes} changes with {sizes.open_jobs:,} open jobs", costs)


async def loads(sizes: Sizes, folder: Path) -> list[Figure]:
    """Loads ledgers of several sizes in turn."""
    with ExitStack() as stack:
        works = []
        for open_jobs in sizes.ledger_jobs:
            ledger = stack.enter_context(opened(folder, f"load-{open_jobs}"))
            ledgers.begin(ledger, open_jobs)
            works.append(partial(ledger.load, KEY, ()))
        costs = await interleaved(sizes.repetitions, *works)
    names = (f"load of a ledger with {open_jobs:,} open jobs" for open_jobs in sizes.ledger_jobs)
    return [figure for name, each in zip(names, costs, strict=True) for figure in both(name, each)]


def both(name: str, costs: list[Cost]) -> list[Figure]:
    """Returns the two figures of a cost."""
    return [
        milliseconds(f"{name}: CPU", (each.cpu_seconds for each in costs)),
        milliseconds(f"{name}: wall", (each.wall_seconds for each in costs)),
    ]
