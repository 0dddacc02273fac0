"""The command `plan`: estimates the API calls of a configuration, without a call."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from exporter.arguments import number, whole_number
from exporter.commands.output import print_line
from exporter.commands.startup import configure
from exporter.jobs.kinds import SMART
from exporter.polling.pagination import PAGE_SIZE
from exporter.polling.reading import FEW
from exporter.polling.reconcile import SLACK_SECONDS

if TYPE_CHECKING:
    import argparse

    from exporter.arguments import Parser
    from exporter.config.settings import Settings

DAY = 86400
IDLE_CALLS = 3
"""Calls of a poll without news: one page of the newest jobs, and one of each open list."""

MAX_JOBS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Load:
    """The expected load of a target."""

    open_jobs: int
    jobs_per_day: int
    failure_ratio: float


@dataclass(frozen=True, slots=True)
class Cost:
    """The API calls of one target."""

    per_idle_poll: float
    per_poll: float
    survey: float
    """Per survey."""
    per_day: float
    per_second: float
    """Mean rate of the polls."""


def add_load_flags(parser: Parser) -> None:
    """Adds the flags of `plan`."""
    group = parser.add_argument_group("expected load of each target")
    count = whole_number(0, MAX_JOBS)
    group.add_argument("--open-jobs", type=count, default=100, metavar="N", help="open jobs at a time (100)")
    group.add_argument("--jobs-per-day", type=count, default=5000, metavar="N", help="new jobs per day (5000)")
    group.add_argument("--failure-ratio", type=number(0, 1), default=0.02, metavar="R", help="ratio of failures (0.02)")


def plan_command(arguments: argparse.Namespace) -> bool:
    """Prints the estimated API calls of the configuration."""
    load = Load(arguments.open_jobs, arguments.jobs_per_day, arguments.failure_ratio)
    print_line(report(configure(arguments), load))
    return True


def cost(settings: Settings, load: Load) -> Cost:
    """Returns the calls of one target under a steady load: the pages of open, new and ended jobs."""
    interval = settings.poll_interval_seconds
    per_poll_jobs = load.jobs_per_day * interval / DAY
    new = load.jobs_per_day * (interval + SLACK_SECONDS) / DAY
    lists = len(SMART.job_types) * len(SMART.ended_states)
    by_lists = lists + per_poll_jobs / PAGE_SIZE
    ended = min(per_poll_jobs, by_lists) if settings.failure_details else min(per_poll_jobs * FEW, by_lists)
    details = per_poll_jobs * load.failure_ratio if settings.failure_details else 0.0
    per_poll = _pages(load.open_jobs / 2) * 2 + _pages(new) + ended + details
    survey = _pages(load.jobs_per_day * settings.lookback_days) + 1
    polls = DAY / interval
    surveys = 24 / settings.survey_interval_hours
    return Cost(IDLE_CALLS, per_poll, survey, per_poll * polls + survey * surveys, per_poll / interval)


def report(settings: Settings, load: Load) -> str:
    """Returns the text of the plan."""
    calls = cost(settings, load)
    targets = settings.polled_targets
    accounts = {target.key.account for target in targets}
    busiest = max(sum(target.key.account == account for target in targets) for account in accounts)
    rate = calls.per_second * busiest
    survey_seconds = calls.survey / settings.max_requests_per_second * 2
    polls_a_day = DAY / settings.poll_interval_seconds
    rows = (
        ("calls of one target", "a poll", "a day"),
        ("  idle", f"{calls.per_idle_poll:.1f}", f"{calls.per_idle_poll * polls_a_day:.0f}"),
        ("  with the load above", f"{calls.per_poll:.1f}", f"{calls.per_poll * polls_a_day:.0f}"),
        (
            f"  survey of {settings.lookback_days} days ({calls.survey:.0f} calls each)",
            "",
            f"{calls.survey * 24 / settings.survey_interval_hours:.0f}",
        ),
        ("all targets", "", f"{calls.per_day * len(targets):.0f}"),
    )
    allowed = settings.max_requests_per_second
    verdict = "" if rate <= allowed else ": TOO FEW, increase poll_interval_seconds or max_requests_per_second"
    lines = (
        f"{len(targets)} target(s), one poll every {settings.poll_interval_seconds:g} seconds",
        (
            f"expected load of each: {load.open_jobs} open jobs, {load.jobs_per_day} jobs a day,"
            f" {load.failure_ratio:.1%} of them fail"
        ),
        "",
        *(f"{name:<40}{a_poll:>10}{a_day:>12}" for name, a_poll, a_day in rows),
        "",
        f"the busiest account makes {rate:.2f} calls a second; max_requests_per_second allows {allowed:g}{verdict}",
        f"a survey takes {survey_seconds:.0f} seconds or more, at half the allowed rate",
    )
    return "\n".join(lines)


def _pages(jobs: float) -> int:
    return max(1, math.ceil(jobs / PAGE_SIZE))
