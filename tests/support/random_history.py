"""Random histories: a service whose jobs change between any two calls, and an exporter that crashes and restarts."""

from __future__ import annotations

import asyncio
import random
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from exporter.errors import BadRequestError, ExporterError, ForbiddenError, NotFoundError, ServerError, TimedOutError
from exporter.ims.answers import JobDetails, ListedJob, Page
from exporter.jobs.kinds import SMART, JobKind
from exporter.jobs.snapshot import PollKey
from exporter.polling.ledger import Ledger
from exporter.polling.poller import DAY, Poller, PollSettings
from exporter.polling.survey import Survey
from exporter.simulator.habits import OFF, Habits
from exporter.simulator.job_store import JobStore
from exporter.simulator.search_index import SearchIndex

if TYPE_CHECKING:
    from collections.abc import Callable

    from exporter.ims.client import RetryBudget
    from exporter.jobs.snapshot import Snapshot
    from exporter.polling.records import Outcome
    from exporter.simulator.job_store import Job

TYPES = ("ASR", "DynamicChart", "VideoTranslation", "TextToSpeech", "Mystery")
PAUSED, CANCELLED = STRANGE_STATES = ("Paused", "Cancelled")
"""Undocumented states; the second one is final."""
START = 1_700_000_000


class Crash(BaseException):
    """The process crashes here."""


@dataclass(slots=True)
class EventRates:
    """Probabilities of the events between two calls."""

    births: float = 0.0
    moves: float = 0.0
    open_deletions: float = 0.0
    ended_deletions: float = 0.0
    errors: float = 0.0
    crashes: float = 0.0
    duplicates: float = 0.0
    may_get: bool = True
    strange_moves: float = 0.0
    """Share of moves that lead to an undocumented state, from which a job may return or not."""
    lists_strange: bool = True
    """Whether undocumented states can be listed."""
    hides_creation: bool = False
    """Whether one job in eight is listed without its time of creation."""


