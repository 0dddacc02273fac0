"""The search index shows a store with each habit that is on, and with none exactly as it is."""

from __future__ import annotations

from dataclasses import replace
from random import Random
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.jobs.kinds import SMART
from exporter.simulator.habits import OFF, PRESETS, Habits, random_habits
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

    def gets(self, job_id: str) -> str:
        """Returns the state that the call for a single job shows, or `404`."""
        job = self.index.get(job_id)
        return job.state if job else "404"

    def play(self, steps: list[tuple[str, int, str, str, int]]) -> None:
        """Lets the steps happen, with a request after each."""
        for step in steps:
            self.play_one(step)
            self.index.page(job_state=step[3], offset=step[1])

    def play_one(self, step: tuple[str, int, str, str, int]) -> None:
        """Lets one step happen."""
        what, which, job_type, state, seconds = step
        ids = [job.job_id for job in self.store.all_jobs()]
        if what == "wait":
            self.now += seconds
        elif what == "create" or not ids:
            self.store.create(job_type, state=state)
        elif what == "move":
            self.store.move(ids[which % len(ids)], state)
        else:
            self.store.delete(ids[which % len(ids)])


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


@pytest.mark.property
@given(steps=STEPS, late=st.integers(1, 8))
def test_late_lists_are_the_truth_of_before(steps: list[tuple[str, int, str, str, int]], late: int) -> None:
    """Lists that are late show, row by row, what the store held that long ago; the list of all has its own delay."""
    bench = Bench(Habits(filtered_lists_late_seconds=late, unfiltered_list_late_seconds=2 * late))
    past: dict[float, dict[tuple[str | None, str | None], list[Job]]] = {}

    for step in [("wait", 0, "", "", 0), *steps]:
        bench.play_one(step)
        past[bench.now] = {
            (job_type, state): bench.store.page(job_type=job_type, job_state=state, limit=100)
            for job_type in TYPES
            for state in STATES
        }

        for (job_type, state), now in past[bench.now].items():
            delay = late if job_type or state else 2 * late
            known = [moment for moment in past if moment <= bench.now - delay]
            expected = past[max(known)][job_type, state] if known else []
            assert bench.index.page(job_type=job_type, job_state=state, limit=100).rows == expected
            assert now == bench.store.page(job_type=job_type, job_state=state, limit=100)


def test_new_jobs_are_late_in_every_list() -> None:
    """A new job is in no list at first; when it appears, it is where it is by then."""
    bench = Bench(Habits(new_jobs_late_seconds=60))
    job = bench.store.create("ASR")

    bench.now += 59
    bench.store.move(job, "Executing")

    assert bench.ids() == bench.ids("ASR") == bench.ids(None, "Created") == bench.ids(None, "Executing") == []
    bench.now += 1
    assert bench.ids() == bench.ids("ASR") == bench.ids(None, "Executing") == bench.ids("ASR", "Executing") == [job]
    assert bench.ids(None, "Created") == []


def test_a_job_with_times_in_the_past_counts_as_old() -> None:
    """The delay of a job that is created with times in the past has passed in part or as a whole."""
    bench = Bench(Habits(new_jobs_late_seconds=60))

    old = bench.store.create("ASR", state="Finished", created_at=START - 3600, modified_at=START - 100)
    young = bench.store.create("ASR", created_at=START - 50)

    assert bench.ids() == [old]
    bench.now += 10
    assert bench.ids() == [young, old]


def test_jobs_from_before_a_habit_are_in_the_lists() -> None:
    """A habit that is turned on delays what follows; one that is turned off shows everything at once."""
    bench = Bench()
    first = bench.store.create("ASR")
    bench.index.habits = Habits(new_jobs_late_seconds=60)
    second = bench.store.create("ASR")

    assert bench.ids() == [first]
    bench.index.habits = OFF
    assert bench.ids() == [second, first]
    bench.index.habits = Habits(new_jobs_late_seconds=60)
    assert bench.ids() == [second, first]


