"""The search index shows a store with each habit that is on, and with none exactly as it is."""

from __future__ import annotations

from dataclasses import replace
from random import Random
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.jobs.kinds import SMART
from exporter.simulator.habits import OFF, Habits, random_habits
from exporter.simulator.job_store import JobStore
from exporter.simulator.search_index import SearchIndex

if TYPE_CHECKING:
    from exporter.simulator.job_store import Job

START = 1_700_000_000.0
TYPES = (None, *SMART.job_types, "Novel")
STATES = (None, *SMART.job_states, "Paused")
NO_HABIT_SHOWS = Habits(ties_probability=1e-12)
"""Makes the index keep lists of its own, which equal the truth."""
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["create", "move", "delete", "wait"]),
        st.integers(0, 30),
        st.sampled_from([*SMART.job_types, "Novel"]),
        st.sampled_from([*SMART.job_states, "Paused"]),
        st.integers(0, 5),
    ),
    max_size=60,
)


class Bench:
    """A job store, its index, and a clock that is set by hand."""

    def __init__(self, habits: Habits = OFF, seed: int = 0) -> None:
        self.now = START
        self.store = JobStore(lambda: self.now)
        self.index = SearchIndex(self.store, habits, Random(seed))

    def ids(self, job_type: str | None = None, job_state: str | None = None) -> list[str]:
        """Returns the ids of a list, newest first."""
        rows = self.index.page(job_type=job_type, job_state=job_state, limit=1000).rows
        return [job.job_id for job in rows if job]

    def row(self, job_id: str, job_state: str | None = None) -> Job | None:
        """Returns the row of a job in a list."""
        rows = self.index.page(job_state=job_state, limit=1000).rows
        return next((job for job in rows if job and job.job_id == job_id), None)

    def play(self, steps: list[tuple[str, int, str, str, int]]) -> None:
        """Lets the steps happen, with a request after each."""
        ids: list[str] = []
        for what, which, job_type, state, seconds in steps:
            self.now += seconds if what == "wait" else 0
            if what == "create" or not ids:
                ids.append(self.store.create(job_type, state=state, created_at=self.now - seconds))
            elif what == "move":
                self.store.move(ids[which % len(ids)], state)
            elif what == "delete":
                self.store.delete(ids.pop(which % len(ids)))
            self.index.page(job_state=state, offset=which)


def assert_equals_truth(bench: Bench) -> None:
    """Every list, in both orders and by pages of every place, is that of the store."""
    for job_type in TYPES:
        for job_state in STATES:
            total = bench.store.total(job_type, job_state)
            assert bench.index.total(job_type, job_state) == total
            for ascending in (False, True):
                for offset in range(0, total + 1, 7):
                    page = bench.index.page(
                        job_type=job_type, job_state=job_state, offset=offset, limit=7, ascending=ascending
                    )
                    assert page.rows == bench.store.page(
                        job_type=job_type, job_state=job_state, offset=offset, limit=7, ascending=ascending
                    )
                    assert page.total == total
                    assert page.next_offset == (offset + 7 if offset + 7 < total else None)


@pytest.mark.property
@pytest.mark.parametrize("habits", [OFF, NO_HABIT_SHOWS])
@given(steps=STEPS)
def test_without_habits_the_index_is_the_truth(habits: Habits, steps: list[tuple[str, int, str, str, int]]) -> None:
    """With no habit, or none that shows, lists and single jobs are those of the store after any history."""
    bench = Bench(habits)

    bench.play(steps)

    assert_equals_truth(bench)
    assert all(bench.index.get(job.job_id) == job for job in bench.store.all_jobs())
    assert bench.index.get("nobody") is None
    assert not bench.index.seen


@pytest.mark.property
@given(steps=STEPS, seed=st.integers(0, 10_000), mild=st.booleans())
def test_a_store_at_rest_is_shown_as_it_is(
    steps: list[tuple[str, int, str, str, int]],
    seed: int,
    mild: bool,  # noqa: FBT001 - hypothesis passes by name
) -> None:
    """After the longest delay without a change, and with habits of single answers off, every list is the truth."""
    habits = random_habits(Random(seed), mild=mild)
    bench = Bench(habits, seed)

    bench.play(steps)
    bench.now += habits.longest_delay_seconds + habits.get_late_seconds
    if habits.stall_start(bench.now) is not None:
        bench.now += habits.stall_seconds
    bench.index.habits = replace(
        habits,
        ties_probability=1e-12,
        empty_probability=0.0,
        left_out_probability=0.0,
        null_row_probability=0.0,
        row_without_id_probability=0.0,
    )

    assert_equals_truth(bench)
