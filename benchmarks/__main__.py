"""Measures everything and prints one table: `python -m benchmarks`; exits with 1 if a goal is missed."""

from __future__ import annotations

import argparse
import asyncio
import platform
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks import calls, histories, pages, polls, scrapes, starts, surveys
from benchmarks.figure import HEAD
from benchmarks.rig import running_service
from benchmarks.sizes import FULL, QUICK
from exporter.logs import configure_logging

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from benchmarks.figure import Figure
    from benchmarks.rig import Service
    from benchmarks.sizes import Sizes


def main() -> None:
    """Measures and prints; exits with 1 if a goal is missed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="only check that every benchmark runs")
    parser.add_argument(
        "--changes", type=int, metavar="N", help="number of changes between two polls: creations, starts and ends"
    )
    arguments = parser.parse_args()
    sizes = QUICK if arguments.quick else FULL
    configure_logging("error", "logfmt")
    sys.exit(asyncio.run(report(replace(sizes, changes=arguments.changes or sizes.changes))))


async def report(sizes: Sizes) -> int:
    """Prints every figure as soon as it is measured; returns 1 if a goal is missed, else 0."""
    started = time.monotonic()
    is_missed = False
    say(HEAD)
    with tempfile.TemporaryDirectory() as folder, running_service(sizes) as service:
        async for figures in measured(service, sizes, Path(folder)):
            say("".join(figure.row() for figure in figures))
            is_missed |= any(figure.is_missed for figure in figures)
    took = time.monotonic() - started
    say(f"\nPython {platform.python_version()}, {platform.machine()}; the whole run took {took:.0f} s.\n")
    say("FAIL: a goal is missed\n" if is_missed else "PASS: every goal is met\n")
    return int(is_missed)


async def measured(service: Service, sizes: Sizes, folder: Path) -> AsyncIterator[list[Figure]]:
    """Runs one benchmark after the other."""
    yield await calls.measure(service, sizes, folder)
    yield await pages.measure(service, sizes)
    yield await polls.measure(service, sizes, folder)
    yield await scrapes.measure(sizes)
    yield await surveys.measure(service, sizes, folder)
    yield await asyncio.to_thread(histories.measure, sizes, folder)
    yield await asyncio.to_thread(starts.measure, service, sizes, folder)


def say(text: str) -> None:
    """Prints a text at once."""
    sys.stdout.write(text)
    sys.stdout.flush()


if __name__ == "__main__":
    main()
