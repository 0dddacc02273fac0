"""Reads a list page by page, and says what the pages prove. Polls and surveys read by the same rules.

The rows of a list move between its pages while it is read: a job that leaves the list pulls all older ones up by one
place, so that one may slip from a page that is read later to one that was read before. Rows of one second may even
come in another order in each request. A single page, though, is one answer: what it does not show between the second
of its first row and the second of its last row was not in the list at that moment. So a page is evidence for the
seconds strictly between its first and its last row, and the seconds around a page boundary are a page gap.

Worked example, jobs named by their second of creation, pages of three:

    page 1: 90 80 70    covers everything after 70
    page 2: 70 60 50    begins with 70: a second job of 70 may have changed places with this one, so 70 is a gap
    page 3: 55 40 30    begins with 55, as a job has moved down from page 2: it covers 54 to 31, and 50 is no gap
    (no token)          the list ends: page 3 covers everything before 30 as well
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from exporter.errors import BadResponseError
from exporter.jobs.labels import LabelSet
from exporter.jobs.states import JOB_STATES
from exporter.polling.records import PageGap, Reason, Row

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from exporter.ims.answers import ListedJob, Page
    from exporter.jobs.kinds import JobKind

EMPTY_ANSWER_RETRIES = 2
"""Times that a page is asked for again if it is empty where jobs are expected."""
MAX_UNKNOWN_VALUES = 20
"""Maximum number of undocumented job types, and of undocumented states, that get a label; others are `other`."""


@dataclass(slots=True)
class ListReading:
    """The pages of one list as they were read, newest job first."""

    pages: list[tuple[Row, ...]] = field(default_factory=list)
    is_complete: bool = False
    """Whether the list was read to its end."""
    unproven: set[int] = field(default_factory=set)
    """Indexes of the pages that held a row that could not be read: such a page proves nothing."""

    def covers(self, second: int) -> bool:
        """Returns whether one page alone shows all jobs of the list that were created in that second."""
        last = len(self.pages) - 1
        for number, page in enumerate(self.pages):
            newest = math.inf if number == 0 else page[0].created_at if page else -math.inf
            oldest = -math.inf if number == last and self.is_complete else page[-1].created_at if page else math.inf
            if oldest < second < newest and number not in self.unproven:
                return True
        return False

    def reaches(self, second: int) -> bool:
        """Returns whether the list was read to jobs older than that second, or to its end."""
        return self.is_complete or any(page and page[-1].created_at < second for page in self.pages)

    def gaps(self) -> list[PageGap]:
        """Returns the page gaps, newest first: places where the next page does not begin with a newer job.

        A job that both pages show proves nothing, since rows of one second may change places between two requests.
        """
        found = []
        for number, page in enumerate(self.pages):
            below = self.pages[number + 1] if number + 1 < len(self.pages) else None
            if page and number in self.unproven:
                found.append(PageGap(page[-1].created_at, page[0].created_at))
            if page and below is not None and (not below or below[0].created_at <= page[-1].created_at):
                found.append(PageGap(below[0].created_at if below else 0, page[-1].created_at))
        return found


class Labels:
    """Turns what the service says into rows; job types and states become labels only through it, few and short."""

    def __init__(self, kind: JobKind, job_types: Iterable[str] = (), job_states: Iterable[str] = ()) -> None:
        self._kind = kind
        self._types = LabelSet((*kind.known_types, *job_types), len(kind.known_types) + MAX_UNKNOWN_VALUES)
        self._states = LabelSet((*JOB_STATES, *job_states), len(JOB_STATES) + MAX_UNKNOWN_VALUES)

    def rows(self, page: Page, created_at: int, list_state: str = "") -> tuple[Row, ...]:
        """Returns the jobs of a page, each once; raises BadResponseError for a page that is not newest first.

        `created_at` is that of the row before the page: a job without a creation time gets the one of the row above it.
        `list_state` is the state that the list is filtered by: a row that shows an earlier state is behind the list.
        """
        rows: list[Row] = []
        oldest = math.inf
        for job in _first_of_each(page.jobs):
            if job.created_at is not None:
                created_at = job.created_at
                if created_at > oldest:
                    raise BadResponseError("the list is not newest job first", code="NotNewestFirst")
                oldest = created_at
            elif job.modified_at is not None:
                created_at = min(created_at, job.modified_at)
            rows.append(self._row(job, created_at, list_state))
        return tuple(rows)

    def job_state(self, state: str) -> str:
        """Returns the label of a job state."""
        return self._states.bounded(state)

    def _row(self, job: ListedJob, created_at: int, list_state: str) -> Row:
        state = self.job_state(job.job_state)
        order = self._kind.job_states
        if state in order and list_state in order and order.index(state) < order.index(list_state):
            state = list_state
        return Row(
            job.job_id,
            self._types.bounded(job.job_type),
            state,
            created_at,
            job.modified_at if job.ended_at is None else job.ended_at,
            job.created_at is not None or job.modified_at is not None,
            Reason(job.error_code, job.error_message) if job.error_code else None,
        )


def _first_of_each(jobs: Iterable[ListedJob]) -> Iterable[ListedJob]:
    """Returns the jobs in their order; of a repeated one the first, which is in order."""
    first: dict[str, ListedJob] = {}
    for job in jobs:
        first.setdefault(job.job_id, job)
    return first.values()


class ListCursor:
    """Reads one list page by page, newest job first.

    An empty answer is asked again after a page with rows, and where the list has some for certain (`expects_rows`).
    `ask` returns the page that a token leads to; `list_state` is the state that the list is filtered by, and `token`
    where to begin. `oldest_at` is the creation time down to which the list has been read.
    """

    def __init__(
        self,
        ask: Callable[[str], Awaitable[Page]],
        labels: Labels,
        now: int,
        *,
        list_state: str = "",
        token: str = "",
        expects_rows: bool = False,
    ) -> None:
        self.is_complete = False
        self.skipped: Counter[str] = Counter()
        """Rows of the last page that could not be read, by reason."""
        self.token = token
        self.oldest_at = now
        self._ask = ask
        self._labels = labels
        self._list_state = list_state
        self._expects_rows = expects_rows
        self._asked = {token}
        self._last: tuple[Row, ...] = ()

    async def next_page(self) -> tuple[Row, ...]:
        """Returns the rows of the next page; raises BadResponseError for a list that never ends or is out of order."""
        page = await self._ask(self.token)
        for _ in range(EMPTY_ANSWER_RETRIES):
            if page.jobs or page.skipped or not (self._last or self._expects_rows):
                break
            page = await self._ask(self.token)
        rows = self._labels.rows(page, self.oldest_at, self._list_state)
        if rows and rows == self._last:
            raise BadResponseError("the list repeats the same page: it would never end", code="EndlessList")
        self._last = rows
        self.skipped = Counter(page.skipped)
        self.oldest_at = rows[-1].created_at if rows else self.oldest_at
        self.token = page.next_token
        self.is_complete = not page.next_token
        if page.next_token in self._asked and page.next_token:
            raise BadResponseError("the list repeats the same page token: it would never end", code="EndlessList")
        self._asked.add(page.next_token)
        return rows