@dataclass(slots=True)
class ModelService:
    """Serves pages of 2 to 4 jobs, by the page size asked for, so that few jobs make many pages."""

    random: random.Random
    kind: JobKind = SMART
    least_rows: int = 2
    """A page has this number of rows, or up to two more, by the size asked for."""
    temper: EventRates = field(default_factory=EventRates)
    time: float = START
    habits: Habits = OFF
    """Habits of a service whose lists come from a search index."""
    jobs: JobStore = field(init=False)
    index: SearchIndex = field(init=False)
    types: dict[str, str] = field(default_factory=dict)
    """The type of every job that was ever created."""
    open_ids: list[str] = field(default_factory=list)
    """Jobs that can still change."""
    ended_at: dict[str, float] = field(default_factory=dict)
    deleted: set[str] = field(default_factory=set)
    list_calls: int = 0
    strange_ever: set[str] = field(default_factory=set)
    """Jobs that have been in an undocumented state."""

    def __post_init__(self) -> None:
        self.jobs = JobStore(lambda: int(self.time))
        self.index = SearchIndex(self.jobs, self.habits, random.Random(self.random.random()), lambda: self.time)

    async def list_jobs(
        self,
        *,
        job_type: str = "",
        job_state: str = "",
        size: int,
        token: str = "",
        budget: RetryBudget,
        weight: int = 1,
    ) -> Page:
        """Returns one page, by an offset inside the token, so that rows move between pages."""
        del budget, weight
        await self._between_calls()
        self.list_calls += 1
        if job_state in STRANGE_STATES and not self.temper.lists_strange:
            raise BadRequestError("no such state", code="InvalidParameter")
        limit = self.least_rows + size % 3
        offset = int(token or 0)
        page = self.index.page(job_type=job_type or None, job_state=job_state or None, offset=offset, limit=limit)
        rows = [self._row(job) for job in page.rows if job and job.job_id]
        skipped = ("no_id",) * (len(page.rows) - len(rows))
        if rows and self.random.random() < self.temper.duplicates:
            rows.append(self.random.choice(rows))
        following = "" if page.next_offset is None else str(page.next_offset)
        return Page(tuple(rows), following, skipped, server_time=int(self.time))

    async def get_job(self, job_id: str, *, budget: RetryBudget) -> JobDetails:
        """Returns one job with its reason."""
        del budget
        await self._between_calls()
        if not self.temper.may_get:
            raise ForbiddenError("no permission", code="NoPermission")
        job = self.index.get(job_id)
        if job is None:
            raise NotFoundError("no such job", code="JobNotFound")
        code, message = job.error or ("", "")
        return JobDetails(job.state, code, message, int(job.modified_at))

    def live(self, events: int) -> None:
        """Makes this number of events happen."""
        for _ in range(events):
            self._event()

    def birth(self) -> None:
        """Creates a job, sometimes in the same second as the one before."""
        self.time += self.random.choice((0, 0.4, 1, 7))
        job_type = self.random.choice(TYPES)
        job_id = self.jobs.create(job_type)
        self.types[job_id] = job_type
        self.open_ids.append(job_id)

    def move(self, at: int) -> None:
        """Moves an open job one or two steps forward, or to an undocumented state."""
        job_id = self.open_ids[at]
        job = self.jobs.get(job_id)
        assert job is not None
        forward = ("Finished", "Failed") if job.state == "Executing" else ("Executing", "Finished", "Failed", "Failed")
        is_strange = self.temper.strange_moves and self.random.random() < self.temper.strange_moves
        state = self.random.choice(STRANGE_STATES if is_strange else forward)
        self.jobs.move(job_id, state, error=("E.Model", "it failed") if state == "Failed" else None)
        if state not in {"Executing", PAUSED}:
            del self.open_ids[at]
        if is_strange:
            self.strange_ever.add(job_id)
        if state in SMART.ended_states:
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
            self.jobs.delete(job_id)

    async def _between_calls(self) -> None:
        await asyncio.sleep(0)
        self.time += 0.05
        self._event()
        if self.random.random() < self.temper.errors:
            raise self.random.choice((ServerError, TimedOutError))("a bad day", code="InternalError")
        if self.random.random() < self.temper.crashes:
            raise Crash

    def _row(self, job: Job) -> ListedJob:
        created_at = None if self.temper.hides_creation and job.sequence % 8 == 0 else int(job.created_at)
        return ListedJob(job.job_id, job.job_type, job.state, created_at, int(job.modified_at))


T = TypeVar("T")
KEY = PollKey("prod", "cn-shanghai", "smart")


class ExporterSettings(NamedTuple):
    """The settings of the exporter of a history."""

    lookback_days: int
    job_types: tuple[tuple[str, ...], ...]
    """The types polled; after a crash it may be the next ones."""


SETTINGS = (
    ExporterSettings(14, ((),)),
    ExporterSettings(14, ((),)),
    ExporterSettings(1, ((),)),
    ExporterSettings(14, (("ASR",),)),
    ExporterSettings(14, (("ASR", "Mystery"),)),
    ExporterSettings(14, ((), ("ASR", "Mystery"), TYPES, ("ASR",))),
)


class InlineExecutor(ThreadPoolExecutor):
    """Runs work where it is submitted, so that a seed always gives the same history."""

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:  # noqa: ANN401 - as in the class above it
        """Runs it."""
        future: Future[T] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except BaseException as error:  # noqa: BLE001 - handed on to whoever waits
            future.set_exception(error)
        return future


class WatchedLedger(Ledger):
    """A ledger that records stored polls, and may crash just before or just after a commit."""

    def __init__(self, path: str, history: History) -> None:
        super().__init__(path)
        self._history = history

    def commit(self, *args: Any, **options: Any) -> Snapshot:  # noqa: ANN401 - passed on as they are
        """Stores a poll, unless the process crashes first."""
        outcome: Outcome = args[2]
        self._history.may_crash()
        snapshot = super().commit(*args, **options)
        self._history.note(outcome)
        self._history.may_crash()
        return snapshot


