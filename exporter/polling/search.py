"""Searches for jobs that have left the open lists: in the ended lists, one by one, and in the list of all jobs.

Lists decide. The details call is a hint: a job that it calls ended has ended, but one that it does not know, or whose
state it gives in another word, is looked for in the lists.

What is read next is whatever finds most jobs per call. Worked example: 500 of 1,000 open jobs have ended since the
last poll, the oldest 3,000 jobs ago. 500 details calls, or 30 pages down to the oldest: the first pages of Finished
and Failed are read. Finished shows 90 of the 100 jobs sought in its span, Failed 10 of 12 in its own, which reaches
further back. Both are read on, Finished first, until 4 jobs are left that are 5 pages away: these are asked for one
by one.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from exporter.errors import ApiError
from exporter.polling.pagination import ListReading
from exporter.polling.reading import side_by_side
from exporter.polling.records import Row

if TYPE_CHECKING:
    from collections.abc import Iterable

    from exporter.polling.pagination import ListCursor
    from exporter.polling.reading import Reader
    from exporter.polling.records import OpenJob

MAX_PROOF_PAGES = 200
"""Maximum number of pages of the list of all jobs that a poll reads to prove that jobs are deleted."""
MAX_PROOF_CALLS = 20
"""Maximum number of details calls that a poll makes to confirm that jobs are deleted."""
MIN_SHARE = 0.05
"""Share of the jobs sought that a list is assumed to hold, at least, before it is read."""
ALSO_WORTH_READING = 0.5
"""A list that finds at least half as many jobs per page as the best one is read at the same time."""


@dataclass(slots=True)
class Findings:
    """What the search has proven of jobs that it did not find; the jobs it found are among the reader's rows."""

    absent: set[str] = field(default_factory=set)
    """Jobs that the list of all jobs does not show, though it was read down to where they should be."""
    proven_absent: set[str] = field(default_factory=set)
    """Those of them whose second one page covers."""
    denied: set[str] = field(default_factory=set)
    """Jobs that the details call does not know."""
    was_cut_short: bool = False
    """Whether a job could not be looked for within the budget."""


class Density:
    """How many jobs there are per second of creation time, by type and state, among the newest jobs of a target."""

    def __init__(self, newest: ListReading, now: int) -> None:
        rows = [row for page in newest.pages for row in page]
        self._seconds = max(1, now - min((row.created_at for row in rows), default=now))
        self._counts = Counter((row.job_type, row.job_state) for row in rows)

    def rate(self, job_type: str = "", job_state: str = "") -> float:
        """Returns the jobs per second of a type and a state; an empty text stands for all."""
        matching = (
            count
            for (row_type, row_state), count in self._counts.items()
            if job_type in {"", row_type} and job_state in {"", row_state}
        )
        return sum(matching) / self._seconds


@dataclass(slots=True)
class EndedList:
    """One ended list, as far as the search has read it."""

    job_type: str
    """The type that the list is filtered by; empty for all."""
    cursor: ListCursor
    rate: float
    """Jobs per second of creation time: an estimate at first, then that of the last page."""
    expected_share: float
    """Share of the jobs sought that the list is assumed to hold before it is read."""
    page_size: int
    reading: ListReading = field(default_factory=ListReading)
    found: int = 0
    passed: int = 0
    """Jobs sought whose place in the list has been read without showing them."""

    def is_read_to(self, created_at: int) -> bool:
        """Returns whether the list has been read to jobs older than that, or to its end."""
        return self.reading.is_complete or (bool(self.reading.pages) and self.cursor.oldest_at < created_at)

    def concerns(self, job: OpenJob) -> bool:
        """Returns whether the list may hold the job, in the part that has not been read."""
        return self.job_type in {"", job.job_type} and not self.is_read_to(job.created_at)

    def pages_to(self, jobs: Iterable[OpenJob]) -> int:
        """Returns about how many pages are left down to the oldest of the jobs that it may hold."""
        created = [job.created_at for job in jobs if self.concerns(job)]
        if not created:
            return 0
        return max(1, math.ceil((self.cursor.oldest_at - min(created)) * self.rate / self.page_size))

    def jobs_per_page(self, jobs: Iterable[OpenJob]) -> float:
        """Returns how many of these jobs a page is expected to show, down to the oldest of them."""
        concerned = [job for job in jobs if self.concerns(job)]
        share = (self.found + self.expected_share) / (self.found + self.passed + 1)
        return share * len(concerned) / max(1, self.pages_to(concerned))

    async def read_next(self, reader: Reader, wanted: dict[str, OpenJob]) -> None:
        """Reads the next page, and takes the jobs that it shows out of `wanted`."""
        concerned = [job for job in wanted.values() if self.concerns(job)]
        rows = await reader.read_page(self.cursor, self.reading)
        for row in rows:
            self.found += wanted.pop(row.job_id, None) is not None
        self.passed += sum(job.job_id in wanted and not self.concerns(job) for job in concerned)
        if rows:
            self.rate = len(rows) / max(1, rows[0].created_at - rows[-1].created_at)


