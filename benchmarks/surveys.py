"""Speed of a survey of a month of jobs, and the share of the rate limit that it uses."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.fixtures import LOOKBACK_DAYS, UNLIMITED, connect, make_poller, open_ledger
from benchmarks.results import Result, milliseconds
from benchmarks.service import QUIET_KEY
from benchmarks.timing import measure_cost
from exporter.jobs.kinds import SMART
from exporter.polling.survey import WEIGHT, Survey

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.service import Service
    from benchmarks.sizes import Sizes
    from benchmarks.timing import Cost

SURVEY_INTERVAL_SECONDS = 86400.0


async def measure(service: Service, sizes: Sizes, folder: Path) -> list[Result]:
    """Surveys the quiet account a few times without a rate limit, and once with a limit."""
    fast = [await survey(service, sizes, folder, f"fast-{turn}", UNLIMITED) for turn in range(sizes.fast_surveys)]
    pages, _ = fast[0]
    held, slow = await survey(service, sizes, folder, "held", sizes.survey_rate)
    share = WEIGHT * held / slow.wall_seconds / sizes.survey_rate
    name = f"survey of {sizes.quiet_history:,} jobs"
    return [
        Result(f"{name}: pages", "pages", (pages,)),
        Result(f"{name}, no limit", "pages/s", tuple(pages / each.wall_seconds for _, each in fast)),
        milliseconds(f"{name}: CPU per page", (each.cpu_seconds for _, each in fast), pages),
        Result(f"{name}, limit {sizes.survey_rate:.0f}/s", "pages/s", (held / slow.wall_seconds,)),
        Result(f"{name}: share of the limit that is used, {WEIGHT} a page", "ratio", (share,)),
    ]


async def survey(service: Service, sizes: Sizes, folder: Path, name: str, rate: float) -> tuple[int, Cost]:
    """Runs one survey into a new ledger; returns its pages and cost."""
    with open_ledger(folder, name) as ledger:
        async with connect(service, QUIET_KEY, rate) as client:
            polls = make_poller(service, client, ledger)
            await polls.poll()
            surveying = Survey(
                polls, client, ledger, interval_seconds=SURVEY_INTERVAL_SECONDS, lookback_days=LOOKBACK_DAYS
            )
            before = service.pass_time().list_calls
            took = await measure_cost(surveying.run)
            pages = service.pass_time().list_calls - before
            jobs = (await polls.poll()).jobs
    found = sum(number for (_, state), number in jobs.items() if state in SMART.ended_states)
    if found != sizes.quiet_history:
        raise AssertionError(f"the survey found {found} jobs, not {sizes.quiet_history}")
    return pages, took
