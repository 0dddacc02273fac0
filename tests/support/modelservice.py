"""A service with a life of its own: a world in which jobs are born, move, end and vanish between any two calls."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from exporter.errors import BadRequestError, ForbiddenError, NotFoundError, ServerError, TimedOutError
from exporter.ims.answers import Page, SmartHandleJob, SmartJob
from exporter.jobs.snapshot import ENDED_STATES
from exporter.simulator.world import World

if TYPE_CHECKING:
    import random

    from exporter.ims.client import RetryBudget
    from exporter.simulator.world import Job

TYPES = ("ASR", "DynamicChart", "VideoTranslation", "TextToSpeech", "Mystery")
PAUSED, CANCELLED = STRANGE_STATES = ("Paused", "Cancelled")
"""States that nobody documents; nothing follows the second."""
START = 1_700_000_000


class Crash(BaseException):
    """The process dies here."""


@dataclass(slots=True)
class Temper:
    """What may happen between two calls, as probabilities."""

    births: float = 0.0
    moves: float = 0.0
    open_deletions: float = 0.0
    ended_deletions: float = 0.0
    errors: float = 0.0
    crashes: float = 0.0
    duplicates: float = 0.0
    may_get: bool = True
    strange_moves: float = 0.0
    """How many of the moves lead to an undocumented state, from which a job may come back or not."""
    lists_strange: bool = True
    """Whether the lists of undocumented states are to be had."""
    hides_creation: bool = False
    """Whether the lists keep back when one job in eight was created."""


@dataclass(slots=True)
class ModelService:
    """Serves pages of 2 to 4 jobs, by the page size asked for, so that few jobs make many pages."""

    random: random.Random
    temper: Temper = field(default_factory=Temper)
    time: float = START
    world: World = field(init=False)
    types: dict[str, str] = field(default_factory=dict)
    """The type of every job that was ever born."""
    open_ids: list[str] = field(default_factory=list)
    """Jobs that may move yet."""
    ended_at: dict[str, float] = field(default_factory=dict)
    deleted: set[str] = field(default_factory=set)
    list_calls: int = 0
    strange_ever: set[str] = field(default_factory=set)
    """Jobs that have been in an undocumented state."""

    def __post_init__(self) -> None:
        self.world = World(lambda: int(self.time))

    async def list_smart_jobs(
        self,
        *,
        job_type: str = "",
        job_state: str = "",
        max_results: int | None = None,
        next_token: str = "",
        budget: RetryBudget,
        weight: int = 1,
    ) -> Page:
        """One page by an offset inside the token, so that rows move between pages."""
        del budget, weight
        await self._between_calls()
        self.list_calls += 1
        if job_state in STRANGE_STATES and not self.temper.lists_strange:
            raise BadRequestError("no such state", code="InvalidParameter")
        limit = 2 + (max_results or 10) % 3
        offset = int(next_token or 0)
        jobs = self.world.page(job_type=job_type or None, job_state=job_state or None, offset=offset, limit=limit)
        total = self.world.total(job_type or None, job_state or None)
        rows = [self._row(job) for job in jobs]
        if rows and self.random.random() < self.temper.duplicates:
            rows.append(self.random.choice(rows))
        following = str(offset + limit) if offset + limit < total else ""
        return Page(tuple(rows), next_token=following, server_time=int(self.time))

    async def get_smart_handle_job(self, job_id: str, *, budget: RetryBudget) -> SmartHandleJob:
        """One job with its reason."""
        del budget
        await self._between_calls()
        if not self.temper.may_get:
            raise ForbiddenError("no permission", code="NoPermission")
        job = self.world.get(job_id)
        if job is None:
            raise NotFoundError("no such job", code="JobNotFound")
        code, message = job.error or ("", "")
        return SmartHandleJob(job_id, job.state, code, message, job.job_type, int(job.created_at), int(job.modified_at))

    def live(self, events: int) -> None:
        """Lets the world live through some events."""
        for _ in range(events):
            self._event()

    def birth(self) -> None:
        """One job is born, sometimes in the same second as the one before."""
        self.time += self.random.choice((0, 0.4, 1, 7))
        job_type = self.random.choice(TYPES)
        job_id = self.world.create(job_type)
        self.types[job_id] = job_type
        self.open_ids.append(job_id)

    def move(self, at: int) -> None:
        """One open job goes one or two steps forward, or aside."""
        job_id = self.open_ids[at]
        job = self.world.get(job_id)
        assert job is not None
        forward = ("Finished", "Failed") if job.state == "Executing" else ("Executing", "Finished", "Failed", "Failed")
        is_strange = self.temper.strange_moves and self.random.random() < self.temper.strange_moves
        state = self.random.choice(STRANGE_STATES if is_strange else forward)
        self.world.move(job_id, state, error=("E.Model", "it failed") if state == "Failed" else None)
        if state not in {"Executing", PAUSED}:
            del self.open_ids[at]
        if is_strange:
            self.strange_ever.add(job_id)
        if state in ENDED_STATES:
            self.ended_at[job_id] = self.time

    def _event(self) -> None:
        self.time += self.random.choice((0, 0.2, 1, 3))
        dice, temper = self.random.random, self.temper
        if dice() < temper.births:
            self.birth()
        if self.open_ids and dice() < temper.moves:
            self.move(self.random.randrange(len(self.open_ids)))
        if self.open_ids and dice() < temper.open_deletions:
            self._delete(self.open_ids.pop(self.random.randrange(len(self.open_ids))))
        if self.ended_at and dice() < temper.ended_deletions:
            self._delete(self.random.choice(list(self.ended_at)))

    def _delete(self, job_id: str) -> None:
        if job_id not in self.deleted:
            self.deleted.add(job_id)
            self.world.delete(job_id)

    async def _between_calls(self) -> None:
        await asyncio.sleep(0)
        self.time += 0.05
        self._event()
        if self.random.random() < self.temper.errors:
            raise self.random.choice((ServerError, TimedOutError))("a bad day", code="InternalError")
        if self.random.random() < self.temper.crashes:
            raise Crash

    def _row(self, job: Job) -> SmartJob:
        created_at = None if self.temper.hides_creation and job.sequence % 8 == 0 else int(job.created_at)
        return SmartJob(job.job_id, job.job_type, job.state, created_at, int(job.modified_at))
