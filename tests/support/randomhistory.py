"""One random history: a service with a life of its own, and the exporter that lives and dies on its ledger."""

from __future__ import annotations

import asyncio
import random
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from exporter.errors import ExporterError
from exporter.jobs.snapshot import PollKey
from exporter.polling.ledger import Ledger
from exporter.polling.poller import DAY, Poller, PollSettings
from exporter.polling.survey import Survey
from tests.support.modelservice import TYPES, Crash, ModelService, Temper

if TYPE_CHECKING:
    from collections.abc import Callable

    from exporter.jobs.snapshot import Snapshot
    from exporter.polling.reconcile import Outcome

T = TypeVar("T")
KEY = PollKey("prod", "cn-shanghai", "smart")


class Habits(NamedTuple):
    """What the exporter of a history is set to."""

    lookback_days: int
    job_types: tuple[tuple[str, ...], ...]
    """The types polled; after a crash it may be the next ones."""


HABITS = (
    Habits(14, ((),)),
    Habits(14, ((),)),
    Habits(1, ((),)),
    Habits(14, (("ASR",),)),
    Habits(14, (("ASR", "Mystery"),)),
    Habits(14, ((), ("ASR", "Mystery"), TYPES, ("ASR",))),
)


class InlineExecutor(ThreadPoolExecutor):
    """Runs what is submitted at once, so that a seed always gives the same history."""

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:  # noqa: ANN401 - as in the class above it
        """Runs it."""
        future: Future[T] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except BaseException as error:  # noqa: BLE001 - handed on to whoever waits
            future.set_exception(error)
        return future


class WatchedLedger(Ledger):
    """A ledger that notes what was stored, and may die just before or just after that."""

    def __init__(self, path: str, history: History) -> None:
        super().__init__(path)
        self._history = history

    def commit(self, *args: Any, **options: Any) -> Snapshot:  # noqa: ANN401 - passed on as they are
        """Stores a poll, unless the process dies first."""
        outcome: Outcome = args[2]
        self._history.may_crash()
        snapshot = super().commit(*args, **options)
        self._history.note(outcome)
        self._history.may_crash()
        return snapshot


