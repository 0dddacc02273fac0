"""Jobs with a life of their own over many days, and who knows which of their ends are to be counted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from exporter.jobs.snapshot import ENDED_STATES, JOB_TYPES, OPEN_STATES
from exporter.polling.poller import DAY

if TYPE_CHECKING:
    import random

    from exporter.simulator.world import World

OPEN_JOBS = 60
"""No job is born while so many are open."""
STAY_SECONDS = 2 * DAY
"""After this age the service deletes an ended job."""


class Bookkeeper:
    """Knows which jobs have ended, and notes which were counted."""

    def __init__(self) -> None:
        self.ends = self.lost = self.doubled = 0
        self._due: set[str] = set()
        self._counted: set[str] = set()

    def end(self, job_id: str) -> None:
        """Notes an end that is to be counted."""
        self.ends += 1
        self._due.add(job_id)

    def count(self, job_id: str) -> None:
        """Notes that an end was counted."""
        self.doubled += job_id in self._counted
        self._due.discard(job_id)
        self._counted.add(job_id)

    def leave(self, job_id: str) -> None:
        """Notes that a job has left the service: by now its end has to be counted."""
        self.lost += job_id in self._due
        self._due.discard(job_id)
        self._counted.discard(job_id)

    def close(self) -> None:
        """Notes that everything has to be counted by now."""
        self.lost += len(self._due)
        self._due.clear()


class Life:
    """Jobs that are born, move and end, and leave the service when they are older than the lookback."""

    def __init__(self, world: World, dice: random.Random, book: Bookkeeper) -> None:
        self.events = 0
        """How many things happen between two calls, at most."""
        self._world, self._dice, self._book = world, dice, book

    def go_on(self) -> None:
        """Lets something happen."""
        for _ in range(self._dice.randrange(self.events + 1)):
            if self._dice.random() < 0.3 and sum(map(self._open, OPEN_STATES)) < OPEN_JOBS:
                self._world.create(self._dice.choice(JOB_TYPES))
            else:
                self._move()
        self._forget()

    def _open(self, state: str) -> int:
        return self._world.total(job_state=state)

    def _move(self) -> None:
        state = self._dice.choice(OPEN_STATES)
        if not (total := self._open(state)):
            return
        (job,) = self._world.page(job_state=state, offset=self._dice.randrange(total), limit=1)
        following = self._dice.choice(("Executing", *ENDED_STATES) if state == "Created" else ENDED_STATES)
        self._world.move(job.job_id, following, error=("Timeout", "took too long") if following == "Failed" else None)
        if following in ENDED_STATES:
            self._book.end(job.job_id)

    def _forget(self) -> None:
        for job in self._world.page(limit=2, ascending=True):
            if job.state in ENDED_STATES and job.created_at < self._world.now() - STAY_SECONDS:
                self._book.leave(job.job_id)
                self._world.delete(job.job_id)
