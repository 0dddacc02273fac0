"""The counts that the exporter must show for a simulated account, and those that it shows, in the same form."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from exporter.simulator.job_store import JobStore
    from tests.support.exporter_process import Exporter, Scrape

Counts = dict[str, dict[Any, float]]
"""Numbers other than zero, by what is counted and by label values."""


class ExpectedCounts:
    """The true counts of a store since this was created, right after the first poll; deletions are not supported."""

    def __init__(self, store: JobStore) -> None:
        self._store = store
        self._created = Counter(store.created_ever)
        self._ended = Counter(store.ended_ever)

    def now(self) -> Counts:
        """Returns the counts that the exporter must show now."""
        store = self._store
        ended = store.ended_ever - self._ended
        return {
            "jobs": dict(store.counts()),
            "created": {(job_type,): number for job_type, number in (store.created_ever - self._created).items()},
            "ended": dict(ended),
            "failures": {(job_type,): number for (job_type, state), number in ended.items() if state == "Failed"},
            "deleted": {},
        }


def shown_counts(scrape: Scrape) -> Counts:
    """Returns the counts that a scrape shows, with the failures of all reasons added up."""
    failures: Counter[tuple[str]] = Counter()
    for (job_type, _), number in scrape.by("ims_job_failures_total", "job_type", "error_code").items():
        failures[job_type,] += int(number)
    shown: Counts = {
        "jobs": scrape.by("ims_jobs", "job_type", "job_state"),
        "created": scrape.by("ims_jobs_created_total", "job_type"),
        "ended": scrape.by("ims_jobs_ended_total", "job_type", "job_state"),
        "failures": dict(failures),
        "deleted": scrape.by("ims_jobs_deleted_total", "job_type"),
    }
    return {name: {key: value for key, value in values.items() if value} for name, values in shown.items()}


def wait_for_counts(running: Exporter, expected: Counts) -> Scrape:
    """Returns the first scrape with the expected counts; fails with the differences if there is none in time."""
    last: list[Counts] = []

    def is_expected(scrape: Scrape) -> bool:
        last[:] = [shown_counts(scrape)]
        return last == [expected]

    try:
        return running.wait_for("the counts are the expected ones", is_expected)
    except AssertionError:
        differences = {
            name: (last[0][name], expected[name]) for name in expected if last and last[0][name] != expected[name]
        }
        raise AssertionError(f"shown, and expected: {differences}") from None
