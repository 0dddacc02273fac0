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
MAX_SAMPLE = 500
"""Maximum number of jobs that estimates are made with; of more, every second, third ... one is taken."""


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
        """Returns the jobs per second of a type and a state; an empty text means all."""
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
    """Jobs per second of creation time: an estimate at first, then that of the pages read.

    Each page weighs twice as much as the one before it. So a page full of jobs of one second, as a burst leaves, does
    not make a list look a thousand pages long.
    """
    expected_share: float
    """Share of the jobs sought that the list is assumed to hold before it is read."""
    page_size: int
    reading: ListReading = field(default_factory=ListReading)
    weighted_rows: float = 0.0
    weighted_seconds: float = 0.0
    found: int = 0
    passed: int = 0
    """Jobs sought whose place in the list has been read without showing them."""

    def is_read_to(self, created_at: int) -> bool:
        """Returns whether the list has been read to jobs older than that, or to its end."""
        return self.reading.is_complete or (bool(self.reading.pages) and self.cursor.oldest_at < created_at)

    def concerns(self, job: OpenJob) -> bool:
        """Returns whether the list may hold the job, in the part that has not been read."""
        return self.job_type in {"", job.job_type} and not self.is_read_to(job.created_at)

    def pages_to(self, created_at: int) -> int:
        """Returns about how many pages are left down to a creation time."""
        return max(1, math.ceil((self.cursor.oldest_at - created_at) * self.rate / self.page_size))

    def pages_left(self, jobs: Iterable[OpenJob]) -> int:
        """Returns about how many pages are left down to the oldest of the jobs that the list may hold."""
        return max((self.pages_to(job.created_at) for job in jobs if self.concerns(job)), default=0)

    @property
    def share(self) -> float:
        """Share of the jobs sought in its span that the list has shown, or is expected to show."""
        return (self.found + self.expected_share) / (self.found + self.passed + 1)

    async def read_next(self, reader: Reader, wanted: dict[str, OpenJob]) -> None:
        """Reads the next page, and takes the jobs that it shows out of `wanted`."""
        concerned = [job for job in wanted.values() if self.concerns(job)]
        newest = self.cursor.oldest_at
        rows = await reader.read_page(self.cursor, self.reading)
        for row in rows:
            self.found += wanted.pop(row.job_id, None) is not None
        self.passed += sum(job.job_id in wanted and not self.concerns(job) for job in concerned)
        self.weighted_rows = self.weighted_rows / 2 + len(rows)
        self.weighted_seconds = self.weighted_seconds / 2 + newest - self.cursor.oldest_at
        self.rate = self.weighted_rows / max(1.0, self.weighted_seconds)


