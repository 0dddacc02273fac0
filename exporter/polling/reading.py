"""The calls of one poll: open lists, the head of all jobs, and a search for the jobs that left the open lists."""

from __future__ import annotations

import itertools
import math
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from exporter.errors import ApiError, ForbiddenError, NotFoundError
from exporter.jobs.labels import LONGEST, OTHER, UNKNOWN
from exporter.jobs.states import FAILED, OPEN_STATES
from exporter.polling.pagination import PAGE_SIZE, Labels, Row, Walk, read_pages
from exporter.polling.reconcile import READINGS_OF_A_SEAM, Observed, OpenJob

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from exporter.ims.answers import JobDetails, Page
    from exporter.ims.client import RetryBudget
    from exporter.jobs.kinds import JobKind
    from exporter.polling.reconcile import Known

FEW = 2
"""So few jobs of a type are asked for one by one at once: a list would cost as much."""
ASKED_ANYWAY = 50
"""So few jobs are not looked for among the failed: each that failed is asked for its reason in any case."""
UNDOCUMENTED_PAGES = 10
"""So many pages of an undocumented state's list a poll reads at most."""
UNLISTED_JOBS = 50
"""So many jobs in a state that cannot be listed a poll looks for."""
READING_STEP = 7
"""A list read again for its seams has pages smaller by so much, so that they end elsewhere."""


class Api(Protocol):
    """The calls of IMS that a poll makes."""

    kind: JobKind

    async def list_jobs(  # noqa: D102 - see ImsClient
        self,
        *,
        job_type: str = "",
        job_state: str = "",
        size: int,
        token: str = "",
        budget: RetryBudget,
        weight: int = 1,
    ) -> Page: ...

    async def get_job(self, job_id: str, *, budget: RetryBudget) -> JobDetails: ...  # noqa: D102


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a job failed, as the service tells it."""

    error_code: str
    error_message: str


@dataclass(slots=True)
class Reader:
    """Makes the calls of one poll and keeps everything it saw."""

    api: Api
    budget: RetryBudget
    labels: Labels
    job_types: tuple[str, ...]
    """The only types to look at; empty for all."""
    page_size: int
    may_get: bool
    """Whether GetSmartHandleJob may be called."""
    local_time: int
    rows: list[Row] = field(default_factory=list)
    reasons: dict[str, Reason] = field(default_factory=dict)
    started_at: int | None = None
    list_calls: int = 0
    was_forbidden: bool = False
    """Whether the service refused GetSmartHandleJob for want of permission."""

    async def page(self, job_type: str, job_state: str, token: str) -> Page:
        """Reads one page; the first one tells the service's clock, of which the earlier reading is the safe one."""
        page = await self.api.list_jobs(
            job_type=job_type or (self.job_types[0] if len(self.job_types) == 1 else ""),
            job_state=job_state,
            size=self.page_size,
            token=token,
            budget=self.budget,
        )
        if self.started_at is None:
            self.started_at = min(self.local_time, page.server_time or self.local_time)
        self.list_calls += 1
        return page

    async def walk(
        self,
        job_type: str = "",
        job_state: str = "",
        down_to: float = -math.inf,
        goes_on: Callable[[tuple[Row, ...]], bool] = lambda _: True,
    ) -> Walk:
        """Reads a list down to a creation time, as long as `goes_on` wants the page after the one it is given."""
        result = Walk()
        async for rows, is_last in read_pages(
            lambda token: self.page(job_type, job_state, token), self.labels, self.local_time
        ):
            result.pages.append(rows)
            result.is_complete = is_last
            self.rows.extend(row for row in rows if not self.job_types or row.job_type in self.job_types)
            if (rows and rows[-1].created_at < down_to) or not goes_on(rows):
                break
        return result

    async def get(self, job: OpenJob) -> bool:
        """Asks for one job; returns whether it is deleted. Raises ApiError, but not for a deleted one."""
        try:
            answer = await self.api.get_job(job.job_id, budget=self.budget)
        except NotFoundError:
            return True
        state = self.labels.job_state(answer.job_state)
        self.rows.append(Row(job.job_id, job.job_type, state, job.created_at, answer.modified_at))
        self.reasons[job.job_id] = Reason(answer.error_code, answer.error_message)
        return False


async def observe(reader: Reader, known: Known, slack: int, lookback_seconds: int) -> Observed:
    """Makes one poll's calls.

    A job only moves forward, so reading the open lists in the order of a job's life, then all new jobs, then the
    ended lists, meets every job at least once. Raises ApiError for whatever the retries did not mend.
    """
    kind = reader.api.kind
    walks = {state: Walk() for state in OPEN_STATES}
    for state in kind.open_states:
        for word in kind.filters_of(state):
            walks[state] = await _open_walk(reader, word, known)
    for state in sorted({job.job_state for job in known.open_jobs.values()}.difference(OPEN_STATES)):
        walks[state] = await _undocumented_walk(reader, state, known)
    started_at = reader.started_at or reader.local_time
    oldest = started_at - lookback_seconds
    horizon = started_at - slack if known.horizon is None else known.horizon
    head = await reader.walk(down_to=max(horizon, oldest))
    found = {row.job_id for row in reader.rows}
    vanished = [job for job in known.open_jobs.values() if job.job_id not in found]
    sought = [job for state, walk in walks.items() for job in _sought(state, walk, vanished, known.polls)]
    absent = await _search(reader, sought)
    return Observed(
        started_at=started_at,
        rows=reader.rows,
        absent=absent,
        not_sought=frozenset(job.job_id for job in vanished).difference(job.job_id for job in sought),
        head_seams=head.seams(),
        oldest=oldest,
        is_truncated=horizon < oldest,
    )


