"""A realistic workload for the demo: jobs queue, run, finish, fail, get stuck and are deleted."""

from __future__ import annotations

import asyncio
import heapq
import math
import random
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from exporter.jobs.states import CREATED, EXECUTING, FAILED, FINISHED
from exporter.simulator.profiles import PROFILES, Profile, Reason

if TYPE_CHECKING:
    from exporter.simulator.job_store import Account, ErrorText, JobStore

DAY = 86400.0
MAX_STEP_SECONDS = 60.0
"""Maximum time that one step simulates, so that a machine that was asleep does not create hours of jobs at once."""

_STUCK = (("VideoTranslation", 9 * 3600.0), ("ASR", 3 * 3600.0))
_LOAD_CYCLE_SECONDS = 1200.0
_FIRST_BURST = (40.0, 85.0, "TextToSpeech")
_BURST_PAUSE_SECONDS = 900.0
_BURST_SECONDS = (60.0, 240.0)
_BURST_FAILURE_RATIO = 0.8
_DELETION_PAUSE_SECONDS = 180.0
_DELETED_WHILE_WAITING_RATIO = 0.3


@dataclass(slots=True)
class _Queue:
    """The jobs of one type that wait or run; `running` is a heap by time of the end."""

    store: JobStore
    profile: Profile
    next_creation: float = 0.0
    waiting: deque[str] = field(default_factory=deque)
    running: list[tuple[float, str, ErrorText | None]] = field(default_factory=list)

    def next_event(self) -> float:
        return min(self.next_creation, self.running[0][0]) if self.running else self.next_creation


@dataclass(frozen=True, slots=True)
class _Burst:
    """A time in which most jobs of a profile fail for one reason."""

    begins: float
    ends: float
    profile: Profile
    reason: Reason