class History:
    """One history: a service, the ledger file, and an exporter that crashes and restarts."""

    def __init__(self, seed: int, folder: str) -> None:
        self.dice = random.Random(seed)
        self.service = ModelService(self.dice)
        self.interval = self.dice.choice((10, 60, 300, 900))
        self.settings = self.dice.choice(SETTINGS)
        self.is_strange = self.settings.lookback_days > 1 and self.dice.random() < 0.4
        """Whether the service has undocumented states."""
        self.job_types = self.settings.job_types[0]
        self.has_changed = self._is_reconsidered = False
        """Whether other types were polled before; whether no poll of the present ones is stored yet."""
        self.counted: list[str] = []
        self.deleted = 0
        """Jobs counted as deleted."""
        self.created = 0
        """Jobs counted as created."""
        self.since = 0.0
        """When the first poll was stored."""
        self.remembered: set[str] = set()
        """Jobs that a stored poll has seen open."""
        self.seen_once: set[str] = set()
        self.must_count: set[str] = set()
        self.must_not_count: set[str] = set()
        self.history_ends: set[str] | None = None
        self.longest_delay = 0.0
        """Seconds after a change until the lists show it."""
        self._path = f"{folder}/ledger.db"
        self.start()

    def start(self) -> None:
        """Starts the exporter on the ledger."""
        days = self.settings.lookback_days
        self.ledger = WatchedLedger(self._path, self)
        self.poller = Poller(
            KEY,
            self.service,
            self.ledger,
            PollSettings(self.interval, days, failure_details=True, job_types=self.job_types),
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

    def knows_open_jobs(self) -> bool:
        """Returns whether the last poll left jobs that are known to be open."""
        snapshot = self.poller.view.snapshot
        return snapshot is not None and any(
            number for (_, state), number in snapshot.jobs.items() if state not in SMART.ended_states
        )

    def is_polled(self, job_id: str) -> bool:
        """Whether the exporter polls the type of this job."""
        return not self.job_types or self.service.types[job_id] in self.job_types

    @property
    def _unmet(self) -> set[str]:
        """Jobs that were in an undocumented state before a poll saw them, whose lists no poll reads."""
        return self.service.strange_ever - self.remembered

    def may_crash(self) -> None:
        """Crashes with the probability of a crash."""
        if self.dice.random() < self.service.temper.crashes:
            raise Crash

    def note(self, outcome: Outcome) -> None:
        """Records a stored poll; jobs that ended before the first one are history."""
        self.counted.extend(row.job_id for row in outcome.ended)
        self.deleted += len(outcome.deleted)
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
        """Changes the polled types, if the settings allow it; jobs that have ended by then may be counted or not."""
        following = self.dice.choice(self.settings.job_types)
        if following != self.job_types:
            self.has_changed = self._is_reconsidered = True
        self.job_types = following

    def pass_time(self) -> None:
        """Lets a poll interval pass, or now and then a long outage."""
        outage = self.dice.random() < 0.1
        self.service.live(self.dice.randrange(60 if outage else 20))
        self.service.time += self.dice.choice((3600, 40_000)) if outage else self.interval

    @property
    def window_start(self) -> int:
        """Start of the lookback, Unix seconds."""
        return int(self.poller.polled_at - self.settings.lookback_days * DAY) // 3600 * 3600


def random_event_rates(history: History) -> EventRates:
    """Returns the rates of events of a history, from calm to wild.

    A service that keeps back times of creation is not strange in other ways, too: the truth would be open.
    """
    choice, is_calm = history.dice.choice, history.dice.random() < 0.6
    return EventRates(
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
        hides_creation=is_calm and history.settings.lookback_days > 1 and not history.is_strange,
    )