async def _open_walk(reader: Reader, state: str, known: Known) -> Walk:
    """Reads an open list; at a first poll as often as it takes to cover the seams, for what it misses is not new."""
    walk = await reader.walk(job_state=state)
    seams = walk.seams() if known.horizon is None else []
    for _ in range(READINGS_OF_A_SEAM):
        if seams:
            reader.page_size -= READING_STEP
            again = (await reader.walk(job_state=state)).seams()
            seams = [before.common(seam) for before in seams for seam in again if before.meets(seam)]
    return walk


async def _undocumented_walk(reader: Reader, state: str, known: Known) -> Walk:
    """Reads the list of an undocumented state as far as it pays: nobody knows whether the state is an end.

    It may be long, refused, or show all jobs; then it proves little or nothing.
    """
    if state in {UNKNOWN, OTHER} or len(state) >= LONGEST:
        return Walk()  # a label, but not the state's name
    oldest = min(job.created_at for job in known.open_jobs.values() if job.job_state == state)
    pages = itertools.count(1)
    try:
        return await reader.walk(
            job_state=state,
            down_to=oldest,
            goes_on=lambda rows: all(row.job_state == state for row in rows) and next(pages) < UNDOCUMENTED_PAGES,
        )
    except ApiError:  # an outage meets the next call, too
        return Walk()


def _sought(state: str, walk: Walk, vanished: Iterable[OpenJob], polls: int) -> list[OpenJob]:
    """Returns the jobs that are no longer in their open list, as far as that was read.

    Where there is no such list, it is some of the jobs, others with each poll.
    """
    jobs = [job for job in vanished if job.job_state == state]
    if state in OPEN_STATES:
        return jobs
    if walk.is_complete or any(row.job_state == state for page in walk.pages for row in page):
        return [job for job in jobs if walk.reaches(job.created_at)]
    first = polls * UNLISTED_JOBS % len(jobs) if jobs else 0
    return [*jobs[first:], *jobs[:first]][:UNLISTED_JOBS]


async def _search(reader: Reader, vanished: Iterable[OpenJob]) -> set[str]:
    """Looks for jobs that left the open lists; returns those proven to be in no list any more.

    What has not ended either may be in a state that the service does not document: only the list of all states proves.
    """
    by_filter: dict[str, dict[str, OpenJob]] = defaultdict(dict)
    for job in vanished:
        by_filter[job.job_type if job.job_type in reader.api.kind.job_types else ""][job.job_id] = job
    absent: set[str] = set()
    for job_type, wanted in by_filter.items():
        if reader.may_get and len(wanted) > FEW:
            await _read_ended(reader, job_type, wanted, while_it_pays=True)
        absent |= await _get_each(reader, wanted)
        await _read_ended(reader, job_type, wanted, while_it_pays=False)
        if wanted:
            proof = await _read_down(reader, job_type, "", wanted)
            absent |= {job.job_id for job in wanted.values() if proof.covers(job.created_at)}
    return absent


async def _get_each(reader: Reader, wanted: dict[str, OpenJob]) -> set[str]:
    """Asks for each job wanted, as long as that is allowed, and takes it out of `wanted`; returns the deleted ones."""
    absent = set()
    for job in list(wanted.values()):
        if not reader.may_get:
            break
        try:
            if await reader.get(job):
                absent.add(job.job_id)
            del wanted[job.job_id]
        except ApiError as error:  # the lists tell as well, at a higher price
            reader.may_get = False
            reader.was_forbidden = isinstance(error, ForbiddenError)
    return absent


async def _read_ended(reader: Reader, job_type: str, wanted: dict[str, OpenJob], *, while_it_pays: bool) -> None:
    """Reads the ended lists for the jobs wanted; with `while_it_pays` not for a few that failed."""
    kind = reader.api.kind
    for state in kind.ended_states:
        for word in kind.filters_of(state):
            if wanted and not (while_it_pays and state == FAILED and len(wanted) <= ASKED_ANYWAY):
                await _read_down(reader, job_type, word, wanted, while_it_pays=while_it_pays)


async def _read_down(
    reader: Reader, job_type: str, state: str, wanted: dict[str, OpenJob], *, while_it_pays: bool = False
) -> Walk:
    """Reads a list down to the oldest job wanted, and takes each job found out of `wanted`.

    With `while_it_pays`, the list is left at the first page that shows none of them: from there on, asking for the
    remaining ones by id costs fewer calls.
    """

    def take(rows: tuple[Row, ...]) -> bool:
        hits = [wanted.pop(row.job_id) for row in rows if row.job_id in wanted]
        return bool(wanted) and bool(hits or not while_it_pays)

    down_to = min(job.created_at for job in wanted.values())
    return await reader.walk(job_type, state, down_to, take)


def page_size(polls: int) -> int:
    """Returns the page size of a poll: it changes from poll to poll, so that the seams never stay in one place."""
    return PAGE_SIZE - polls % 2
