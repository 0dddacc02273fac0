"""What one poll reads: the newest jobs, the open jobs, and the calls that a search makes (`exporter.polling.search`).

A job only moves forward. So reading the open lists in the order of a job's life misses none: a job that moves on
while they are read is in a list that is read later, or has left them all and is searched for in the end. The list of
all jobs is read at the same time: a job that it shows in an earlier state than another list is taken in the later
one.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from exporter.errors import ApiError, BudgetExceededError, ForbiddenError, NotFoundError
from exporter.jobs.labels import MAX_LENGTH, OTHER, UNKNOWN
from exporter.jobs.states import FAILED
from exporter.polling.pagination import ListCursor, ListReading
from exporter.polling.reconcile import MAX_LAG_SECONDS
from exporter.polling.records import Reason, Row

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable

    from exporter.ims.answers import JobDetails, Page
    from exporter.ims.client import RetryBudget
    from exporter.jobs.kinds import JobKind
    from exporter.polling.pagination import Labels
    from exporter.polling.records import Known, OpenJob

POLLS_PER_DEEP_POLL = 5
"""Every fifth poll is deep: it reads again what lists that were late may have shown since the last deep one."""
POLLS_PER_OPEN_LISTS = 10
"""Where no job is known to be open, every tenth poll reads the open lists."""
MAX_INTERVALS_BETWEEN_POLLS = 1.5
"""After more poll intervals without a good poll, the next one is deep."""
MAX_UNDOCUMENTED_PAGES = 10
"""Maximum number of pages of the list of an undocumented state that a poll reads."""
MAX_UNLISTED_JOBS = 50
"""Maximum number of jobs in a state that cannot be listed that a poll looks for."""
MAX_POLL_PAGES = 20_000
"""Maximum number of pages that a poll reads: two million jobs."""
MAX_GETS_AT_ONCE = 10
"""Maximum number of details calls in flight: those in flight when the service fails or forbids them are in vain."""
MAX_CLOCK_SKEW_SECONDS = 900
"""Maximum difference of the clocks: a service that is further behind would refuse the signature of a call."""
MAX_FIRST_READINGS = 8
"""Maximum number of times that the first poll reads an open list again for its page gaps."""
PAGE_SIZE_STEP = 7
"""Rows by which the pages of a list that is read again are smaller, so that they end elsewhere."""


class Api(Protocol):
    """The calls of the service that a poll makes, for one job kind of a target."""

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


@dataclass(slots=True)
class Reader:
    """Makes the calls of one poll, and keeps everything that they showed."""

    api: Api
    budget: RetryBudget
    labels: Labels
    job_types: tuple[str, ...]
    """The only job types to poll; empty for all."""
    page_size: int
    may_get: bool
    """Whether the details call may be made."""
    local_time: int
    rows: list[Row] = field(default_factory=list)
    reasons: dict[str, Reason] = field(default_factory=dict)
    """Reasons of failures, as far as the details call knows them."""
    started_at: int = 0
    """The earliest clock reading of the poll, ours or the service's."""
    list_calls: int = 0
    skipped: Counter[str] = field(default_factory=Counter)
    """Rows that could not be read, by reason."""
    was_forbidden: bool = False
    """Whether the service refused the details call for lack of permission."""
    has_got: bool = False
    """Whether the service has answered a details call, in this poll or before: it is not forbidden."""

    def __post_init__(self) -> None:
        self.started_at = self.local_time

    @property
    def _earliest_start(self) -> int:
        return self.local_time - MAX_CLOCK_SKEW_SECONDS

    @property
    def kind(self) -> JobKind:
        """The job kind that is polled."""
        return self.api.kind

    def cursor(
        self, job_type: str = "", word: str = "", page_size: int = 0, *, expects_rows: bool = False
    ) -> ListCursor:
        """Returns a cursor on a list, filtered by a type and by a state in the service's word; empty for all."""
        only_type = self.job_types[0] if len(self.job_types) == 1 else ""
        type_filter = (job_type or only_type) if self.kind.filters.job_type else ""

        async def ask(token: str) -> Page:
            if self.list_calls >= MAX_POLL_PAGES:
                raise BudgetExceededError(f"the poll has read {MAX_POLL_PAGES} pages", code="PollBudget")
            self.list_calls += 1
            page = await self.api.list_jobs(
                job_type=type_filter,
                job_state=word,
                size=page_size or self.page_size,
                token=token,
                budget=self.budget,
            )
            self.started_at = min(self.started_at, max(page.server_time or self.started_at, self._earliest_start))
            return page

        return ListCursor(
            ask, self.labels, self.local_time, list_state=self.kind.state_of(word), expects_rows=expects_rows
        )

    async def read_page(self, cursor: ListCursor, reading: ListReading) -> tuple[Row, ...]:
        """Reads the next page; adds it to the reading, and its rows to those of the poll, if their types are polled."""
        rows = await cursor.next_page()
        if cursor.skipped:
            self.skipped.update(cursor.skipped)
            reading.unproven.add(len(reading.pages))
        reading.pages.append(rows)
        reading.is_complete = cursor.is_complete
        self.rows.extend(row for row in rows if not self.job_types or row.job_type in self.job_types)
        return rows

    async def read_list(
        self, cursor: ListCursor, wants_more: Callable[[tuple[Row, ...]], bool] = lambda _: True
    ) -> ListReading:
        """Reads a list to its end, or to the first page after which `wants_more` is false."""
        reading = ListReading()
        while not reading.is_complete:
            if not wants_more(await self.read_page(cursor, reading)):
                break
        return reading

    async def get(self, job_id: str, budget: RetryBudget | None = None) -> JobDetails | None:
        """Asks for one job, and keeps the reason of its failure; returns None for a job that the call does not know.

        Raises ApiError. After one that is forbidden, the details call is not made again in this poll.
        """
        try:
            details = await self.api.get_job(job_id, budget=budget or self.budget)
        except NotFoundError:
            self.has_got = True
            return None
        except ForbiddenError:
            self.may_get, self.was_forbidden, self.has_got = False, True, False
            raise
        self.has_got = True
        if details.error_code and details.job_state == FAILED:
            self.reasons[job_id] = Reason(details.error_code, details.error_message)
        return details

    async def ask_each(self, job_ids: Iterable[str], ask: Callable[[str], Coroutine[object, object, None]]) -> None:
        """Runs `ask`, which makes a details call, for each job: some at the same time, until the call is forbidden.

        Where it is not known yet whether the call is allowed, the first one is made alone: a refusal costs one call.
        """
        left = list(job_ids)
        if left and self.may_get and not self.has_got:
            await ask(left.pop(0))
        places = asyncio.Semaphore(MAX_GETS_AT_ONCE)

        async def ask_in_turn(job_id: str) -> None:
            async with places:
                if self.may_get:
                    await ask(job_id)

        if self.may_get:
            await side_by_side(*(ask_in_turn(job_id) for job_id in left))


