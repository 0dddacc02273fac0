"""The habits of job lists that are served from a search index: late, out of step, out of order, incomplete.

All are off by default. `Habits(filtered_lists_late_seconds=60, empty_probability=0.01)` turns two on. A *change* of a
job is its creation, a move to another state, or its deletion; a delay counts from the change.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from exporter.jobs.kinds import SMART
from exporter.jobs.states import CANCELLED, CREATED, EXECUTING, FAILED, FINISHED
from exporter.spelling import did_you_mean

if TYPE_CHECKING:
    from random import Random

    from exporter.jobs.kinds import JobKind

MAX_SECONDS = 86400.0
"""Maximum length of a delay."""
MILD_DELAY_SECONDS = 119.0
"""Maximum `longest_delay_seconds` of mild random habits: below two minutes, the slack of a poll."""
ROUGH_DELAY_SECONDS = 900.0
"""Maximum `longest_delay_seconds` of rough random habits: 15 minutes, which the exporter promises to bridge."""


def _problem(name: str, value: object) -> str:
    """Returns what is wrong with the value of a field, or nothing."""
    if name.endswith("_seconds"):
        return "" if _is_number(value, MAX_SECONDS) else f"must be a number from 0 to {MAX_SECONDS:g}"
    if name.endswith("_probability"):
        return "" if _is_number(value, 1) else "must be a number from 0 to 1"
    if name.endswith("_ids"):
        return "" if isinstance(value, tuple) and all(map(_is_text, value)) else "must be a list of job ids"
    if name == "get_words":
        is_good = isinstance(value, Mapping) and all(map(_is_text, [*value.keys(), *value.values()]))
        return "" if is_good else "must be an object of texts that are not empty"
    if name == "stalls":
        return "" if isinstance(value, tuple) and all(map(_is_period, value)) else "must be a list of [begin, end]"
    return "" if isinstance(value, bool) else "must be true or false"


def _is_text(value: object) -> bool:
    return isinstance(value, str) and value != ""


def _is_number(value: object, most: float) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= most


def _is_period(value: object) -> bool:
    return (
        isinstance(value, tuple)
        and len(value) == 2  # noqa: PLR2004 - a pair
        and all(_is_number(moment, math.inf) and math.isfinite(moment) for moment in value)
        and value[0] < value[1]
    )


@dataclass(frozen=True, slots=True)
class Habits:
    """What lists and single answers do differently from the truth; raises ValueError for a value out of bounds.

    Fields that end in `_seconds` are from 0 to a day, those in `_probability` from 0 to 1.
    """

    new_jobs_late_seconds: float = 0.0
    """A new job appears in no list before that."""
    unfiltered_list_late_seconds: float = 0.0
    """The list of all jobs is behind the truth."""
    filtered_lists_late_seconds: float = 0.0
    """The lists with a filter by type, state or both are behind the truth."""
    varied: bool = False
    """Each delay of this class is drawn again for each change, between 0 and its value."""

    stopped: bool = False
    """The index takes in no change; it catches up at once when this is off again."""
    stalls: tuple[tuple[float, float], ...] = ()
    """Periods in which the index is stopped, as pairs of Unix times."""
    stall_seconds: float = 0.0
    """The index is stopped for that long, once in `stall_every_seconds`."""
    stall_every_seconds: float = 3600.0
    """Time from the start of one stall to the start of the next."""
    stall_phase_seconds: float = 0.0
    """A stall starts when the Unix time, divided by `stall_every_seconds`, leaves this remainder."""

    gap_seconds: float = 0.0
    """After a move a job is in no list at all for that long."""
    state_gap_seconds: float = 0.0
    """After a move a job is in no list with a filter by state for that long."""
    overlap_seconds: float = 0.0
    """After a move a job stays in the lists of its old state for that long, as it was; with a gap on too, a move has
    the one or the other at random."""
    stale_rows_seconds: float = 0.0
    """A row shows state and times of before the move for that long, in the lists of the new state too."""
    fresh_rows: bool = False
    """A row shows the job as it is now, though the list is late: one that waits in the list can have ended.
    `stale_rows_seconds` has no effect then."""

    ties_probability: float = 0.0
    """Jobs created in the same second come in a random order: probability for a request."""
    empty_probability: float = 0.0
    """A list answers with no row and no token: probability for a request."""
    left_out_probability: float = 0.0
    """A row is missing on its page: probability for each row of a request."""
    null_row_probability: float = 0.0
    """A row is null: probability for each row of a request."""
    null_row_ids: tuple[str, ...] = ()
    """Jobs whose rows are always null."""
    row_without_id_probability: float = 0.0
    """A row has no job id: probability for each row of a request."""
    row_without_id_ids: tuple[str, ...] = ()
    """Jobs whose rows never have a job id."""

    get_late_seconds: float = 0.0
    """The call for a single job is behind the truth, on its own clock: a new job is not found, a deleted one is."""
    get_missing_probability: float = 0.0
    """The call for a single job does not find it: probability for a request."""
    get_missing_ids: tuple[str, ...] = ()
    """Jobs that the call for a single job never finds."""
    get_missing_after_change_seconds: float = 0.0
    """The call for a single job does not find it for that long after its creation and each move."""
    get_words: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    """Other words that the call for a single job has for states: {"Finished": "Success"}."""
    error_late_seconds: float = 0.0
    """A job that failed has no error code for that long, in any answer."""

    def __post_init__(self) -> None:
        for name in _NAMES:
            problem = _problem(name, getattr(self, name))
            if problem:
                raise ValueError(f"{name} {problem}")
        if self.stall_seconds and self.stall_seconds >= self.stall_every_seconds:
            raise ValueError("stall_seconds must be less than stall_every_seconds: the index would never catch up")

    @property
    def delays_lists(self) -> bool:
        """Whether lists can differ from the truth in more than rows of one answer."""
        return bool(
            self.new_jobs_late_seconds
            or self.unfiltered_list_late_seconds
            or self.filtered_lists_late_seconds
            or self.stopped
            or self.stalls
            or self.stall_seconds
            or self.gap_seconds
            or self.state_gap_seconds
            or self.overlap_seconds
            or self.stale_rows_seconds
            or self.ties_probability
        )

    @property
    def longest_delay_seconds(self) -> float:
        """Longest time after a change until every list shows it, as far as the index is not `stopped`."""
        late = max(self.new_jobs_late_seconds, self.unfiltered_list_late_seconds, self.filtered_lists_late_seconds)
        after = max(self.gap_seconds, self.state_gap_seconds, self.overlap_seconds, self.stale_rows_seconds)
        return late + after + max([self.stall_seconds, *(end - begin for begin, end in self.stalls)])

    def stall_start(self, now: float) -> float | None:
        """Returns when the stall began that `now` lies in, or None."""
        for begin, end in self.stalls:
            if begin <= now < end:
                return begin
        if self.stall_seconds:
            since = (now - self.stall_phase_seconds) % self.stall_every_seconds
            if since < self.stall_seconds:
                return now - since
        return None


_NAMES = tuple(habit.name for habit in fields(Habits))
OFF = Habits()
"""No habit: lists and single answers are the truth."""
PRESETS: Mapping[str, Habits] = MappingProxyType(
    {
        "late": Habits(new_jobs_late_seconds=90, unfiltered_list_late_seconds=30, filtered_lists_late_seconds=60),
        "mild": Habits(
            new_jobs_late_seconds=20,
            unfiltered_list_late_seconds=5,
            filtered_lists_late_seconds=10,
            varied=True,
            gap_seconds=5,
            overlap_seconds=5,
            stale_rows_seconds=10,
            ties_probability=0.5,
            empty_probability=0.002,
            left_out_probability=0.001,
            get_late_seconds=5,
            get_missing_probability=0.01,
            error_late_seconds=10,
        ),
        "rough": Habits(
            new_jobs_late_seconds=200,
            unfiltered_list_late_seconds=100,
            filtered_lists_late_seconds=150,
            varied=True,
            stall_seconds=300,
            stall_every_seconds=3600,
            gap_seconds=120,
            overlap_seconds=120,
            stale_rows_seconds=180,
            ties_probability=1,
            empty_probability=0.02,
            left_out_probability=0.01,
            null_row_probability=0.002,
            row_without_id_probability=0.002,
            get_late_seconds=120,
            get_missing_probability=0.05,
            get_missing_after_change_seconds=30,
            error_late_seconds=120,
        ),
    }
)
"""Habits by name, for the command line and the control path."""


def read_habits(given: object, base: Habits = OFF) -> Habits:
    """Returns `base` with the fields of a JSON object, or the preset of {"preset": NAME}; raises ValueError."""
    if not isinstance(given, dict):
        raise ValueError("habits must be a JSON object")  # noqa: TRY004 - what was sent, not a fault of the program
    changes = dict(given)
    if "preset" in changes:
        name = changes.pop("preset")
        if not isinstance(name, str) or name not in PRESETS:
            raise ValueError(f"preset must be one of {', '.join(PRESETS)}")
        base = PRESETS[name]
    for name, value in changes.items():
        if name not in _NAMES:
            raise ValueError(f"{name}: no such habit{did_you_mean(name, _NAMES, or_list=True)}")
        if name == "stalls" and isinstance(value, list):
            changes[name] = tuple(tuple(pair) if isinstance(pair, list) else pair for pair in value)
        elif isinstance(value, list):
            changes[name] = tuple(value)
    return replace(base, **changes)


def habits_fields(habits: Habits) -> dict[str, Any]:
    """Returns the fields of habits as JSON has them."""
    values = {name: getattr(habits, name) for name in _NAMES}
    return {**values, "get_words": dict(habits.get_words)}


def random_habits(random: Random, *, mild: bool = True, kind: JobKind = SMART) -> Habits:
    """Returns habits drawn at random, never none: mild or rough delays, and now and then a wrong answer.

    `longest_delay_seconds` is at most MILD_DELAY_SECONDS or ROUGH_DELAY_SECONDS, and so are the delays of the call for
    a single job and of error codes. `kind` gives the words that the call for a single job can replace.
    """
    longest = MILD_DELAY_SECONDS if mild else ROUGH_DELAY_SECONDS

    def sometimes(share: float, low: float, high: float) -> float:
        return round(random.uniform(low, high), 4) if random.random() < share else 0.0

    lists: dict[str, Any] = {name: float(int(sometimes(0.4, 1, longest))) for name in _LIST_DELAYS}
    single: dict[str, Any] = {name: float(int(sometimes(0.3, 1, longest))) for name in _SINGLE_DELAYS}
    others = {state: _OTHER_WORDS[state] for state in kind.job_states if _OTHER_WORDS[state] not in dict(kind.states)}
    drawn = Habits(
        **{**lists, **single},
        varied=random.random() < 0.5,  # noqa: PLR2004 - a share
        stall_every_seconds=float(random.randrange(1200, 7200)),
        stall_phase_seconds=float(random.randrange(7200)),
        fresh_rows=random.random() < 0.2,  # noqa: PLR2004 - a share
        ties_probability=random.choice((0.0, 0.3, 1.0)),
        empty_probability=sometimes(0.3, 0.001, 0.01 if mild else 0.05),
        left_out_probability=sometimes(0.3, 0.001, 0.005 if mild else 0.02),
        null_row_probability=sometimes(0.2, 0.0005, 0.002 if mild else 0.01),
        row_without_id_probability=sometimes(0.2, 0.0005, 0.002 if mild else 0.01),
        get_missing_probability=sometimes(0.3, 0.01, 0.05 if mild else 0.3),
        get_words=others if random.random() < 0.2 else {},  # noqa: PLR2004 - a share
    )
    excess = drawn.longest_delay_seconds / longest
    if excess > 1:
        shorter: dict[str, Any] = {name: lists[name] // excess for name in _LIST_DELAYS}
        drawn = replace(drawn, **shorter)
    return drawn if drawn.delays_lists else replace(drawn, new_jobs_late_seconds=float(int(longest / 2)))


_LIST_DELAYS = (
    "new_jobs_late_seconds",
    "unfiltered_list_late_seconds",
    "filtered_lists_late_seconds",
    "stall_seconds",
    "gap_seconds",
    "state_gap_seconds",
    "overlap_seconds",
    "stale_rows_seconds",
)
_SINGLE_DELAYS = ("get_late_seconds", "get_missing_after_change_seconds", "error_late_seconds")
_OTHER_WORDS = {
    CREATED: "Init",
    EXECUTING: "Running",
    FINISHED: "Success",
    FAILED: "Fail",
    CANCELLED: "Canceled",
}