class History:
    """One history: a service, the ledger file, and the exporter that lives and dies on them."""

    def __init__(self, seed: int, folder: str) -> None:
        self.dice = random.Random(seed)
        self.service = ModelService(self.dice)
        self.interval = self.dice.choice((10, 60, 300, 900))
        self.habits = self.dice.choice(HABITS)
        self.is_strange = self.habits.lookback_days > 1 and self.dice.random() < 0.4
        """Whether the service has states that nobody documents."""
        self.job_types = self.habits.job_types[0]
        self.has_changed = self._is_reconsidered = False
        """Whether other types were polled before; whether no poll of the present ones is stored yet."""
        self.counted: list[str] = []
        self.deleted = 0
        """Jobs counted as deleted."""
        self.created = 0
        """Jobs counted as born."""
        self.since = 0.0
        """When the first poll was stored."""
        self.remembered: set[str] = set()
        """Jobs that a stored poll has met before they ended."""
        self.seen_once: set[str] = set()
        self.must_count: set[str] = set()
        self.must_not_count: set[str] = set()
        self.history_ends: set[str] | None = None
        self._path = f"{folder}/ledger.db"
        self.start()

    def start(self) -> None:
        """Starts the exporter on whatever the ledger holds."""
        days = self.habits.lookback_days
        self.ledger = WatchedLedger(self._path, self)
        self.poller = Poller(
            KEY,
            self.service,
            self.ledger,
            PollSettings(60, days, failure_details=True, job_types=self.job_types),
            now=lambda: self.service.time + 30,
        )
        self.survey = Survey(
            self.poller,
            self.service,
            self.ledger,
            interval_seconds=3600,
            lookback_days=days,
            job_types=self.job_types,
        )

    def is_polled(self, job_id: str) -> bool:
        """Whether the exporter is to look at such jobs."""
        return not self.job_types or self.service.types[job_id] in self.job_types

    @property
    def _unmet(self) -> set[str]:
        """Jobs that were in an undocumented state before a poll met them: nobody looks through those."""
        return self.service.strange_ever - self.remembered

    def may_crash(self) -> None:
        """Dies, if that is in the dice."""
        if self.dice.random() < self.service.temper.crashes:
            raise Crash

    def note(self, outcome: Outcome) -> None:
        """Notes a stored poll; with the first one, what had ended by then is history."""
        self.counted.extend(row.job_id for row in outcome.ended)
        self.deleted += len(outcome.deleted_types)
        self.created += len(outcome.created_types)
        self.remembered |= {job.job_id for job in outcome.open_jobs}
        if self._is_reconsidered and self.history_ends is not None:
            self._is_reconsidered = False
            self.seen_once = set()
            self.history_ends |= set(self.service.ended_at)
        if self.history_ends is None:
            self.history_ends = set(self.service.ended_at)
            self.since = self.service.time

    async def attempt(self) -> None:
        """Makes one poll, often with a survey beside it, and notes which ends have to be counted by now.

        A job deleted in mid-poll may hide another one from that poll; so an end must have been there for two polls.
        """
        ended_before = set(filter(self.is_polled, self.service.ended_at))
        started = self.service.time
        is_first = self.history_ends is None
        survey = asyncio.create_task(self.survey.run()) if self.poller.polled_at else None
        is_dead = False
        try:
            with suppress(ExporterError):
                await self.poller.poll()
                if not is_first:
                    there = ended_before - self.service.deleted - (self.history_ends or set()) - self._unmet
                    self.must_count |= there & self.seen_once
                    self.seen_once |= there
        except Crash:
            is_dead = True
        if is_first and self.history_ends is not None:
            self.must_not_count = {job for job in ended_before if self.service.ended_at[job] < started - 1}
        if await self._is_survey_fatal(survey) or is_dead:
            self.ledger.close()
            self._reconsider()
            self.start()

    async def _is_survey_fatal(self, survey: asyncio.Task[bool] | None) -> bool:
        if survey is None:
            return False
        if self.dice.random() < 0.5:
            survey.cancel()
        try:
            await survey
        except asyncio.CancelledError:
            return False
        except Crash:
            return True
        return False

    def _reconsider(self) -> None:
        """Sets the exporter to other types, if it has such habits; what has ended by then may be counted or not."""
        following = self.dice.choice(self.habits.job_types)
        if following != self.job_types:
            self.has_changed = self._is_reconsidered = True
        self.job_types = following

    def pass_time(self) -> None:
        """Lets a poll interval pass, now and then a long outage."""
        outage = self.dice.random() < 0.1
        self.service.live(self.dice.randrange(60 if outage else 20))
        self.service.time += self.dice.choice((3600, 40_000)) if outage else self.interval

    @property
    def window_start(self) -> int:
        """Where the lookback begins."""
        return int(self.poller.polled_at - self.habits.lookback_days * DAY) // 3600 * 3600


def some_temper(history: History) -> Temper:
    """A world's habits, from calm to wild.

    A service that keeps back times of creation is not strange in other ways, too: the truth would be open.
    """
    choice, is_calm = history.dice.choice, history.dice.random() < 0.6
    return Temper(
        births=choice((0.05, 0.1, 0.25)),
        moves=choice((0.05, 0.2, 0.4)),
        open_deletions=choice((0.0, 0.0, 0.05)),
        ended_deletions=choice((0.0, 0.0, 0.1)),
        errors=choice((0.0, 0.0, 0.03)),
        crashes=choice((0.0, 0.0, 0.03)),
        duplicates=choice((0.0, 0.1)),
        may_get=is_calm,
        strange_moves=0.2 if history.is_strange else 0.0,
        lists_strange=choice((True, True, False)),
        hides_creation=is_calm and history.habits.lookback_days > 1 and not history.is_strange,
    )