class Workload:
    """Creates and moves the jobs of an account, by the profile of each job kind and type.

    A higher `speed` gives more jobs with shorter lives. The same seed and steps give the same jobs. Times inside are
    simulated seconds, `speed` of them per second of the clock; what happens in a step happens at the store's own time.
    """

    def __init__(self, account: Account, *, seed: int = 0, speed: float = 1.0) -> None:
        self.speed = speed
        self._account = account
        self._random = random.Random(seed)
        self._queues = [
            _Queue(account.stores[kind], profile) for kind, profiles in PROFILES.items() for profile in profiles
        ]
        begins, ends, job_type = _FIRST_BURST
        profile = next(queue.profile for queue in self._queues if queue.profile.job_type == job_type)
        self._burst = _Burst(begins, ends, profile, self._reason(profile))
        self._next_deletion = self._random.expovariate(1 / _DELETION_PAUSE_SECONDS)
        self._simulated = 0.0
        self._last: float | None = None

    def add_history(self, history: int, days: float = 30.0) -> None:
        """Creates this number of ended jobs at once, spread over the past days."""
        now = self._account.jobs.now()
        for created_at in self._moments(history, now - days * DAY, now):
            self._create_ended(created_at, now)

    def start(self, history: int = 20_000, days: float = 30.0) -> None:
        """Creates a history, some stuck jobs, and jobs that wait."""
        self.add_history(history, days)
        now = self._account.jobs.now()
        for job_type, age in _STUCK:
            self._account.jobs.create(job_type, state=EXECUTING, created_at=now - age, modified_at=now - age + 5)
        for queue in self._queues:
            for _ in range(queue.profile.slots // 2):
                self._create(queue)

    def step(self, now: float) -> None:
        """Simulates the time up to `now`; the first step only sets the clock."""
        if self._last is not None:
            self._simulated += min(max(now - self._last, 0.0), MAX_STEP_SECONDS) * self.speed
        self._last = now
        for queue in self._queues:
            self._advance(queue)
        self._renew_burst()
        self._delete_some()

    async def run(self, interval_seconds: float = 0.5) -> None:
        """Makes a step every interval until it is cancelled."""
        while True:
            self.step(self._account.jobs.now())
            await asyncio.sleep(interval_seconds)

    def _advance(self, queue: _Queue) -> None:
        while (when := queue.next_event()) <= self._simulated:
            if when == queue.next_creation:
                self._create(queue)
                queue.next_creation = when + self._random.expovariate(self._jobs_per_second(queue.profile, when))
            else:
                _, job_id, error = heapq.heappop(queue.running)
                _move(queue.store, job_id, EXECUTING, FAILED if error else FINISHED, error)
            self._start_waiting(queue, when)

    def _jobs_per_second(self, profile: Profile, when: float) -> float:
        load_factor = 1 + 0.5 * math.sin(2 * math.pi * when / _LOAD_CYCLE_SECONDS)
        return profile.jobs_per_minute / 60 * load_factor

    def _create(self, queue: _Queue) -> None:
        title = f"{queue.profile.job_type.lower()}-{self._random.randrange(10_000):04d}"
        queue.waiting.append(queue.store.create(queue.profile.job_type, title=title))

    def _start_waiting(self, queue: _Queue, when: float) -> None:
        while queue.waiting and len(queue.running) < queue.profile.slots:
            job_id = queue.waiting.popleft()
            if _move(queue.store, job_id, CREATED, EXECUTING):
                seconds, error = self._outcome(queue.profile, when)
                heapq.heappush(queue.running, (when + seconds, job_id, error))

    def _outcome(self, profile: Profile, when: float) -> tuple[float, ErrorText | None]:
        """Returns the run time of a job, and its error or None; jobs that fail end earlier."""
        seconds = self._random.lognormvariate(math.log(profile.median_seconds), profile.spread)
        burst = self._burst
        if burst.profile is profile and burst.begins <= when < burst.ends:
            ratio, reason = _BURST_FAILURE_RATIO, burst.reason
        else:
            ratio, reason = profile.failure_ratio, self._reason(profile)
        if self._random.random() >= ratio:
            return seconds, None
        return seconds * self._random.uniform(0.1, 1.0), (reason.code, reason.message)

    def _reason(self, profile: Profile) -> Reason:
        weights = [reason.weight for reason in profile.reasons]
        return self._random.choices(profile.reasons, weights)[0]

    def _renew_burst(self) -> None:
        if self._simulated < self._burst.ends:
            return
        begins = self._simulated + self._random.expovariate(1 / _BURST_PAUSE_SECONDS)
        profile = self._random.choice(self._queues).profile
        ends = begins + self._random.uniform(*_BURST_SECONDS)
        self._burst = _Burst(begins, ends, profile, self._reason(profile))

    def _delete_some(self) -> None:
        while self._next_deletion <= self._simulated:
            self._next_deletion += self._random.expovariate(1 / _DELETION_PAUSE_SECONDS)
            store = self._random.choice(self._queues).store
            waits = self._random.random() < _DELETED_WHILE_WAITING_RATIO
            state = CREATED if waits and store.total(job_state=CREATED) else FINISHED
            if total := store.total(job_state=state):
                (job,) = store.page(job_state=state, offset=self._random.randrange(total), limit=1)
                store.delete(job.job_id)

    def _moments(self, count: int, begins: float, ends: float) -> list[float]:
        """Returns times from old to new, more of them by day than by night."""
        moments: list[float] = []
        while len(moments) < count:
            moment = self._random.uniform(begins, ends)
            if self._random.random() < 0.6 - 0.4 * math.cos(2 * math.pi * moment / DAY):
                moments.append(moment)
        return sorted(moments)

    def _create_ended(self, created_at: float, now: float) -> None:
        weights = [queue.profile.jobs_per_minute for queue in self._queues]
        queue = self._random.choices(self._queues, weights)[0]
        seconds, error = self._outcome(queue.profile, -1.0)
        queue.store.create(
            queue.profile.job_type,
            state=FAILED if error else FINISHED,
            created_at=created_at,
            modified_at=min(created_at + seconds, now),
            error=error,
        )


def _move(store: JobStore, job_id: str, before: str, after: str, error: ErrorText | None = None) -> bool:
    """Moves a job unless somebody else has moved or deleted it; returns whether it did."""
    job = store.get(job_id)
    if job is None or job.state != before:
        return False
    store.move(job_id, after, error=error)
    return True