def test_a_stopped_index_takes_in_nothing() -> None:
    """While it is stopped, creations, moves and deletions do not show, also those of that very moment; then all do."""
    bench = Bench(NO_HABIT_SHOWS)
    moved, deleted = bench.store.create("ASR"), bench.store.create("ASR")
    bench.index.habits = replace(NO_HABIT_SHOWS, stopped=True)

    bench.store.move(moved, "Finished")
    bench.store.delete(deleted)
    bench.store.create("ASR", job_id="new", created_at=START - 10)
    bench.now += 600

    assert bench.ids() == bench.ids(None, "Created") == [deleted, moved]
    bench.index.habits = replace(NO_HABIT_SHOWS, stopped=False)
    assert bench.ids() == [moved, "new"]
    assert bench.ids(None, "Finished") == [moved]


@pytest.mark.parametrize(
    "habits",
    [
        Habits(stalls=((START + 100, START + 340),)),
        Habits(stall_seconds=240, stall_every_seconds=1000, stall_phase_seconds=100),
    ],
)
def test_an_index_that_stalls_catches_up(habits: Habits) -> None:
    """What happens in a stall, given or periodic, shows at its end; what happened before shows all the time."""
    bench = Bench(habits)
    bench.now += 99
    before = bench.store.create("ASR")
    bench.now += 1
    within = bench.store.create("ASR")

    assert bench.ids() == [before]
    bench.now += 239
    assert bench.ids() == [before]
    bench.now += 1
    assert bench.ids() == [within, before]


def test_a_moved_job_is_in_no_list_for_a_while() -> None:
    """With a gap, a job that moves leaves every list and enters those of its new state later."""
    bench = Bench(Habits(gap_seconds=30))
    job = bench.store.create("ASR")

    bench.store.move(job, "Executing")

    assert not any(bench.ids(job_type, state) for job_type in TYPES for state in STATES)
    bench.now += 30
    assert bench.ids() == bench.ids("ASR") == bench.ids("ASR", "Executing") == [job]
    assert bench.ids(None, "Created") == []


def test_a_moved_job_is_in_no_list_of_a_state_for_a_while() -> None:
    """With a gap of states, a job that moves is still in the lists without that filter."""
    bench = Bench(Habits(state_gap_seconds=30))
    job = bench.store.create("ASR")

    bench.store.move(job, "Executing")

    assert not any(bench.ids(job_type, state) for job_type in TYPES for state in STATES[1:])
    assert bench.ids() == bench.ids("ASR") == [job]
    bench.now += 30
    assert bench.ids(None, "Executing") == [job]


def test_a_job_that_moves_on_within_its_gap_does_not_come_back() -> None:
    """A job that moves twice within a gap is in the list of the state between at no time."""
    bench = Bench(Habits(state_gap_seconds=30))
    job = bench.store.create("ASR")
    bench.store.move(job, "Executing")
    bench.now += 10

    bench.store.move(job, "Finished")

    for _ in range(50):
        assert bench.ids(None, "Executing") == []
        bench.now += 1
    assert bench.ids(None, "Finished") == [job]


def test_a_moved_job_is_in_two_lists_for_a_while() -> None:
    """With an overlap, a job that moves is in the lists of both states, in each as it was there."""
    bench = Bench(Habits(overlap_seconds=30))
    job = bench.store.create("ASR")
    bench.now += 5

    bench.store.move(job, "Executing")

    assert bench.ids(None, "Created") == bench.ids(None, "Executing") == bench.ids() == [job]
    old, new = bench.row(job, "Created"), bench.row(job, "Executing")
    assert old is not None
    assert new is not None
    assert (old.state, old.modified_at, new.state, new.modified_at) == ("Created", START, "Executing", START + 5)
    bench.now += 30
    assert bench.ids(None, "Created") == []
    assert bench.ids(None, "Executing") == [job]


def test_a_job_that_comes_back_to_a_list_is_shown_as_it_is() -> None:
    """The row of a job that returns to an earlier state after an overlap is the new one."""
    bench = Bench(Habits(overlap_seconds=30))
    job = bench.store.create("ASR")
    bench.store.move(job, "Paused")
    bench.now += 60

    bench.store.move(job, "Created")

    assert bench.row(job, "Created") == bench.store.get(job)