async def side_by_side(*calls: Coroutine[object, object, object]) -> None:
    """Makes calls that do not depend on each other at the same time; raises the first error, and cancels the others."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(call) for call in calls]
    except BaseExceptionGroup as errors:
        raise errors.exceptions[0] from None
    if any(task.cancelled() for task in tasks):  # the group ignores that, but what the call should read is missing
        raise asyncio.CancelledError


def is_deep(known: Known, started_at: int, interval_seconds: float) -> bool:
    """Returns whether a poll reads further back than the horizon: every fifth one, and the first one after a pause."""
    if known.polled_at is None or known.polls % POLLS_PER_DEEP_POLL == 0:
        return True
    return started_at - known.polled_at > MAX_INTERVALS_BETWEEN_POLLS * interval_seconds


def newest_floor(known: Known, started_at: int, interval_seconds: float) -> int:
    """Returns the creation time down to which a poll reads the list of all jobs.

    A deep poll reads what lists that were up to 15 minutes late when the last deep poll read them did not show then.
    In a pause the lists may have stopped right after the last good poll, which may have been later than the last deep
    one.
    """
    if known.polled_at is None:
        return started_at - MAX_LAG_SECONDS
    if not is_deep(known, started_at, interval_seconds):
        return known.horizon
    return min(known.horizon, max(known.remembered_since, known.deep_at - MAX_LAG_SECONDS))


async def read_newest(reader: Reader, known: Known, *, oldest_age: int, interval_seconds: float) -> ListReading:
    """Reads the list of all jobs as far back as the poll needs, but not beyond the lookback."""

    def wants_more(rows: tuple[Row, ...]) -> bool:
        floor = newest_floor(known, reader.started_at, interval_seconds)
        return not rows or rows[-1].created_at >= max(floor, reader.started_at - oldest_age)

    return await reader.read_list(reader.cursor(expects_rows=bool(known.open_jobs or known.ended_ids)), wants_more)


async def read_open_lists(reader: Reader, known: Known) -> dict[str, ListReading]:
    """Reads the open lists in the order of a job's life; returns the readings of undocumented states, by state."""
    for state in reader.kind.open_states:
        for word in reader.kind.filters_of(state):
            await _read_open_list(reader, word, is_first=known.polled_at is None or known.has_new_types)
    undocumented = {job.job_state for job in known.open_jobs.values()}.difference(reader.kind.job_states)
    return {state: await _read_undocumented_list(reader, state, known) for state in sorted(undocumented)}


