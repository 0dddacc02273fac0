"""The two accounts that are polled: a busy one, whose jobs change all the time, and a quiet one."""

from __future__ import annotations

import math
import random
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from exporter.jobs.kinds import SMART

if TYPE_CHECKING:
    from exporter.simulator.job_store import Job, JobStore

MINUTE = 60.0
DAY = 86400.0
QUIET_DAYS = 29.0
FAILED_RATIO = 0.03
MANY = 20_000
"""Maximum number of jobs that are searched for news."""


@dataclass(slots=True)
class BusyAccount:
    """An account in which jobs are created, start and end in equal parts; jobs start in order, and any may end next.

    Its history is as dense as its present, and its jobs are of all types.
    """

    jobs: JobStore
    seed: int = 0
    waiting: deque[str] = field(default_factory=deque)
    running: list[str] = field(default_factory=list)
    changes: int = 0
    random: random.Random = field(init=False)

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)  # noqa: S311 - simulated jobs

    def create_history(self, history: int, open_jobs: int, changes_per_minute: int) -> None:
        """Creates ended jobs, and open jobs that are newer."""
        pause = MINUTE / max(1, changes_per_minute // 3)
        start = self.jobs.now() - pause * (history + open_jobs)
        for place in range(history):
            self._create(start + pause * place, "Failed" if self._fails() else "Finished")
        for place in range(history, history + open_jobs):
            is_running = place < history + open_jobs // 2
            job_id = self._create(start + pause * place, "Executing" if is_running else "Created")
            (self.running if is_running else self.waiting).append(job_id)

    def make_change(self) -> None:
        """Makes one change now."""
        kind = self.changes % 3
        self.changes += 1
        if kind == 0:
            self.waiting.append(self._create(self.jobs.now(), "Created"))
        elif kind == 1:
            self.running.append(self._moved(self.waiting.popleft(), "Executing"))
        else:
            place = self.random.randrange(len(self.running))
            self.running[place], self.running[-1] = self.running[-1], self.running[place]
            self._moved(self.running.pop(), "Failed" if self._fails() else "Finished")

    def open_jobs(self) -> list[Job]:
        """Returns the open jobs."""
        found = (self.jobs.get(job_id) for job_id in (*self.waiting, *self.running))
        return [job for job in found if job is not None]

    def pages_of_news(self, before: list[Job], since: float) -> int:
        """Returns the number of pages with the open jobs, the jobs created since, and the jobs that ended since.

        The last ones were open `before`; they are in the ended lists of their types, down to the oldest of them.
        """
        pages = sum(_pages(self.jobs.total(job_state=state)) for state in SMART.open_states)
        pages += self._pages_down_to(since)
        still_open = {*self.waiting, *self.running}
        ended = [job for job in before if job.job_id not in still_open]
        for job_type in {job.job_type for job in ended}:
            oldest = min(job.created_at for job in ended if job.job_type == job_type)
            pages += sum(self._pages_down_to(oldest, job_type, state) for state in SMART.ended_states)
        return pages

    def _pages_down_to(self, moment: float, job_type: str | None = None, job_state: str | None = None) -> int:
        jobs = self.jobs.page(job_type=job_type, job_state=job_state, limit=MANY)
        return _pages(sum(job.created_at >= moment for job in jobs))

    def _fails(self) -> bool:
        return self.random.random() < FAILED_RATIO

    def _moved(self, job_id: str, state: str) -> str:
        self.jobs.move(job_id, state, error=("InvalidFile", "no such file") if state == "Failed" else None)
        return job_id

    def _create(self, created_at: float, state: str) -> str:
        modified_at = created_at + self.random.uniform(1, MINUTE)
        kind = self.random.choice(SMART.job_types)
        return self.jobs.create(kind, state=state, created_at=created_at, modified_at=modified_at)


def _pages(jobs: int) -> int:
    return max(1, math.ceil(jobs / SMART.paging.max_size))


def fill_quiet_account(store: JobStore, history: int) -> None:
    """Creates ended jobs of four weeks, the newest of them one day old."""
    start = store.now() - QUIET_DAYS * DAY
    pause = (QUIET_DAYS - 1) * DAY / history
    for place in range(history):
        state = "Failed" if place % 33 == 0 else "Finished"
        created_at = start + pause * place
        store.create(SMART.job_types[place % 4], state=state, created_at=created_at, modified_at=created_at + MINUTE)