def test_a_move_has_a_gap_or_an_overlap() -> None:
    """With both on, each job is for a while in no list or in two."""
    bench = Bench(Habits(gap_seconds=30, overlap_seconds=30))
    jobs = [bench.store.create("ASR") for _ in range(50)]

    for job in jobs:
        bench.store.move(job, "Executing")

    old, new = set(bench.ids(None, "Created")), set(bench.ids(None, "Executing"))
    assert old == new == set(bench.ids())
    assert 0 < len(old) < 50


def test_rows_show_the_state_of_before() -> None:
    """A stale row in the list of the new state shows state and time of the old one, and later the new ones."""
    bench = Bench(Habits(stale_rows_seconds=30))
    job = bench.store.create("ASR")
    bench.now += 5

    bench.store.move(job, "Failed", error=("Code", "Message"))

    assert bench.ids(None, "Created") == []
    stale = bench.row(job, "Failed")
    assert stale is not None
    assert (stale.state, stale.modified_at, stale.error) == ("Created", START, None)
    assert bench.row(job) == stale
    bench.now += 30
    assert bench.row(job, "Failed") == bench.row(job) == bench.store.get(job)


def test_rows_of_late_lists_can_be_fresh() -> None:
    """A job that waits in a late list can show the state that it has by now; a deleted one has no row."""
    bench = Bench(Habits(filtered_lists_late_seconds=60, fresh_rows=True))
    deleted, job = bench.store.create("ASR"), bench.store.create("ASR")
    bench.now += 60
    assert bench.ids(None, "Created") == [job, deleted]

    bench.store.move(job, "Finished")
    bench.store.delete(deleted)

    assert bench.ids(None, "Finished") == []
    assert bench.ids(None, "Created") == [job]
    assert bench.row(job, "Created") == bench.store.get(job)
    bench.store.create("ASR", job_id=deleted)
    assert bench.ids(None, "Created") == [job]


def test_delays_can_vary() -> None:
    """Varied delays differ from job to job, and none is longer than the habit says."""
    bench = Bench(Habits(new_jobs_late_seconds=100, varied=True))
    for _ in range(100):
        bench.store.create("ASR")
    bench.now += 50

    half = len(bench.ids())
    bench.now += 50

    assert 30 < half < 70
    assert len(bench.ids()) == 100


def test_ties_come_in_another_order_in_each_request() -> None:
    """Jobs of one second are shuffled in each request, those of other seconds stay in order."""
    bench = Bench(Habits(ties_probability=1))
    newest, *ties, oldest = [bench.store.create("ASR", created_at=START - age) for age in (0, 5, 5.5, 5.2, 5.9, 9)]
    tied = bench.store.create("ASR", created_at=START - 5.7)
    oldest_tie = ties.pop(0)
    same_second = {tied, *ties}

    orders = {tuple(bench.ids()) for _ in range(100)}

    assert len(orders) > 10
    for order in orders:
        assert order[:2] == (newest, oldest_tie)
        assert set(order[2:-1]) == same_second
        assert order[-1] == oldest


def test_ties_slip_between_pages() -> None:
    """Pages by offsets of one second show some jobs twice and others never, and no page has one job twice."""
    bench = Bench(Habits(ties_probability=1))
    everything = {bench.store.create("ASR") for _ in range(300)}

    pages = [[job.job_id for job in bench.index.page(offset=o, limit=100).rows if job] for o in (0, 100, 200)]

    assert all(len(page) == len(set(page)) == 100 for page in pages)
    assert len({job for page in pages for job in page}) < len(everything)
    rising = bench.index.page(limit=300, ascending=True).rows
    assert {job.job_id for job in rising if job} == everything


def test_an_answer_can_be_empty() -> None:
    """An empty answer has no rows, no next page and a total of 0, also in the middle of a list."""
    bench = Bench(Habits(empty_probability=0.5))
    for _ in range(100):
        bench.store.create("ASR")

    pages = [bench.index.page(offset=20, limit=10) for _ in range(200)]

    empty = [page for page in pages if not page.rows]
    assert 70 < len(empty) < 130
    assert all((page.next_offset, page.total) == (None, 0) for page in empty)
    assert all((len(page.rows), page.next_offset, page.total) == (10, 30, 100) for page in pages if page.rows)
    assert bench.index.seen == {"empty_probability": len(empty)}


