"""Habits are checked, read from JSON and drawn at random within bounds."""

from __future__ import annotations

import json
from random import Random
from typing import Any

import pytest

from exporter.simulator.habits import (
    MILD_DELAY_SECONDS,
    OFF,
    PRESETS,
    ROUGH_DELAY_SECONDS,
    Habits,
    habits_fields,
    random_habits,
    read_habits,
)


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ([], "habits must be a JSON object"),
        ({"gap_second": 5}, r"gap_second: no such habit; did you mean gap_seconds\?"),
        ({"colour": 5}, "colour: no such habit; known here: empty_probability, "),
        ({"gap_seconds": -1}, "gap_seconds must be a number from 0 to 86400"),
        ({"gap_seconds": "5"}, "gap_seconds must be a number from 0 to 86400"),
        ({"gap_seconds": True}, "gap_seconds must be a number from 0 to 86400"),
        ({"gap_seconds": float("nan")}, "gap_seconds must be a number from 0 to 86400"),
        ({"gap_seconds": 90_000}, "gap_seconds must be a number from 0 to 86400"),
        ({"empty_probability": 1.5}, "empty_probability must be a number from 0 to 1"),
        ({"varied": 1}, "varied must be true or false"),
        ({"null_row_ids": "job"}, "null_row_ids must be a list of job ids"),
        ({"null_row_ids": [""]}, "null_row_ids must be a list of job ids"),
        ({"get_words": {"Finished": 5}}, "get_words must be an object of texts that are not empty"),
        ({"get_words": ["Finished"]}, "get_words must be an object of texts that are not empty"),
        ({"stalls": [[1]]}, r"stalls must be a list of \[begin, end\]"),
        ({"stalls": [[5, 4]]}, r"stalls must be a list of \[begin, end\]"),
        ({"stalls": [5]}, r"stalls must be a list of \[begin, end\]"),
        ({"stall_seconds": 60, "stall_every_seconds": 60}, "stall_seconds must be less than stall_every_seconds"),
        ({"preset": "wild"}, "preset must be one of late, mild, rough"),
        ({"preset": ["mild"]}, "preset must be one of late, mild, rough"),
    ],
)
def test_bad_habits_are_refused(fields: Any, problem: str) -> None:  # noqa: ANN401 - any JSON
    """Unknown fields, values out of bounds and values of another kind are refused with the reason."""
    with pytest.raises(ValueError, match=problem):
        read_habits(fields)


def test_habits_are_read_as_they_are_written() -> None:
    """The fields of habits survive JSON."""
    habits = Habits(
        gap_seconds=5,
        stalls=((10, 20), (30, 40)),
        null_row_ids=("one", "two"),
        get_words={"Finished": "Success"},
        stopped=True,
    )

    assert read_habits(json.loads(json.dumps(habits_fields(habits)))) == habits


def test_fields_change_the_habits_that_are_on() -> None:
    """Fields that are not given stay; a preset replaces everything, and fields beside it change the preset."""
    base = Habits(gap_seconds=5, varied=True)

    assert read_habits({"gap_seconds": 7}, base) == Habits(gap_seconds=7, varied=True)
    assert read_habits({"preset": "late"}, base) == PRESETS["late"]
    assert read_habits({"preset": "late", "stopped": True}).stopped


@pytest.mark.parametrize(("mild", "longest"), [(True, MILD_DELAY_SECONDS), (False, ROUGH_DELAY_SECONDS)])
def test_random_habits_are_within_bounds(mild: bool, longest: float) -> None:  # noqa: FBT001 - a parameter
    """Each draw has a habit of lists, no delay is beyond the bound, and every habit is drawn at some time."""
    drawn = [random_habits(Random(seed), mild=mild) for seed in range(1000)]

    assert all(habits.delays_lists for habits in drawn)
    assert all(habits.longest_delay_seconds <= longest for habits in drawn)
    assert max(habits.longest_delay_seconds for habits in drawn) > 0.9 * longest
    assert all(max(habits.get_late_seconds, habits.error_late_seconds) <= longest for habits in drawn)
    never = {name for name, off in habits_fields(OFF).items() if all(habits_fields(h)[name] == off for h in drawn)}
    assert never == {"stopped", "stalls", "null_row_ids", "row_without_id_ids", "get_missing_ids"}
    assert random_habits(Random(7), mild=mild) == random_habits(Random(7), mild=mild)
