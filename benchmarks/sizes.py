"""Sizes of the benchmarks: in full, or just large enough to show that every benchmark runs."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Sizes:
    """Sizes of one run."""

    history: int
    """Ended jobs of the busy account."""
    open_jobs: int
    changes: int
    """Creations, starts and ends between two polls of the busy account, in total."""
    pairs: int
    """Polls that are compared with the plain loop."""
    fewer_calls: float
    """Goal: calls of the plain loop, divided by those of a poll."""
    more_calls: float
    """Goal: calls of a poll, divided by the pages of its news."""
    quiet_history: int
    """Ended jobs of the quiet account."""
    pages: int
    """Pages read in one repetition."""
    repetitions: int
    ledger_jobs: tuple[int, ...]
    """Numbers of open jobs in the ledgers that are loaded."""
    scraped_targets: tuple[int, ...]
    judged_targets: tuple[int, ...]
    """The numbers of targets whose scrapes have goals: 44 have 10,000 samples, 500 have 115,000."""
    remembered_targets: int
    """Targets whose memory is measured."""
    scrapes: int
    fast_surveys: int
    survey_rate: float
    """Rate limit of the account whose survey must keep to its share, in calls per second."""
    long_history: int
    """Ended jobs of the account that a process of its own surveys."""
    long_rate: float
    """Rate limit of that account, in calls per second."""
    starts: int
    has_time_goals: bool
    """Whether the sizes are large enough for goals of time."""


FULL = Sizes(
    history=200_000,
    open_jobs=1_000,
    changes=500,
    pairs=7,
    fewer_calls=30.0,
    more_calls=1.5,
    quiet_history=20_000,
    pages=40,
    repetitions=9,
    ledger_jobs=(1_000, 20_000),
    scraped_targets=(1, 44, 500),
    judged_targets=(44, 500),
    remembered_targets=1_000,
    scrapes=9,
    fast_surveys=3,
    survey_rate=50.0,
    long_history=1_000_000,
    long_rate=100.0,
    starts=5,
    has_time_goals=True,
)
QUICK = Sizes(
    history=4_000,
    open_jobs=20,
    changes=12,
    pairs=1,
    fewer_calls=2.0,
    more_calls=3.0,
    quiet_history=1_000,
    pages=2,
    repetitions=1,
    ledger_jobs=(100, 200),
    scraped_targets=(1, 2),
    judged_targets=(),
    remembered_targets=10,
    scrapes=1,
    fast_surveys=1,
    survey_rate=50.0,
    long_history=5_000,
    long_rate=100.0,
    starts=1,
    has_time_goals=False,
)
