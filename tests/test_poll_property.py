"""Over random histories of jobs, calls, errors and crashes: every count is exact, every end is counted once."""

from __future__ import annotations

import asyncio
import os
import random
import tempfile
from collections import Counter
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.errors import ExporterError
from exporter.ledger import Ledger
from exporter.poller import Poller, PollSettings
from exporter.snapshot import ENDED_STATES, OPEN_STATES, TargetKey
from exporter.survey import Survey
from tests.modelservice import Crash, ModelService, Temper

if TYPE_CHECKING:
    from collections.abc import Callable

    from exporter.reconcile import Outcome
    from exporter.snapshot import Snapshot

T = TypeVar("T")
KEY = TargetKey("prod", "cn-shanghai")
HISTORIES = 500
MEMORY_DISK = Path("/dev/shm")  # noqa: S108 - temporary folders are made in it
FOLDER = str(MEMORY_DISK) if os.access(MEMORY_DISK, os.W_OK) else None
LOOKBACK_DAYS = 14


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
        self.counted: list[str] = []
        self.seen_once: set[str] = set()
        self.must_count: set[str] = set()
        self.must_not_count: set[str] = set()
        self.history_ends: set[str] | None = None
        self._path = f"{folder}/ledger.db"
        self.start()

    def start(self) -> None:
        """Starts the exporter on whatever the ledger holds."""
        self.ledger = WatchedLedger(self._path, self)
        self.poller = Poller(
            KEY,
            self.service,
            self.ledger,
            PollSettings(60, LOOKBACK_DAYS, failure_details=True),
            now=lambda: self.service.time + 30,
        )
        self.survey = Survey(self.poller, self.service, self.ledger, interval_seconds=3600, lookback_days=LOOKBACK_DAYS)

    def may_crash(self) -> None:
        """Dies, if that is in the dice."""
        if self.dice.random() < self.service.temper.crashes:
            raise Crash

    def note(self, outcome: Outcome) -> None:
        """Notes a stored poll; with the first one, what had ended by then is history."""
        self.counted.extend(row.job_id for row in outcome.ended)
        if self.history_ends is None:
            self.history_ends = set(self.service.ended_at)

    async def attempt(self) -> None:
        """Makes one poll, often with a survey beside it, and notes which ends have to be counted by now.

        A job deleted in mid-poll may hide another one from that poll; so an end must have been there for two polls.
        """
        ended_before = set(self.service.ended_at)
        started = self.service.time
        is_first = self.history_ends is None
        survey = asyncio.create_task(self.survey.run()) if self.poller.polled_at else None
        is_dead = False
        try:
            with suppress(ExporterError):
                await self.poller.poll()
                if not is_first:
                    there = ended_before - self.service.deleted - (self.history_ends or set())
                    self.must_count |= there & self.seen_once
                    self.seen_once |= there
        except Crash:
            is_dead = True
        if is_first and self.history_ends is not None:
            self.must_not_count = {job for job in ended_before if self.service.ended_at[job] < started - 1}
        if await self._is_survey_fatal(survey) or is_dead:
            self.ledger.close()
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

    def pass_time(self) -> None:
        """Lets a poll interval pass, now and then a long outage."""
        outage = self.dice.random() < 0.1
        self.service.live(self.dice.randrange(60 if outage else 20))
        self.service.time += self.dice.choice((3600, 40_000)) if outage else self.interval


def some_temper(dice: random.Random) -> Temper:
    """A world's habits, from calm to wild."""
    return Temper(
        births=dice.choice((0.05, 0.1, 0.25)),
        moves=dice.choice((0.05, 0.2, 0.4)),
        open_deletions=dice.choice((0.0, 0.0, 0.05)),
        ended_deletions=dice.choice((0.0, 0.0, 0.1)),
        errors=dice.choice((0.0, 0.0, 0.03)),
        crashes=dice.choice((0.0, 0.0, 0.03)),
        duplicates=dice.choice((0.0, 0.1)),
        may_get=dice.random() < 0.6,
    )


async def live_through(history: History) -> None:
    """Fills the world and lets it live while the exporter polls, fails, dies and comes back."""
    service = history.service
    for _ in range(history.dice.randrange(12)):
        service.birth()
    service.temper = some_temper(history.dice)
    service.live(history.dice.randrange(40))
    for _ in range(history.dice.randrange(3, 12)):
        await history.attempt()
        history.pass_time()


async def come_to_rest(history: History) -> None:
    """Stops the world and polls as often as exact counts may take."""
    history.service.temper = Temper(may_get=history.service.temper.may_get)
    for _ in range(2 if history.service.temper.may_get else 11):
        await history.attempt()
        history.service.time += history.interval


async def survey_at_rest(history: History) -> None:
    """Surveys anew once the ledger keeps none of the ended jobs one by one: that corrects deleted ones, too."""
    for _ in range(6):
        history.service.time += 4000
        await history.poller.poll()
    await history.survey.run()
    history.service.time += 4000
    await history.poller.poll()
    await history.survey.run()
    await history.poller.poll()


async def check(seed: int, folder: str) -> None:
    """Lives through one history, lets it come to rest, and compares."""
    asyncio.get_running_loop().set_default_executor(InlineExecutor())
    history = History(seed, folder)
    try:
        await live_through(history)
        await come_to_rest(history)
        assert_counts(history, OPEN_STATES)
        assert_each_end_counted_once(history)
        await survey_at_rest(history)
        assert_counts(history, ENDED_STATES)
    finally:
        history.ledger.close()


def assert_counts(history: History, states: tuple[str, ...]) -> None:
    """The published counts are the world's."""
    snapshot = history.poller.view.snapshot
    assert snapshot is not None
    shown = {key: number for key, number in snapshot.jobs.items() if number and key[1] in states}
    truth = {key: number for key, number in history.service.world.counts().items() if key[1] in states}
    assert shown == truth


def assert_each_end_counted_once(history: History) -> None:
    """No end is counted twice, none that a good poll came after is missed, none of before the first poll is counted."""
    snapshot = history.poller.view.snapshot
    assert snapshot is not None
    counted = Counter(history.counted)
    assert not [job_id for job_id, times in counted.items() if times > 1]
    assert not history.must_count - set(counted)
    assert not history.must_not_count & set(counted)
    assert sum(snapshot.ended.values()) == len(history.counted)
    assert sum(snapshot.failures.values()) == sum(
        number for (_, state), number in snapshot.ended.items() if state == "Failed"
    )


@settings(max_examples=HISTORIES, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_counts_are_exact_and_ends_counted_once(seed: int) -> None:
    """Whatever happens between any two calls, counts come out exact, and each end is counted exactly once."""
    with tempfile.TemporaryDirectory(dir=FOLDER) as folder:
        asyncio.run(check(seed, folder))
