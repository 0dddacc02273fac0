"""Snapshots that nobody would think of, for tests with hypothesis."""

from __future__ import annotations

from hypothesis import strategies as st

from exporter.jobs.snapshot import DURATION_BOUNDS, Durations, FailedJob, Snapshot
from tests.support.scenarios import NOW

counts = st.integers(0, 2**53)
names = st.text(max_size=8)
pairs = st.tuples(names, names)
durations = st.builds(
    Durations,
    st.tuples(*[st.integers(0, 2**40)] * (len(DURATION_BOUNDS) + 1)),
    st.floats(0, 1e15),
)
failed_jobs = st.builds(FailedJob, names, names, counts, counts, names, names)
snapshots = st.builds(
    Snapshot,
    taken_at=st.just(NOW),
    jobs=st.dictionaries(pairs, counts, max_size=3),
    failed_recent=st.dictionaries(pairs, counts, max_size=3),
    created=st.dictionaries(names, counts, max_size=3),
    ended=st.dictionaries(st.tuples(names, st.sampled_from(["Finished", "Failed"])), counts, max_size=3),
    failures=st.dictionaries(pairs, counts, max_size=3),
    deleted=st.dictionaries(names, counts, max_size=3),
    durations=st.dictionaries(pairs, durations, max_size=2),
    oldest_open=st.dictionaries(pairs, counts, max_size=3),
    last_failure=st.dictionaries(names, failed_jobs, max_size=3),
    ledger_jobs=counts,
)
