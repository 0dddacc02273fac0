"""The command `python -m benchmarks`: measures everything, prints one table, exits 1 if a goal is missed."""

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

from benchmarks import calls, long_survey, pages, polls, scrapes, startup, surveys
from benchmarks.results import TABLE_HEADER
from benchmarks.service import running_service
from benchmarks.sizes import FULL, QUICK
from exporter.logs import configure_logging

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from benchmarks.results import Result
    from benchmarks.service import Service
    from benchmarks.sizes import Sizes


def main() -> None:
    """Measures and prints; exits 1 if a goal is missed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "--quick", action="store_true", help="only see that every benchmark runs; its figures mean nothing"
    )
    parser.add_argument("--changes", type=int, metavar="N", help="creations, starts and ends between polls, in total")
    arguments = parser.parse_args()
    sizes = QUICK if arguments.quick else FULL
    configure_logging("error", "logfmt")
    sys.exit(asyncio.run(report(replace(sizes, changes=arguments.changes or sizes.changes))))


async def report(sizes: Sizes) -> int:
    """Prints every result as soon as it is measured; returns 1 if a goal is missed, else 0."""
    started = time.monotonic()
    is_missed = False
    print_now(TABLE_HEADER)
    with tempfile.TemporaryDirectory() as folder, running_service(sizes) as service:
        async for results in run_benchmarks(service, sizes, Path(folder)):
            print_now("".join(result.row() for result in results))
            is_missed |= any(result.is_missed for result in results)
    took = time.monotonic() - started
    print_now(f"\nPython {platform.python_version()}, {platform.machine()}; the whole run took {took:.0f} s.\n")
    print_now("FAIL: a goal is missed\n" if is_missed else "PASS: every goal is met\n")
    return int(is_missed)


async def run_benchmarks(service: Service, sizes: Sizes, folder: Path) -> AsyncIterator[list[Result]]:
    """Runs one benchmark after the other; yields the results of each."""
    yield await calls.measure(service, sizes, folder)
    yield await pages.measure(service, sizes)
    yield await polls.measure(service, sizes, folder)
    yield await scrapes.measure(sizes)
    yield await surveys.measure(service, sizes, folder)
    yield await asyncio.to_thread(long_survey.measure, sizes, folder)
    yield await asyncio.to_thread(startup.measure, service, sizes, folder)


def print_now(text: str) -> None:
    """Prints text without delay."""
    sys.stdout.write(text)
    sys.stdout.flush()


if __name__ == "__main__":
    main()
