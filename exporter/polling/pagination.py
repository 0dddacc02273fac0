"""Reading a list page by page, and what the pages prove.

The rows of a list move between its pages while it is read: a job that leaves the list pulls all older ones up by one
place, so that one may slip from an unread page to a page already read. A single page, though, is one answer of the
service: whatever it does not show between its first and its last row was not in the list at that moment. So each page
is kept as evidence for the span of creation times it covers, and the seams between pages as what is not proven.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from exporter.errors import BadResponseError
from exporter.jobs.labels import LabelSet
from exporter.jobs.states import JOB_STATES

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterable

    from exporter.ims.answers import ListedJob, Page
    from exporter.jobs.kinds import JobKind

PAGE_SIZE = 100
"""The service's limit for one page."""
UNKNOWN_VALUES = 20
"""So many undocumented job types, and job states, get a label of their own; later ones are `other`."""


class Row(NamedTuple):
    """A job as a list showed it; times are Unix seconds on the service's clock."""

    job_id: str
    job_type: str
    job_state: str
    created_at: int
    modified_at: int | None
    is_dated: bool = True
    """Whether the service gave a time; without one, `created_at` is only that of the row above."""
    noticed_at: int | None = None
    """When a poll met the end of a job it knew as open: it stands in where the service gives no `modified_at`."""

    @property
    def ended_at(self) -> int:
        """When an ended job ended: its last modification; else when that was noticed; else its creation."""
        moment = self.noticed_at if self.modified_at is None else self.modified_at
        return self.created_at if moment is None else max(self.created_at, moment)


class Seam(NamedTuple):
    """A span of creation times, ends included, in which a job may have slipped between two pages."""

    older: int
    newer: int

    def meets(self, other: Seam) -> bool:
        """Whether the two spans have a second in common."""
        return self.older <= other.newer and other.older <= self.newer

    def common(self, other: Seam) -> Seam:
        """Returns the span that two seams have in common."""
        return Seam(max(self.older, other.older), min(self.newer, other.newer))


@dataclass(slots=True)
class Walk:
    """The pages of one list as read, newest first."""

    pages: list[tuple[Row, ...]] = field(default_factory=list)
    is_complete: bool = False
    """Whether the list was read to its end."""

    def covers(self, created_at: int) -> bool:
        """Whether one page alone shows all jobs of the list created in that second."""
        last = len(self.pages) - 1
        for number, page in enumerate(self.pages):
            newest = math.inf if number == 0 else page[0].created_at if page else -math.inf
            oldest = -math.inf if number == last and self.is_complete else page[-1].created_at if page else math.inf
            if oldest < created_at < newest:
                return True
        return False

    def reaches(self, created_at: int) -> bool:
        """Whether the list was read on to jobs older than that second, or to its end."""
        return self.is_complete or any(page and page[-1].created_at < created_at for page in self.pages)

    def seams(self) -> list[Seam]:
        """Returns the seams between pages that have no job in common."""
        found = []
        for above, below in zip(self.pages, self.pages[1:], strict=False):
            if above and not {row.job_id for row in above}.intersection(row.job_id for row in below):
                newer = above[-1].created_at
                found.append(Seam(min(below[0].created_at, newer) if below else 0, newer))
        return found


def _each_once(jobs: Iterable[ListedJob]) -> Iterable[ListedJob]:
    """Returns the jobs in their order, a repeated one where it stands first: there the list is in order."""
    first: dict[str, ListedJob] = {}
    for job in jobs:
        first.setdefault(job.job_id, job)
    return first.values()


class Labels:
    """The job types and states met so far: what comes from the service becomes a label only through these."""

    def __init__(self, kind: JobKind, job_types: Iterable[str] = (), job_states: Iterable[str] = ()) -> None:
        self._types = LabelSet((*kind.known_types, *job_types), len(kind.known_types) + UNKNOWN_VALUES)
        self._states = LabelSet((*JOB_STATES, *job_states), len(JOB_STATES) + UNKNOWN_VALUES)

    def rows(self, page: Page, created_at: int) -> tuple[Row, ...]:
        """Returns a page's jobs; without a creation time one gets a later one that does not change, if there is any.

        `created_at` is that of the row before the page.
        """
        rows = []
        for job in _each_once(page.jobs):
            if job.created_at is not None:
                created_at = job.created_at
            elif job.modified_at is not None:
                created_at = min(created_at, job.modified_at)
            rows.append(self._row(job, created_at))
        return tuple(rows)

    def job_state(self, state: str) -> str:
        """Returns the label of a job state."""
        return self._states.bounded(state)

    def _row(self, job: ListedJob, created_at: int) -> Row:
        job_type = self._types.bounded(job.job_type)
        is_dated = job.created_at is not None or job.modified_at is not None
        modified_at = job.modified_at if job.ended_at is None else job.ended_at
        return Row(job.job_id, job_type, self.job_state(job.job_state), created_at, modified_at, is_dated)


async def read_pages(
    ask: Callable[[str], Awaitable[Page]], labels: Labels, now: int
) -> AsyncIterator[tuple[tuple[Row, ...], bool]]:
    """Yields each page's rows, and whether it is the last page; `ask` is given the token of the page to read.

    Raises BadResponseError for a list that never ends.
    """
    token, asked = "", {""}
    created_at = now
    before: tuple[Row, ...] = ()
    while True:
        page = await ask(token)
        rows = labels.rows(page, created_at)
        if rows and rows == before:
            raise BadResponseError("the list gives the same page again: it would never end", code="EndlessList")
        before = rows
        created_at = rows[-1].created_at if rows else created_at
        token = page.next_token
        yield rows, not token
        if not token:
            return
        if token in asked:
            raise BadResponseError("the list gives the same NextToken again: it would never end", code="EndlessList")
        asked.add(token)