def test_rows_can_be_left_out_or_broken() -> None:
    """Rows are left out, null or without id by chance, drawn for each request; what else they say is true."""
    habits = Habits(left_out_probability=0.2, null_row_probability=0.2, row_without_id_probability=0.2)
    bench = Bench(habits)
    truth = [bench.store.get(bench.store.create("ASR")) for _ in range(1000)]

    page = bench.index.page(limit=1000)

    without_id = [job for job in page.rows if job and not job.job_id]
    whole = [job for job in page.rows if job and job.job_id]
    assert 750 < len(page.rows) < 850
    assert 120 < page.rows.count(None) < 200
    assert 90 < len(without_id) < 170
    assert {job.title for job in without_id} == {""}
    assert set(whole) < set(truth)
    assert page.total == 1000


def test_rows_of_certain_jobs_are_broken() -> None:
    """The rows of the jobs that are named are null or without id in every answer."""
    bench = Bench(Habits(null_row_ids=("one",), row_without_id_ids=("two",)))
    for job_id in ("one", "two", "three"):
        bench.store.create("ASR", job_id=job_id)

    shown = [[job and job.job_id for job in bench.index.page().rows] for _ in range(2)]

    assert shown == [["three", "", None]] * 2


def test_a_single_job_is_behind_the_lists() -> None:
    """The late call for a single job does not find a new one, shows the old state, and still finds a deleted one."""
    bench = Bench(Habits(get_late_seconds=30))
    job = bench.store.create("ASR")

    seen = [bench.gets(job)]
    bench.now += 30
    seen.append(bench.gets(job))
    bench.store.move(job, "Finished")
    bench.now += 10
    bench.store.delete(job)
    seen.append(bench.gets(job))
    bench.now += 20
    seen.append(bench.gets(job))
    bench.now += 10
    seen.append(bench.gets(job))

    assert seen == ["404", "Created", "Created", "Finished", "404"]


def test_a_single_job_is_not_found() -> None:
    """The call for a single job answers 404 for jobs that are named, for a while after a move, and by chance."""
    bench = Bench()
    job = bench.store.create("ASR")
    bench.index.habits = Habits(get_missing_ids=(job,))
    assert bench.gets(job) == "404"

    bench.index.habits = Habits(get_missing_after_change_seconds=30)
    bench.store.move(job, "Executing")
    bench.now += 29
    assert bench.gets(job) == "404"
    bench.now += 1
    assert bench.gets(job) == "Executing"

    bench.index.habits = Habits(get_missing_probability=0.5)
    assert 30 < sum(bench.gets(job) == "404" for _ in range(100)) < 70
    assert bench.ids() == [job]


def test_a_single_job_has_another_word_for_its_state() -> None:
    """The call for a single job says Success where the lists say Finished."""
    bench = Bench(Habits(get_words={"Finished": "Success"}))
    job = bench.store.create("ASR", state="Finished")
    other = bench.store.create("ASR")

    assert (bench.gets(job), bench.gets(other)) == ("Success", "Created")
    assert bench.ids(None, "Finished") == [job]


def test_error_codes_come_later() -> None:
    """A job that failed has no error at first, neither in rows nor as a single job."""
    bench = Bench(Habits(error_late_seconds=30))
    job = bench.store.create("ASR")
    bench.store.move(job, "Failed", error=("Code", "Message"))

    early = bench.index.get(job), bench.row(job)
    bench.now += 30
    late = bench.index.get(job), bench.row(job)

    assert [(found.state, found.error) for found in early if found] == [("Failed", None)] * 2
    assert [found.error for found in late if found] == [("Code", "Message")] * 2


def test_the_same_seed_gives_the_same_answers() -> None:
    """Answers depend on seed, changes and requests alone."""

    def answers(seed: int) -> list[list[Job | None]]:
        bench = Bench(PRESETS["rough"], seed)
        for _ in range(300):
            bench.now += 10
            bench.store.create("ASR")
        return [bench.index.page(limit=100).rows for _ in range(20)]

    assert answers(1) == answers(1) != answers(2)
