"""One poll of the fake service: its calls, and what it observes."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from exporter.ims.client import RetryBudget
from exporter.jobs.kinds import SMART
from exporter.polling.pagination import Labels
from exporter.polling.reading import Reader, observe
from exporter.polling.reconcile import SLACK_SECONDS, Known, Observed, OpenJob
from tests.support.fake_service import START, FakeService

if TYPE_CHECKING:
    from collections.abc import Iterable

DAY = 86400
OPEN_LISTS = ["* Created 0", "* Executing 0"]
IDLE = [*OPEN_LISTS, "* * 0"]
KNOWN = Known(SMART, polls=3, horizon=START - SLACK_SECONDS - 60, proven_to=START - SLACK_SECONDS - 60)


def crowded(rows_per_page: int = 100, **options: Any) -> FakeService:  # noqa: ANN401 - for FakeService
    """Returns a service whose first page of all jobs is full of ended ones, none of them new."""
    service = FakeService(rows_per_page=rows_per_page, **options)
    for number in range(rows_per_page):
        service.create(f"crowd {number}", age=300, job_type="VideoTranslation", state="Finished")
    return service


def reader_of(service: FakeService, **options: Any) -> Reader:  # noqa: ANN401 - for Reader
    """Returns a reader that may read single jobs, and reads pages of 100."""
    defaults = {"job_types": (), "page_size": 100, "may_get": True, "local_time": START}
    return Reader(service, RetryBudget(0), Labels(SMART), **{**defaults, **options})


def look(reader: Reader, known: Known = KNOWN, lookback_seconds: int = 30 * DAY) -> Observed:
    """Makes the calls of one poll."""
    return asyncio.run(observe(reader, known, SLACK_SECONDS, lookback_seconds))


def open_before(service: FakeService, job_ids: Iterable[str], **fields: Any) -> Known:  # noqa: ANN401 - for OpenJob
    """Returns what the ledger knows if these jobs were open; a job that no longer exists is an hour old."""
    found = {job_id: service.jobs.get(job_id) for job_id in job_ids}
    jobs = [
        OpenJob(job_id, job.job_type if job else "ASR", "Created", int(job.created_at) if job else START - 3600)
        for job_id, job in found.items()
    ]
    return replace(KNOWN, open_jobs={job.job_id: replace(job, **fields) for job in jobs})


def searched(service: FakeService, known: Known, **options: Any) -> tuple[list[str], Observed]:  # noqa: ANN401 - for Reader
    """Returns the calls that a poll makes beyond those of an idle one, and what it observes."""
    observed = look(reader_of(service, **options), known)
    assert service.calls[: len(IDLE)] == IDLE
    return service.calls[len(IDLE) :], observed


def seen(observed: Observed) -> dict[str, str]:
    """Returns the last state seen of each job."""
    return {row.job_id: row.job_state for row in observed.rows}
