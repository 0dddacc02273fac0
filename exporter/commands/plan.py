"""The command `plan`: estimates the API calls of a configuration, without a call."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from exporter.arguments import number, whole_number
from exporter.commands.output import print_line
from exporter.commands.startup import configure
from exporter.jobs.kinds import KINDS
from exporter.jobs.shards import owner
from exporter.polling.reading import POLLS_PER_DEEP_POLL, POLLS_PER_OPEN_LISTS
from exporter.polling.reconcile import MAX_LAG_SECONDS, MIN_SLACK_SECONDS

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from exporter.arguments import Parser
    from exporter.config.settings import Settings
    from exporter.jobs.kinds import JobKind

DAY = 86400
MAX_JOBS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Load:
    """The expected load of a target."""

    open_jobs: int
    jobs_per_day: int
    failure_ratio: float


@dataclass(frozen=True, slots=True)
class Cost:
    """The API calls for a job kind of one target."""

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


def cost(settings: Settings, load: Load, kind: JobKind) -> Cost:
    """Returns the calls for a job kind of a target under a steady load: the pages of open, new and ended jobs.

    Ended jobs are assumed to have been created an open queue's length ago. A poll without open jobs reads the newest
    jobs alone, and the open lists in every tenth poll.
    """
    interval, size = settings.poll_interval_seconds, kind.paging.max_size
    per_second = load.jobs_per_day / DAY
    per_poll_jobs = per_second * interval
    shallow, deep = interval + MIN_SLACK_SECONDS, POLLS_PER_DEEP_POLL * interval + MAX_LAG_SECONDS
    new = sum(_pages(per_second * span, size) for span in (*[shallow] * (POLLS_PER_DEEP_POLL - 1), deep))
    open_lists = len(kind.open_states)
    by_lists = len(kind.ended_states) * _pages(load.open_jobs + per_poll_jobs, size)
    has_details = settings.failure_details and kind.details is not None
    ended = min(per_poll_jobs, by_lists) if has_details else min(per_poll_jobs * by_lists, by_lists)
    details = per_poll_jobs * load.failure_ratio if has_details else 0.0
    opened = _pages(load.open_jobs / open_lists, size) * open_lists
    per_poll = opened + new / POLLS_PER_DEEP_POLL + ended + details
    survey = _pages(load.jobs_per_day * settings.lookback_days, size) + 1
    polls = DAY / interval
    surveys = 24 / settings.survey_interval_hours
    return Cost(
        1 + open_lists / POLLS_PER_OPEN_LISTS,
        per_poll,
        survey,
        per_poll * polls + survey * surveys,
        per_poll / interval,
    )


def report(settings: Settings, load: Load) -> str:
    """Returns the text of the plan."""
    keys = [target.key for target in settings.polled_targets]
    costs = {name: cost(settings, load, KINDS[name]) for name in dict.fromkeys(key.job_kind for key in keys)}
    rates = {key.account: 0.0 for key in keys}
    for key in keys:
        rates[key.account] += costs[key.job_kind].per_second
    rate, allowed = max(rates.values(), default=0.0), settings.max_requests_per_second
    surveys = {key.account: 0.0 for key in keys}
    for key in keys:  # the surveys of an account share its rate
        surveys[key.account] += costs[key.job_kind].survey
    survey_seconds = max(surveys.values(), default=0.0) / allowed * 2
    verdict = "" if rate <= allowed else ": TOO FEW, increase poll_interval_seconds or max_requests_per_second"
    targets = len({(key.account, key.region_id) for key in keys})
    lines = (
        f"{targets} target(s), one poll every {settings.poll_interval_seconds:g} seconds",
        (
            f"expected load of each: {load.open_jobs} open jobs, {load.jobs_per_day} jobs a day,"
            f" {load.failure_ratio:.1%} of them fail"
        ),
        "",
        *(_row(*row) for name, calls in costs.items() for row in _rows(settings, KINDS[name], calls)),
        _row("all targets", "", f"{sum(costs[key.job_kind].per_day for key in keys):.0f}"),
        "",
        f"the busiest account makes {rate:.2f} calls a second; max_requests_per_second allows {allowed:g}{verdict}",
        (
            f"the first surveys take {survey_seconds:.0f} seconds or more: those of an account share half the allowed"
            " rate"
        ),
        *_fleet(settings, load),
    )
    return "\n".join(lines)


def _fleet(settings: Settings, load: Load) -> Iterator[str]:
    """Yields a line about all shards together, if there are several."""
    if settings.shards == 1:
        return
    costs = {kind.name: cost(settings, load, kind) for kind in KINDS.values()}
    keys = [target.key for target in settings.all_targets]
    targets = {(key.account, key.region_id): owner(key, settings.shards) for key in keys}
    sizes = Counter(targets.values())
    least, most = min(sizes[shard] for shard in range(settings.shards)), max(sizes.values())
    calls = sum(costs[key.job_kind].per_day for key in keys)
    rates = {key.account: 0.0 for key in keys}
    for key in keys:
        rates[key.account] += costs[key.job_kind].per_second
    yield (
        f"all {settings.shards} shards: {len(targets)} target(s), {least} to {most} per shard, {calls:.0f} calls a day;"
        f" the busiest account makes {max(rates.values()):.2f} calls a second"
    )


def _rows(settings: Settings, kind: JobKind, calls: Cost) -> Iterator[tuple[str, str, str]]:
    polls_a_day = DAY / settings.poll_interval_seconds
    yield f"calls for {kind.title} of one target", "a poll", "a day"
    yield "  idle", f"{calls.per_idle_poll:.1f}", f"{calls.per_idle_poll * polls_a_day:.0f}"
    yield "  with the load above", f"{calls.per_poll:.1f}", f"{calls.per_poll * polls_a_day:.0f}"
    surveys = f"{calls.survey * 24 / settings.survey_interval_hours:.0f}"
    yield f"  survey of {settings.lookback_days} days ({calls.survey:.0f} calls each)", "", surveys


def _row(name: str, per_poll: str, per_day: str) -> str:
    return f"{name:<40}{per_poll:>10}{per_day:>12}"


def _pages(jobs: float, size: int) -> int:
    return max(1, math.ceil(jobs / size))
