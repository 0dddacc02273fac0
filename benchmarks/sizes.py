"""How much is measured: in full, or just enough to see that every benchmark still runs."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Sizes:
    """The sizes of one run."""

    history: int
    """Ended jobs of the busy account."""
    open_jobs: int
    changes: int
    """Births, starts and ends between two polls of the busy account, taken together."""
    pairs: int
    """Repetitions of a poll beside the plain loop."""
    fewer_calls: float
    """The goal: a poll makes so many times fewer calls than the plain loop."""
    more_calls: float
    """The goal: it makes at most so many times more calls than there are pages of what it has to know."""
    quiet_history: int
    """Ended jobs of the quiet account."""
    pages: int
    """Pages read in one repetition."""
    repetitions: int
    ledger_jobs: tuple[int, ...]
    """Open jobs of the ledgers that are loaded."""
    scraped_targets: tuple[int, ...]
    judged_targets: tuple[int, ...]
    """The numbers of targets whose scrapes have goals: 44 have 10,000 samples, 500 have 115,000."""
    remembered_targets: int
    """Targets whose memory is measured."""
    scrapes: int
    fast_surveys: int
    survey_rate: float
    """Calls per second allowed to the survey that is held to its share."""
    long_history: int
    """Ended jobs of an account that is surveyed by a process of its own."""
    long_rate: float
    """Calls per second allowed to that."""
    starts: int
    has_goals_of_time: bool
    """Whether the sizes are such that times mean anything."""


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
    has_goals_of_time=True,
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
    has_goals_of_time=False,
)