class Search:
    """The search of one poll; `wanted` holds the jobs that have not been found yet."""

    def __init__(self, reader: Reader, jobs: Iterable[OpenJob], newest: ListReading) -> None:
        self.wanted = {job.job_id: job for job in sorted(jobs, key=lambda job: -job.created_at)}
        self.findings = Findings()
        self._reader = reader
        self._density = Density(newest, reader.started_at)
        self._lists: list[EndedList] = []
        self._asked: set[str] = set()

    async def run(self) -> Findings:
        """Searches for all jobs wanted; raises ApiError for a list that cannot be read."""
        if await self._read_ended_lists():
            await self._ask(self.wanted.values())
            if not self._reader.may_get:  # it was forbidden just now
                await self._read_ended_lists()
        if self.wanted:
            await self._prove_absence()
        return self.findings

    async def _read_ended_lists(self) -> bool:
        """Reads the ended lists while a page finds more than one job; returns whether details calls are cheaper."""
        while self.wanted:
            self._choose_lists()
            worth = self._jobs_per_page()
            best = max(worth, default=0.0)
            if not best:
                return False
            if self._reader.may_get and best < 1:
                return True
            least = max(ALSO_WORTH_READING * best, 1.0 if self._reader.may_get else 0.0)
            chosen = [each for each, value in zip(self._lists, worth, strict=True) if value >= min(least, best)]
            await side_by_side(*(each.read_next(self._reader, self.wanted) for each in chosen))
        return False

    def _jobs_per_page(self) -> list[float]:
        """Returns for each list how many jobs a page is expected to find, if the list is read as far as it pays best.

        A job is expected in a list by the list's share, among the lists that may still hold it: once Finished was read
        past a job without showing it, the job is expected in Failed.
        """
        jobs = list(self.wanted.values())
        step = math.ceil(len(jobs) / MAX_SAMPLE)
        expected, worth = [0.0] * len(self._lists), [0.0] * len(self._lists)
        for job in jobs[::step]:
            holders = [index for index, each in enumerate(self._lists) if each.concerns(job)]
            total = sum(self._lists[index].share for index in holders)
            for index in holders:
                expected[index] += step * self._lists[index].share / total
                worth[index] = max(worth[index], expected[index] / self._lists[index].pages_to(job.created_at))
        return worth

    def _types(self) -> set[str]:
        """Returns the types of the jobs wanted; an empty text means types that lists cannot be filtered by."""
        kind = self._reader.kind
        known = kind.job_types if kind.filters.job_type else ()
        return {job.job_type if job.job_type in known else "" for job in self.wanted.values()}

    def _choose_lists(self) -> None:
        """Chooses the lists to read: those of all types, or those of each type wanted, whichever are shorter.

        What has been read is given up only for half of the pages: the length of a list not read yet is a rough guess.
        """
        types, jobs = self._types(), list(self.wanted.values())
        if self._lists and (self._lists[0].job_type or "" in types):
            return
        unfiltered = self._lists or self._ended_lists("")
        pages = sum(each.pages_left(jobs) for each in unfiltered) / (2 if self._lists else 1)
        by_type = [each for job_type in sorted(types - {""}) for each in self._ended_lists(job_type)]
        is_shorter = "" not in types and sum(each.pages_left(jobs) for each in by_type) < pages
        self._lists = by_type if is_shorter else unfiltered

    def _ended_lists(self, job_type: str) -> list[EndedList]:
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

    async def _ask(self, jobs: Iterable[OpenJob]) -> None:
        """Makes a details call for each job, as long as that is allowed."""
        by_id = {job.job_id: job for job in jobs}
        await self._reader.ask_each(by_id, lambda job_id: self._ask_one(by_id[job_id]))

    async def _ask_one(self, job: OpenJob) -> None:
        """Takes a job out of `wanted` if the details call says that it has ended, or gives the state it had.

        An open state is believed in the first poll that misses the job; later, the lists have to confirm it.
        """
        try:
            details = await self._reader.get(job.job_id)
        except ApiError:
            return  # the lists decide, at a higher price
        self._asked.add(job.job_id)
        if details is None:
            self.findings.denied.add(job.job_id)
            return
        state, kind = self._reader.labels.job_state(details.job_state), self._reader.kind
        is_credible = not job.missing_polls if state in kind.open_states else state == job.job_state
        if state in kind.ended_states or is_credible:
            self._reader.rows.append(Row(job.job_id, job.job_type, state, job.created_at, details.modified_at))
            self.wanted.pop(job.job_id, None)

    async def _prove_absence(self) -> None:
        """Reads the list of all jobs down to the oldest job wanted; what it does not show is in no list.

        A job that has not ended either may be in a state that the service does not document: only this list proves.
        """
        oldest = min(job.created_at for job in self.wanted.values())
        reading, pages_left = ListReading(), MAX_PROOF_PAGES
        types = self._types()
        cursor = self._reader.cursor(types.pop() if len(types) == 1 else "")
        while self.wanted and not reading.is_complete and pages_left and not reading.reaches(oldest):
            for row in await self._reader.read_page(cursor, reading):
                self.wanted.pop(row.job_id, None)
            pages_left -= 1
        self.findings.absent = {job.job_id for job in self.wanted.values() if reading.reaches(job.created_at)}
        self.findings.proven_absent = {job.job_id for job in self.wanted.values() if reading.covers(job.created_at)}
        self.findings.was_cut_short = any(not reading.reaches(job.created_at) for job in self.wanted.values())
        unasked = [job for job in self.wanted.values() if job.job_id in self.findings.absent - self._asked]
        await self._ask(unasked[:MAX_PROOF_CALLS])
