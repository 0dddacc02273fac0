"""An account's jobs in memory, and the truth about them that tests compare with."""

from __future__ import annotations

import hashlib
from bisect import bisect_left, insort
from collections import Counter, defaultdict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from exporter.jobs.kinds import SMART

ENDED_STATES = SMART.ended_states

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ErrorText = tuple[str, str]
"""Code and message of a failure."""

_Order = tuple[float, int, str]
_Filter = tuple[str | None, str | None]


@dataclass(frozen=True, slots=True)
class Job:
    """One job as it is at a moment; times are Unix seconds, `error` is code and message."""

    job_id: str
    job_type: str
    state: str
    created_at: float
    modified_at: float
    sequence: int
    title: str = ""
    error: ErrorText | None = None

    @property
    def order(self) -> _Order:
        """The job's place in every list: by creation, and by arrival where that is the same."""
        return self.created_at, self.sequence, self.job_id


class World:
    """All jobs of one account, listed as the service lists them.

    Any type, state and move is allowed, wicked ones too. A page costs as much as its rows, at any offset; a
    move shifts the lists it touches (of a million jobs: a millisecond). Create histories from old to new.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        self.now = now
        self.created_ever: Counter[str] = Counter()
        """Jobs ever created, by type."""
        self.ended_ever: Counter[tuple[str, str]] = Counter()
        """Ends ever reached, by (type, state): entries into an ended state, by creation or by a move."""
        self.deleted_ever: Counter[tuple[str, str]] = Counter()
        """Jobs ever deleted, by (type, state) at that moment."""
        self._jobs: dict[str, Job] = {}
        self._lists: defaultdict[_Filter, list[_Order]] = defaultdict(list)
        self._sequence = 0

    def create(
        self,
        job_type: str,
        *,
        state: str = "Created",
        job_id: str | None = None,
        created_at: float | None = None,
        modified_at: float | None = None,
        title: str = "",
        error: ErrorText | None = None,
    ) -> str:
        """Adds a job and returns its id; it is created now, and last modified then, unless told otherwise."""
        self._sequence += 1
        created = self.now() if created_at is None else created_at
        modified = created if modified_at is None else modified_at
        name = job_id or hashlib.blake2b(b"%d" % self._sequence, digest_size=16).hexdigest()
        if name in self._jobs:
            raise ValueError(f"job {name} is there already")
        job = Job(name, job_type, state, created, modified, self._sequence, title, error)
        self._jobs[name] = job
        self._enter(job.order, *_all_filters(job))
        self.created_ever[job_type] += 1
        self._note_end(job)
        return name

    def move(self, job_id: str, state: str, *, error: ErrorText | None = None) -> None:
        """Puts a job into a state, now; raises KeyError for an unknown job."""
        before = self._jobs[job_id]
        after = replace(before, state=state, modified_at=self.now(), error=error)
        self._leave(before.order, *_state_filters(before))
        self._enter(after.order, *_state_filters(after))
        self._jobs[job_id] = after
        if state != before.state:
            self._note_end(after)

    def delete(self, job_id: str) -> None:
        """Removes a job without a trace but in `deleted_ever`; raises KeyError for an unknown job."""
        job = self._jobs.pop(job_id)
        self._leave(job.order, *_all_filters(job))
        self.deleted_ever[job.job_type, job.state] += 1

    def get(self, job_id: str) -> Job | None:
        """Returns the job as it is now, or None."""
        return self._jobs.get(job_id)

    def page(
        self,
        *,
        job_type: str | None = None,
        job_state: str | None = None,
        offset: int = 0,
        limit: int = 10,
        ascending: bool = False,
    ) -> list[Job]:
        """Returns the jobs of a type and state from `offset` on, newest first unless `ascending`."""
        orders = self._lists.get((job_type, job_state), [])
        if ascending:
            chosen = orders[offset : offset + limit]
        else:
            end = max(len(orders) - offset, 0)
            chosen = orders[max(end - limit, 0) : end][::-1]
        return [self._jobs[job_id] for _, _, job_id in chosen]

    def total(self, job_type: str | None = None, job_state: str | None = None) -> int:
        """Returns how many jobs a list holds."""
        return len(self._lists.get((job_type, job_state), ()))

    def counts(self) -> dict[tuple[str, str], int]:
        """Returns the true number of jobs by (type, state), where there are any."""
        return {key: len(orders) for key, orders in self._full_lists() if orders}

    def knows(self, *, job_type: str | None = None, job_state: str | None = None) -> bool:
        """Says whether a job of this type, or in this state, was ever listed."""
        return (job_type, job_state) in self._lists

    def _full_lists(self) -> Iterator[tuple[tuple[str, str], list[_Order]]]:
        for (job_type, state), orders in self._lists.items():
            if job_type is not None and state is not None:
                yield (job_type, state), orders

    def _enter(self, order: _Order, *filters: _Filter) -> None:
        for key in filters:
            insort(self._lists[key], order)

    def _leave(self, order: _Order, *filters: _Filter) -> None:
        for key in filters:
            orders = self._lists[key]
            del orders[bisect_left(orders, order)]

    def _note_end(self, job: Job) -> None:
        if job.state in ENDED_STATES:
            self.ended_ever[job.job_type, job.state] += 1


def _state_filters(job: Job) -> tuple[_Filter, _Filter]:
    return (None, job.state), (job.job_type, job.state)


def _all_filters(job: Job) -> tuple[_Filter, ...]:
    return (None, None), (job.job_type, None), *_state_filters(job)
