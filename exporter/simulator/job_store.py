"""The jobs of a simulated account in memory, and the true counts that tests compare with."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from exporter.jobs.kinds import KINDS, SMART
from exporter.simulator.job_lists import JobLists

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from exporter.jobs.kinds import JobKind
    from exporter.simulator.job_lists import Filter, Order

ErrorText = tuple[str, str]
"""Code and message of a failure."""


def wire_time(seconds: float) -> str:
    """Returns a time as the service writes it: whole seconds, UTC."""
    return datetime.fromtimestamp(int(seconds), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@dataclass(frozen=True, slots=True)
class Job:
    """One job at one moment; times are Unix seconds, the state is one of `exporter.jobs.states` or any other word."""

    job_id: str
    job_type: str
    state: str
    created_at: float
    modified_at: float
    sequence: int
    title: str = ""
    error: ErrorText | None = None

    @property
    def order(self) -> Order:
        """The job's place in every list: by time of creation, then by arrival."""
        return self.created_at, self.sequence, self.job_id


class JobStore:
    """All jobs of one kind of one account, in the lists of the service.

    Any type, state and move is allowed, also those that the service does not document. A page takes time in proportion
    to its rows, at any offset; a move takes a millisecond in lists of a million jobs. A history is created from old to
    new.
    """

    def __init__(self, now: Callable[[], float], kind: JobKind = SMART) -> None:
        self.now = now
        self.kind = kind
        self.created_ever: Counter[str] = Counter()
        """Jobs ever created, by type."""
        self.ended_ever: Counter[tuple[str, str]] = Counter()
        """Jobs that ever ended, by (type, state): created in an ended state, or moved to one."""
        self.deleted_ever: Counter[tuple[str, str]] = Counter()
        """Jobs ever deleted, by (type, state) at that moment."""
        self._jobs: dict[str, Job] = {}
        self._lists = JobLists()
        self._watchers: list[Callable[[Job | None, Job | None], object]] = []
        self._sequence = 0

    def watch(self, watcher: Callable[[Job | None, Job | None], object]) -> None:
        """Calls the watcher after every change with the job before, None for a new one, and after, None if deleted."""
        self._watchers.append(watcher)

    def all_jobs(self) -> Iterable[Job]:
        """Returns all jobs, in no order."""
        return self._jobs.values()

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
        """Adds a job and returns its id; without times it is created now, and last modified when it was created."""
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
        self._count_end(job)
        self._notify(None, job)
        return name

    def move(self, job_id: str, state: str, *, error: ErrorText | None = None) -> None:
        """Changes the state of a job now; raises KeyError for an unknown job."""
        before = self._jobs[job_id]
        after = replace(before, state=state, modified_at=self.now(), error=error)
        self._leave(before.order, *_state_filters(before))
        self._enter(after.order, *_state_filters(after))
        self._jobs[job_id] = after
        if state != before.state:
            self._count_end(after)
        self._notify(before, after)

    def delete(self, job_id: str) -> None:
        """Removes a job, and counts it in `deleted_ever`; raises KeyError for an unknown job."""
        job = self._jobs.pop(job_id)
        self._leave(job.order, *_all_filters(job))
        self.deleted_ever[job.job_type, job.state] += 1
        self._notify(job, None)

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
        chosen = self._lists.page((job_type, job_state), offset, limit, ascending=ascending)
        return [self._jobs[job_id] for _, _, job_id in chosen]

    def total(self, job_type: str | None = None, job_state: str | None = None) -> int:
        """Returns how many jobs a list holds."""
        return self._lists.total((job_type, job_state))

    def counts(self) -> dict[tuple[str, str], int]:
        """Returns the true number of jobs by (type, state), where there are any."""
        return {
            (job_type, state): total
            for (job_type, state), total in self._lists.totals().items()
            if total and job_type is not None and state is not None
        }

    def has_listed(self, *, job_type: str | None = None, job_state: str | None = None) -> bool:
        """Whether a job of this type, or in this state, was ever listed."""
        return (job_type, job_state) in self._lists

    def _enter(self, order: Order, *filters: Filter) -> None:
        for key in filters:
            self._lists.add(key, order)

    def _leave(self, order: Order, *filters: Filter) -> None:
        for key in filters:
            self._lists.remove(key, order)

    def _notify(self, before: Job | None, after: Job | None) -> None:
        for watcher in self._watchers:
            watcher(before, after)

    def _count_end(self, job: Job) -> None:
        if job.state in self.kind.ended_states:
            self.ended_ever[job.job_type, job.state] += 1


def _state_filters(job: Job) -> tuple[Filter, Filter]:
    return (None, job.state), (job.job_type, job.state)


def _all_filters(job: Job) -> tuple[Filter, ...]:
    return (None, None), (job.job_type, None), *_state_filters(job)


class Account:
    """The jobs of one account, a store for each job kind."""

    def __init__(self, now: Callable[[], float]) -> None:
        self.stores = {kind.name: JobStore(now, kind) for kind in KINDS.values()}

    @property
    def jobs(self) -> JobStore:
        """The smart jobs."""
        return self.stores[SMART.name]