class Search:
    """The search of one poll; `wanted` holds the jobs that have not been found yet."""

    def __init__(self, reader: Reader, jobs: Iterable[OpenJob], newest: ListReading) -> None:
        self.wanted = {job.job_id: job for job in jobs}
        self.findings = Findings()
        self._reader = reader
        self._density = Density(newest, reader.started_at)
        self._asked: set[str] = set()

    async def run(self) -> Findings:
        """Searches for all jobs wanted; raises ApiError for a list that cannot be read."""
        if await self._read_ended_lists():
            await self._ask(self.wanted.values())
        if self.wanted:
            await self._prove_absence()
        return self.findings

    async def _read_ended_lists(self) -> bool:
        """Reads the ended lists as long as they find more jobs per call; returns whether details calls are cheaper."""
        lists = self._lists(self._only_type())
        while self.wanted:
            jobs = list(self.wanted.values())
            lists = self._narrowed(lists)
            pages = sum(each.pages_to(jobs) for each in lists)
            if not pages:
                return False
            if self._reader.may_get and len(jobs) <= pages:
                return True
            worth = {index: each.jobs_per_page(jobs) for index, each in enumerate(lists)}
            best = max(worth.values())
            chosen = [lists[index] for index, value in worth.items() if value >= ALSO_WORTH_READING * best]
            await side_by_side(*(each.read_next(self._reader, self.wanted) for each in chosen))
        return False

    def _only_type(self) -> str:
        """Returns the type that all jobs wanted have, if lists can be filtered by it; else an empty text."""
        types = {job.job_type for job in self.wanted.values()}
        kind = self._reader.kind
        return types.pop() if len(types) == 1 and kind.filters.job_type and types <= set(kind.job_types) else ""

    def _lists(self, job_type: str) -> list[EndedList]:
        kind, reader = self._reader.kind, self._reader
        rates = {state: self._density.rate(job_type, state) for state in kind.ended_states}
        total = sum(rates.values())
        return [
            EndedList(
                job_type,
                reader.cursor(job_type, word),
                rates[state],
                max(MIN_SHARE, rates[state] / total) if total else 1 / len(rates),
                reader.page_size,
            )
            for state in kind.ended_states
            for word in kind.filters_of(state)
        ]

    def _narrowed(self, lists: list[EndedList]) -> list[EndedList]:
        """Returns the lists of one type, once only jobs of that type are wanted and its lists are shorter to read."""
        job_type = self._only_type()
        if not job_type or lists[0].job_type:
            return lists
        jobs = list(self.wanted.values())
        of_type = self._lists(job_type)
        is_shorter = sum(each.pages_to(jobs) for each in of_type) < sum(each.pages_to(jobs) for each in lists)
        return of_type if is_shorter else lists

    async def _ask(self, jobs: Iterable[OpenJob]) -> None:
        """Makes a details call for each job, as long as that is allowed."""
        if self._reader.may_get:
            await side_by_side(*(self._ask_one(job) for job in list(jobs)))

    async def _ask_one(self, job: OpenJob) -> None:
        """Takes a job out of `wanted` if the details call says that it has ended, or gives the state it had.

        An open state is believed in the first poll that misses the job; later, the lists have to confirm it.
        """
        if not self._reader.may_get:
            return
        try:
            details = await self._reader.get(job.job_id)
        except ApiError:
            return  # the lists decide, at a higher price
        self._asked.add(job.job_id)
        if details is None:
            self.findings.denied.add(job.job_id)
            return
        state, kind = self._reader.labels.job_state(details.job_state), self._reader.kind
        is_credible = state == job.job_state or (state in kind.open_states and not job.missing_polls)
        if state in kind.ended_states or (is_credible and not (job.missing_polls and state in kind.open_states)):
            self._reader.rows.append(Row(job.job_id, job.job_type, state, job.created_at, details.modified_at))
            self.wanted.pop(job.job_id, None)

    async def _prove_absence(self) -> None:
        """Reads the list of all jobs down to the oldest job wanted; what it does not show is in no list.

        A job that has not ended either may be in a state that the service does not document: only this list proves.
        """
        oldest = min(job.created_at for job in self.wanted.values())
        reading, pages_left = ListReading(), MAX_PROOF_PAGES
        cursor = self._reader.cursor(self._only_type())
        while self.wanted and not reading.is_complete and pages_left and not reading.reaches(oldest):
            for row in await self._reader.read_page(cursor, reading):
                self.wanted.pop(row.job_id, None)
            pages_left -= 1
        self.findings.absent = {job.job_id for job in self.wanted.values() if reading.reaches(job.created_at)}
        self.findings.proven_absent = {job.job_id for job in self.wanted.values() if reading.covers(job.created_at)}
        self.findings.was_cut_short = any(not reading.reaches(job.created_at) for job in self.wanted.values())
        unasked = [job for job in self.wanted.values() if job.job_id in self.findings.absent - self._asked]
        await self._ask(unasked[:MAX_PROOF_CALLS])
