"""A fake service that changes only when a test says so, before the call that the test names."""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING

from exporter.errors import BadRequestError, ForbiddenError, NotFoundError
from exporter.ims.answers import JobDetails, ListedJob, Page
from exporter.jobs.kinds import SMART, JobKind
from exporter.simulator.habits import OFF, Habits
from exporter.simulator.job_store import JobStore
from exporter.simulator.search_index import SearchIndex

if TYPE_CHECKING:
    from collections.abc import Callable

    from exporter.ims.client import RetryBudget
    from exporter.simulator.job_store import Job

START = 1_700_000_000
"""Start, Unix seconds: thirteen minutes into an hour."""


@dataclass(slots=True)
class FakeService:
    """Serves pages by an offset inside the token; records every call in `calls`.

    A list call is noted as `type state offset`, with `*` for any, a single job as `get id`.
    """

    now: int = START
    kind: JobKind = SMART
    rows_per_page: int = 100
    """Maximum number of rows per page, whatever the call asks for."""
    may_get: bool = True
    calls: list[str] = field(default_factory=list)
    before: dict[int, Callable[[], object]] = field(default_factory=dict)
    """Functions by the number of the call before which they run, from 0; an error that one raises fails the call."""
    weights: list[int] = field(default_factory=list)
    """The weight of each list call."""
    habits: Habits = OFF
    """Habits of a service whose lists come from a search index; tests change them by `index.habits`."""
    jobs: JobStore = field(init=False)
    index: SearchIndex = field(init=False)

    def __post_init__(self) -> None:
        self.jobs = JobStore(lambda: self.now)
        self.index = SearchIndex(self.jobs, self.habits, Random(7))

    async def list_jobs(
        self,
        *,
        job_type: str = "",
        job_state: str = "",
        size: int,
        token: str = "",
        budget: RetryBudget,
        weight: int = 1,
    ) -> Page:
        """Returns one page."""
        del budget
        self.weights.append(weight)
        offset = int(token or 0)
        self._begin(f"{job_type or '*'} {job_state or '*'} {offset}")
        if job_state and job_state not in SMART.job_states and not self.jobs.has_listed(job_state=job_state):
            raise BadRequestError("no such state", code="InvalidParameter")
        limit = min(size, self.rows_per_page)
        page = self.index.page(job_type=job_type or None, job_state=job_state or None, offset=offset, limit=limit)
        rows = [job for job in page.rows if job is not None]
        skipped = ("not_an_object",) * (len(page.rows) - len(rows)) + ("no_id",) * sum(not job.job_id for job in rows)
        following = "" if page.next_offset is None else str(page.next_offset)
        return Page(tuple(listed(job) for job in rows if job.job_id), following, skipped, server_time=self.now)

    async def get_job(self, job_id: str, *, budget: RetryBudget) -> JobDetails:
        """Returns one job with its reason."""
        del budget
        self._begin(f"get {job_id}")
        if not self.may_get:
            raise ForbiddenError("no permission", code="NoPermission")
        job = self.index.get(job_id)
        if job is None:
            raise NotFoundError("no such job", code="JobNotFound")
        code, message = job.error or ("", "")
        return JobDetails(job.state, code, message, int(job.modified_at))

    def create(
        self, job_id: str, age: int = 0, *, job_type: str = "ASR", state: str = "Created", ended: int = 0
    ) -> str:
        """Adds a job created `age` and last modified `ended` seconds ago; returns its id."""
        return self.jobs.create(
            job_type, state=state, job_id=job_id, created_at=self.now - age, modified_at=self.now - ended
        )

    def fail(self, job_id: str, code: str = "E.Test") -> None:
        """Makes a job fail now."""
        self.jobs.move(job_id, "Failed", error=(code, "it failed"))

    def refuse(self, error: BaseException, *calls: int) -> None:
        """Makes the calls with these numbers fail."""

        def strike() -> None:
            raise error

        self.before.update(dict.fromkeys(calls, strike))

    def _begin(self, call: str) -> None:
        happens = self.before.pop(len(self.calls), None)
        self.calls.append(call)
        if happens:
            happens()


def listed(job: Job) -> ListedJob:
    """Returns a job as a list shows it."""
    return ListedJob(job.job_id, job.job_type, job.state, int(job.created_at), int(job.modified_at))
