"""The command `plan`: how many API calls a configuration will cost, without making one."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from exporter.jobs.kinds import SMART
from exporter.polling.pagination import PAGE_SIZE
from exporter.polling.reading import FEW
from exporter.polling.reconcile import SLACK_SECONDS

if TYPE_CHECKING:
    from exporter.config.settings import Settings

DAY = 86400
IDLE_CALLS = 3
"""The two open lists and the head of all jobs, a page each."""


@dataclass(frozen=True, slots=True)
class Load:
    """What a target is expected to do."""

    open_jobs: int
    jobs_per_day: int
    failure_ratio: float


@dataclass(frozen=True, slots=True)
class Cost:
    """Calls of one target."""

    per_idle_poll: float
    per_poll: float
    survey: float
    """Calls of one survey."""
    per_day: float
    per_second: float
    """The mean rate of the polls."""


def cost(settings: Settings, load: Load) -> Cost:
    """Returns what one target costs under a steady load: the pages of what is open, new and ended."""
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
    """Returns the plan as text for people."""
    each = cost(settings, load)
    targets = settings.polled_targets
    accounts = {target.key.account for target in targets}
    busiest = max(sum(target.key.account == account for target in targets) for account in accounts)
    rate = each.per_second * busiest
    survey_seconds = each.survey / settings.max_requests_per_second * 2
    polls_a_day = DAY / settings.poll_interval_seconds
    rows = (
        ("calls of one target", "a poll", "a day"),
        ("  idle", f"{each.per_idle_poll:.1f}", f"{each.per_idle_poll * polls_a_day:.0f}"),
        ("  with the load above", f"{each.per_poll:.1f}", f"{each.per_poll * polls_a_day:.0f}"),
        (
            f"  survey of {settings.lookback_days} days ({each.survey:.0f} calls each)",
            "",
            f"{each.survey * 24 / settings.survey_interval_hours:.0f}",
        ),
        ("all targets", "", f"{each.per_day * len(targets):.0f}"),
    )
    allowed = settings.max_requests_per_second
    verdict = "" if rate <= allowed else ": TOO FEW, poll less often or allow more"
    lines = (
        f"{len(targets)} target(s), one poll every {settings.poll_interval_seconds:g} seconds",
        (
            f"expected of each: {load.open_jobs} open jobs, {load.jobs_per_day} jobs a day,"
            f" {load.failure_ratio:.1%} of them failing"
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
