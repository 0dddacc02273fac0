"""One poll of the fake service: its calls, and what it observes."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from exporter.ims.client import RetryBudget
from exporter.jobs.kinds import SMART
from exporter.polling.observe import observe
from exporter.polling.pagination import Labels
from exporter.polling.reading import Reader
from exporter.polling.reconcile import MIN_SLACK_SECONDS
from exporter.polling.records import Known, Observed, OpenJob
from tests.support.fake_service import START, FakeService

if TYPE_CHECKING:
    from collections.abc import Iterable

DAY = 86400
ALL = "* * 0"
OPEN_LISTS = ["* Created 0", "* Executing 0"]
WHOLE = [ALL, *OPEN_LISTS]
"""The list calls of a poll that has no more than one page of each list to read."""
HORIZON = START - MIN_SLACK_SECONDS - 60
KNOWN = Known(
    SMART,
    polls=3,
    polled_at=START - 60,
    deep_at=START - 240,
    horizon=HORIZON,
    remembered_since=START - 1260,
    proven_to=HORIZON,
)
"""What is known after three polls a minute apart; the next poll is not deep, and nothing is open."""
OLD = 7200
"""An age in seconds at which jobs are older than everything that a poll reads of all jobs."""


def crowded(rows_per_page: int = 100, job_type: str = "VideoTranslation", **options: Any) -> FakeService:  # noqa: ANN401 - for FakeService
    """Returns a service whose first page of all jobs is full of ended ones of a type, none of them new."""
    service = FakeService(rows_per_page=rows_per_page, **options)
    for number in range(rows_per_page):
        service.create(f"crowd {number}", age=300, job_type=job_type, state="Finished")
    return service


def reader_of(service: FakeService, **options: Any) -> Reader:  # noqa: ANN401 - for Reader
    """Returns a reader that may read single jobs, and reads pages of 100."""
    defaults = {"job_types": (), "page_size": 100, "may_get": True, "local_time": START}
    return Reader(service, RetryBudget(0), Labels(SMART), **{**defaults, **options})


def look(reader: Reader, known: Known = KNOWN, lookback_seconds: int = 30 * DAY) -> Observed:
    """Makes the calls of one poll."""
    return asyncio.run(observe(reader, known, lookback_seconds=lookback_seconds, interval_seconds=60))


def open_before(service: FakeService, job_ids: Iterable[str], **fields: Any) -> Known:  # noqa: ANN401 - for OpenJob
    """Returns what the ledger knows if these jobs were open; a job that no longer exists is an hour old."""
    found = {job_id: service.jobs.get(job_id) for job_id in job_ids}
    jobs = [
        OpenJob(job_id, job.job_type if job else "ASR", "Created", int(job.created_at) if job else START - 3600)
        for job_id, job in found.items()
    ]
    return replace(KNOWN, open_jobs={job.job_id: replace(job, **fields) for job in jobs})


def searched(service: FakeService, known: Known, **options: Any) -> tuple[list[str], Observed]:  # noqa: ANN401 - for Reader
    """Returns the calls with which a poll searches for vanished jobs, and what it observes."""
    observed = look(reader_of(service, **options), known)
    assert sorted(service.calls[:3]) == sorted([ALL, *OPEN_LISTS])
    return service.calls[3:], observed


def seen(observed: Observed) -> dict[str, str]:
    """Returns the last state seen of each job."""
    return {row.job_id: row.job_state for row in observed.rows}
