"""The simulated world lists its jobs as the service does and knows the truth about them."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.jobs.kinds import SMART
from exporter.simulator.job_store import JobStore

STEPS = st.lists(
    st.tuples(
        st.sampled_from(["create", "move", "delete"]),
        st.integers(0, 30),
        st.sampled_from([*SMART.job_types, "Novel"]),
        st.sampled_from([*SMART.job_states, "Paused"]),
        st.integers(0, 5),
    ),
    max_size=60,
)


class Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        """Returns the time it is set to."""
        return self.now


def play(store: JobStore, steps: list[tuple[str, int, str, str, int]]) -> list[str]:
    """Does the steps and returns the ids that are left."""
    ids: list[str] = []
    for what, which, job_type, state, age in steps:
        if what == "create" or not ids:
            ids.append(store.create(job_type, state=state, created_at=store.now() - age))
        elif what == "move":
            store.move(ids[which % len(ids)], state)
        else:
            store.delete(ids.pop(which % len(ids)))
    return ids


@pytest.mark.property
@given(steps=STEPS)
def test_lists_counts_and_jobs_agree(steps: list[tuple[str, int, str, str, int]]) -> None:
    """After any history every list holds exactly the jobs that match it, in order of creation and arrival."""
    store = JobStore(Clock())

    ids = play(store, steps)

    jobs = [job for job in map(store.get, ids) if job]
    assert len(jobs) == len(ids)
    assert store.counts() == Counter((job.job_type, job.state) for job in jobs)
    for job_type in (None, *SMART.job_types, "Novel"):
        for state in (None, *SMART.job_states, "Paused"):
            expected = sorted(
                (job for job in jobs if job_type in {None, job.job_type} and state in {None, job.state}),
                key=lambda job: (job.created_at, job.sequence),
            )
            rising = store.page(job_type=job_type, job_state=state, limit=100, ascending=True)
            falling = store.page(job_type=job_type, job_state=state, limit=100)
            assert rising == expected
            assert falling == expected[::-1]
            assert store.total(job_type, state) == len(expected)


@pytest.mark.property
@given(size=st.integers(0, 25), limit=st.integers(1, 12), ascending=st.booleans())
def test_pages_add_up_to_the_list(size: int, limit: int, ascending: bool) -> None:  # noqa: FBT001 - hypothesis passes by name
    """Pages one after the other hold every job once, and none lies beyond the end."""
    store = JobStore(Clock())
    for _ in range(size):
        store.create("ASR")

    pages = [store.page(offset=at, limit=limit, ascending=ascending) for at in range(0, size + limit, limit)]

    assert [job for page in pages for job in page] == store.page(limit=100, ascending=ascending)
    assert not store.page(offset=size, limit=limit)


def test_a_job_is_created_and_moved_now() -> None:
    """Creation and moves take the world's clock; what was read before a move stays as it was read."""
    clock = Clock()
    store = JobStore(clock)
    job_id = store.create("ASR", title="a")
    (read,) = store.page()

    clock.now += 7
    store.move(job_id, "Failed", error=("Code", "Message"))

    job = store.get(job_id)
    assert job is not None
    assert (job.created_at, job.modified_at, job.state) == (1_000_000.0, 1_000_007.0, "Failed")
    assert (job.title, job.error) == ("a", ("Code", "Message"))
    assert (read.state, read.modified_at) == ("Created", 1_000_000.0)


def test_the_truth_log_counts_every_end() -> None:
    """Ends count when reached, at creation too, once while the state stays, and deletions keep them."""
    store = JobStore(Clock())
    first = store.create("ASR")
    store.create("ASR", state="Finished")

    store.move(first, "Executing")
    store.move(first, "Failed")
    store.move(first, "Failed")
    store.delete(first)

    assert store.ended_ever == {("ASR", "Failed"): 1, ("ASR", "Finished"): 1}
    assert store.created_ever == {"ASR": 2}
    assert store.deleted_ever == {("ASR", "Failed"): 1}
    assert store.counts() == {("ASR", "Finished"): 1}


def test_ids_are_unique() -> None:
    """An id that is there already is refused, an unknown one too."""
    store = JobStore(Clock())
    store.create("ASR", job_id="a")

    with pytest.raises(ValueError, match="a is there already"):
        store.create("ASR", job_id="a")
    with pytest.raises(KeyError):
        store.move("b", "Failed")
    with pytest.raises(KeyError):
        store.delete("b")
    assert store.total() == 1