async def _read_open_list(reader: Reader, word: str, *, is_first: bool) -> None:
    """Reads an open list; the first poll reads it again until pages cover its gaps: what it misses is not new later."""
    reading = await reader.read_list(reader.cursor(word=word))
    gaps = reading.gaps() if is_first else []
    size, quiet = reader.page_size, 0
    for _ in range(MAX_FIRST_READINGS):
        if not gaps or quiet > 1:
            break
        size -= PAGE_SIZE_STEP
        seen = {row.job_id for row in reader.rows}
        again = (await reader.read_list(reader.cursor(word=word, page_size=size))).gaps()
        quiet = 0 if len({row.job_id for row in reader.rows}) > len(seen) else quiet + 1
        gaps = [gap.common(other) for gap in gaps for other in again if gap.meets(other)]


async def _read_undocumented_list(reader: Reader, state: str, known: Known) -> ListReading:
    """Reads the list of an undocumented state as far as it pays, since nobody knows whether the state is an end.

    It may be long, refused, or show all jobs; then it proves little or nothing.
    """
    if state in {UNKNOWN, OTHER} or len(state) >= MAX_LENGTH:
        return ListReading()  # a label, but not the word of the service
    oldest = min(job.created_at for job in known.open_jobs.values() if job.job_state == state)
    pages_left = MAX_UNDOCUMENTED_PAGES

    def wants_more(rows: tuple[Row, ...]) -> bool:
        nonlocal pages_left
        pages_left -= 1
        is_filtered = all(row.job_state == state for row in rows)
        return pages_left > 0 and is_filtered and not (rows and rows[-1].created_at < oldest)

    try:
        return await reader.read_list(reader.cursor(word=state), wants_more)
    except ApiError:  # in an outage the next call fails, too
        return ListReading()


def jobs_to_search(
    vanished: Iterable[OpenJob], undocumented: dict[str, ListReading], kind: JobKind, polls: int
) -> list[OpenJob]:
    """Returns the jobs that are not in their open list any more, as far as that list was read.

    Of the jobs in a state that has no list, every poll looks for some others.
    """
    jobs = list(vanished)
    found = [job for job in jobs if job.job_state in kind.open_states]
    for state, reading in undocumented.items():
        of_state = [job for job in jobs if job.job_state == state]
        if reading.is_complete or any(row.job_state == state for page in reading.pages for row in page):
            found += [job for job in of_state if reading.reaches(job.created_at)]
        elif of_state:
            first = polls * MAX_UNLISTED_JOBS % len(of_state)
            found += [*of_state[first:], *of_state[:first]][:MAX_UNLISTED_JOBS]
    return found
