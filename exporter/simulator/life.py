"""A believable life of jobs for a demo: they queue, run, finish, fail, get stuck and are deleted."""

from __future__ import annotations

import asyncio
import heapq
import math
import random
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from exporter.simulator.profiles import PROFILES, Profile, Reason

if TYPE_CHECKING:
    from exporter.simulator.world import ErrorText, World

DAY = 86400.0
MAX_STRIDE_SECONDS = 60.0
"""The most that one step lives through: a machine that slept does not wake to an avalanche."""

_STUCK = (("VideoTranslation", 9 * 3600.0), ("ASR", 3 * 3600.0))
_TIDE_SECONDS = 1200.0
_FIRST_BURST = (40.0, 85.0, "TextToSpeech")
_BURST_PAUSE_SECONDS = 900.0
_BURST_SECONDS = (60.0, 240.0)
_BURST_FAILURE_RATIO = 0.8
_DELETION_PAUSE_SECONDS = 180.0
_DELETED_WHILE_WAITING_RATIO = 0.3


@dataclass(slots=True)
class _Lane:
    """The jobs of one type that wait or run; `running` is a heap by the moment of the end."""

    profile: Profile
    next_birth: float = 0.0
    waiting: deque[str] = field(default_factory=deque)
    running: list[tuple[float, str, ErrorText | None]] = field(default_factory=list)

    def next_event(self) -> float:
        return min(self.next_birth, self.running[0][0]) if self.running else self.next_birth


@dataclass(frozen=True, slots=True)
class _Burst:
    """A time in which most jobs of a type fail for one reason."""

    begins: float
    ends: float
    job_type: str
    reason: Reason


class Life:
    """Moves a world's jobs; `speed` makes more jobs live shorter lives. Same seed and steps, same life.

    Times inside are seconds lived, at `speed` per second of the clock; whatever happens in a step happens to
    the world at the world's own now.
    """

    def __init__(self, world: World, *, seed: int = 0, speed: float = 1.0) -> None:
        self.world = world
        self.speed = speed
        self._random = random.Random(seed)
        self._lanes = [_Lane(profile) for profile in PROFILES]
        begins, ends, job_type = _FIRST_BURST
        self._burst = _Burst(begins, ends, job_type, self._reason(_profile(job_type)))
        self._next_deletion = self._random.expovariate(1 / _DELETION_PAUSE_SECONDS)
        self._lived = 0.0
        self._last: float | None = None

    def remember(self, history: int, days: float = 30.0) -> None:
        """Creates so many ended jobs at once, spread over the days past."""
        now = self.world.now()
        for created_at in self._moments(history, now - days * DAY, now):
            self._create_ended(created_at, now)

    def begin(self, history: int = 20_000, days: float = 30.0) -> None:
        """Creates the past, some jobs that are stuck, and a running load."""
        self.remember(history, days)
        now = self.world.now()
        for job_type, age in _STUCK:
            self.world.create(job_type, state="Executing", created_at=now - age, modified_at=now - age + 5)
        for lane in self._lanes:
            for _ in range(lane.profile.slots // 2):
                self._bear(lane)

    def step(self, now: float) -> None:
        """Lives on to `now`; the first step only sets the clock."""
        if self._last is not None:
            self._lived += min(max(now - self._last, 0.0), MAX_STRIDE_SECONDS) * self.speed
        self._last = now
        for lane in self._lanes:
            self._advance(lane)
        self._renew_burst()
        self._delete_some()

    async def run(self, interval_seconds: float = 0.5) -> None:
        """Lives until cancelled."""
        while True:
            self.step(self.world.now())
            await asyncio.sleep(interval_seconds)

    def _advance(self, lane: _Lane) -> None:
        while (when := lane.next_event()) <= self._lived:
            if when == lane.next_birth:
                self._bear(lane)
                lane.next_birth = when + self._random.expovariate(self._births_per_second(lane.profile, when))
            else:
                _, job_id, error = heapq.heappop(lane.running)
                self._move(job_id, "Executing", "Failed" if error else "Finished", error)
            self._start_waiting(lane, when)

    def _births_per_second(self, profile: Profile, when: float) -> float:
        tide = 1 + 0.5 * math.sin(2 * math.pi * when / _TIDE_SECONDS)
        return profile.births_per_minute / 60 * tide

    def _bear(self, lane: _Lane) -> None:
        title = f"{lane.profile.job_type.lower()}-{self._random.randrange(10_000):04d}"
        lane.waiting.append(self.world.create(lane.profile.job_type, title=title))

    def _start_waiting(self, lane: _Lane, when: float) -> None:
        while lane.waiting and len(lane.running) < lane.profile.slots:
            job_id = lane.waiting.popleft()
            if self._move(job_id, "Created", "Executing"):
                seconds, error = self._fate(lane.profile, when)
                heapq.heappush(lane.running, (when + seconds, job_id, error))

    def _move(self, job_id: str, before: str, after: str, error: ErrorText | None = None) -> bool:
        """Moves a job unless somebody else has moved or deleted it; says whether it did."""
        job = self.world.get(job_id)
        if job is None or job.state != before:
            return False
        self.world.move(job_id, after, error=error)
        return True

    def _fate(self, profile: Profile, when: float) -> tuple[float, ErrorText | None]:
        """Returns how long a job runs and why it fails, or None; jobs that fail do so before their time."""
        seconds = self._random.lognormvariate(math.log(profile.median_seconds), profile.spread)
        burst = self._burst
        if burst.job_type == profile.job_type and burst.begins <= when < burst.ends:
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
        if self._lived < self._burst.ends:
            return
        begins = self._lived + self._random.expovariate(1 / _BURST_PAUSE_SECONDS)
        profile = self._random.choice(PROFILES)
        ends = begins + self._random.uniform(*_BURST_SECONDS)
        self._burst = _Burst(begins, ends, profile.job_type, self._reason(profile))

    def _delete_some(self) -> None:
        while self._next_deletion <= self._lived:
            self._next_deletion += self._random.expovariate(1 / _DELETION_PAUSE_SECONDS)
            waits = self._random.random() < _DELETED_WHILE_WAITING_RATIO
            state = "Created" if waits and self.world.total(job_state="Created") else "Finished"
            if total := self.world.total(job_state=state):
                (job,) = self.world.page(job_state=state, offset=self._random.randrange(total), limit=1)
                self.world.delete(job.job_id)

    def _moments(self, count: int, begins: float, ends: float) -> list[float]:
        """Returns moments from old to new, more of them by day than by night."""
        moments: list[float] = []
        while len(moments) < count:
            moment = self._random.uniform(begins, ends)
            if self._random.random() < 0.6 - 0.4 * math.cos(2 * math.pi * moment / DAY):
                moments.append(moment)
        return sorted(moments)

    def _create_ended(self, created_at: float, now: float) -> None:
        weights = [profile.births_per_minute for profile in PROFILES]
        profile = self._random.choices(PROFILES, weights)[0]
        seconds, error = self._fate(profile, -1.0)
        self.world.create(
            profile.job_type,
            state="Failed" if error else "Finished",
            created_at=created_at,
            modified_at=min(created_at + seconds, now),
            error=error,
        )


def _profile(job_type: str) -> Profile:
    return next(profile for profile in PROFILES if profile.job_type == job_type)
