"""A long run against a service that fails in every way, in skipped time: `python -m tests.process.soak`."""

from __future__ import annotations

import asyncio
import io
import random
import secrets
import sqlite3
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any

from exporter import __version__
from exporter.ims.client import ImsClient
from exporter.ims.http import EndpointPool
from exporter.ims.rate_limit import AccountLimiter
from exporter.jobs.kinds import SMART
from exporter.jobs.snapshot import PollKey
from exporter.logs import configure_logging
from exporter.metrics.counters import Instruments
from exporter.metrics.exposition import TEXT, Exposition
from exporter.metrics.table import Process
from exporter.polling.ledger import Ledger
from exporter.polling.poller import DAY, Poller, PollSettings, window_start
from exporter.polling.survey import Survey
from exporter.simulator.job_store import Account, JobStore
from exporter.simulator.server import Simulator
from tests.support.api_client import BASE_URL, source_of
from tests.support.faulty_transport import FaultyTransport
from tests.support.ledger_driver import full_disk
from tests.support.random_history import InlineExecutor
from tests.support.time_skipping_loop import run_skipping_time

if TYPE_CHECKING:
    from collections.abc import Iterator

    from exporter.jobs.snapshot import Snapshot
    from exporter.polling.records import Outcome


OPEN_JOBS = 60
"""Maximum number of open jobs."""
STAY_SECONDS = 2 * DAY
"""Age at which the service deletes an ended job."""


class EndCounter:
    """Compares the ends of jobs with those that the exporter counts."""

    def __init__(self) -> None:
        self.ends = self.lost = self.doubled = 0
        self._due: set[str] = set()
        self._counted: set[str] = set()

    def end(self, job_id: str) -> None:
        """Records an end, which the exporter has to count."""
        self.ends += 1
        self._due.add(job_id)

    def count(self, job_id: str) -> None:
        """Records that the exporter counted an end."""
        self.doubled += job_id in self._counted
        self._due.discard(job_id)
        self._counted.add(job_id)

    def leave(self, job_id: str) -> None:
        """Records that a job was deleted, whose end has to be counted by now."""
        self.lost += job_id in self._due
        self._due.discard(job_id)
        self._counted.discard(job_id)

    def close(self) -> None:
        """Counts ends that are not counted by now as lost."""
        self.lost += len(self._due)
        self._due.clear()


class Workload:
    """Creates, moves and ends jobs, and deletes those older than the lookback."""

    def __init__(self, store: JobStore, dice: random.Random, book: EndCounter) -> None:
        self.events = 0
        """Maximum number of events between two calls."""
        self._store, self._dice, self._book = store, dice, book

    def step(self) -> None:
        """Makes some events happen."""
        for _ in range(self._dice.randrange(self.events + 1)):
            if self._dice.random() < 0.3 and sum(map(self._open, SMART.open_states)) < OPEN_JOBS:
                self._store.create(self._dice.choice(SMART.job_types))
            else:
                self._move()
        self._forget()

    def _open(self, state: str) -> int:
        return self._store.total(job_state=state)

    def _move(self) -> None:
        state = self._dice.choice(SMART.open_states)
        if not (total := self._open(state)):
            return
        (job,) = self._store.page(job_state=state, offset=self._dice.randrange(total), limit=1)
        following = self._dice.choice(("Executing", *SMART.ended_states) if state == "Created" else SMART.ended_states)
        self._store.move(job.job_id, following, error=("Timeout", "took too long") if following == "Failed" else None)
        if following in SMART.ended_states:
            self._book.end(job.job_id)

    def _forget(self) -> None:
        for job in self._store.page(limit=2, ascending=True):
            if job.state in SMART.ended_states and job.created_at < self._store.now() - STAY_SECONDS:
                self._book.leave(job.job_id)
                self._store.delete(job.job_id)


FAULTED_CALLS = 100_000
KEY = PollKey("prod", "cn-shanghai", "smart")
START = 1_700_000_000
HISTORY = 2000
INTERVAL = 60
TENTHS = 10
LEDGER_FAULTS = ("disk full", "ledger locked", "ledger read-only")
REST_POLLS = 4


class WatchedLedger(Ledger):
    """A ledger that records what it counts, and can be made to fail."""

    def __init__(self, path: str, book: EndCounter) -> None:
        super().__init__(path)
        self._book = book

    def commit(self, *args: Any, **options: Any) -> Snapshot:  # noqa: ANN401 - passed on as they are
        """Stores a poll."""
        outcome: Outcome = args[2]
        snapshot = super().commit(*args, **options)
        for row in outcome.ended:
            self._book.count(row.job_id)
        return snapshot

    @contextmanager
    def failing(self, kind: str) -> Iterator[None]:
        """Makes the disk full, the file read-only, or the database locked."""
        if kind == "ledger locked":
            other = sqlite3.connect(self._path, isolation_level=None)
            self._db.execute("PRAGMA busy_timeout = 5")
            other.execute("BEGIN IMMEDIATE")
            yield
            other.close()
        elif kind == "ledger read-only":
            self._db.execute("PRAGMA query_only = ON")
            yield
            self._db.execute("PRAGMA query_only = OFF")
        else:
            with full_disk(4096):
                yield


class Tracebacks(io.StringIO):
    """A log that keeps only tracebacks, which are faults of the exporter."""

    def write(self, text: str) -> int:
        """Keeps a line with a traceback."""
        return super().write(text) if "Traceback" in text else len(text)


@dataclass(slots=True)
class Record:
    """The events and measurements of a soak."""

    polls: Counter[str] = field(default_factory=Counter)
    """Polls by outcome: `ok` or the reason."""
    ledger_faults: Counter[str] = field(default_factory=Counter)
    restarts: int = 0
    is_exact: bool = False
    """Whether the counts are those of the service at the end, and the counters those of the recorded ends."""
    tracebacks: str = ""
    seconds: float = 0.0
    """Duration by the clock of the service."""
    surveys: int = 0
    outages: int = 0
    memory: list[float] = field(default_factory=list)
    """MiB after each tenth of the calls."""
    ledger_sizes: list[int] = field(default_factory=list)
    """Bytes after each tenth."""
    page_sizes: list[int] = field(default_factory=list)
    """Bytes of the metrics page after each tenth."""


class Soak:
    """An exporter of one target, from the client to the metrics page, with a faulty transport."""

    def __init__(self, folder: str, seed: int) -> None:
        self.record, self.book, self.dice = Record(), EndCounter(), random.Random(seed)
        began = time.monotonic()
        account = Account(lambda: START + time.monotonic() - began)
        self.jobs = account.jobs
        for number in range(HISTORY):
            state = SMART.ended_states[number % 9 == 0]
            self.jobs.create(SMART.job_types[number % 4], state=state, created_at=START - (HISTORY - number) * 40)
        self.workload = Workload(self.jobs, self.dice, self.book)
        self.transport = FaultyTransport(Simulator(account=account, seed=seed), self.dice, self.workload.step)
        self._pool = EndpointPool(BASE_URL, 60, self.transport)
        self._instruments = Instruments()
        self._instruments.add_target(KEY)
        self._path = f"{folder}/ledger.db"
        self._exposition = Exposition(
            views=lambda: [self.poller.view],
            process=lambda: Process(self.ledger.size_bytes, reload_successful=True, reloaded_at=0, version=__version__),
            instruments=self._instruments,
            now=self.jobs.now,
            stale_after_seconds=lambda: 5.0 * INTERVAL,
        )
        self._start()

    def _start(self) -> None:
        """Starts the exporter on the ledger."""
        self.ledger = WatchedLedger(self._path, self.book)
        self._api = ImsClient(
            SMART,
            self._pool,
            source_of(),
            AccountLimiter(10),
            timeout_seconds=10,
            observe=lambda *seen: self._instruments.observe_request(KEY, *seen),
        )
        settings = PollSettings(INTERVAL, lookback_days=1, failure_details=True)
        self.poller = Poller(KEY, self._api, self.ledger, settings, observe_poll=self._observe, now=self.jobs.now)
        self.survey = Survey(self.poller, self._api, self.ledger, interval_seconds=6 * 3600, lookback_days=1)

    def _observe(self, seconds: float, reason: str | None) -> None:
        self.record.polls[reason or "ok"] += 1
        self._instruments.observe_poll(KEY, seconds, reason)

    async def run(self, faulted_calls: int) -> Record:
        """Polls until `faulted_calls` calls were struck, then without faults; measures after each tenth."""
        asyncio.get_running_loop().set_default_executor(InlineExecutor())
        await self.poller.run()  # what has ended by now is history
        self.workload.events = 1
        self.transport.start_faults()
        for tenth in range(1, TENTHS + 1):
            while self.transport.struck.total() < faulted_calls * tenth / TENTHS:
                await self._cycle()
            self._take_measure()
        await self._rest()
        self.ledger.close()
        return self.record

    async def _rest(self) -> None:
        self.transport.stop_faults()
        self.workload.events = 0
        for _ in range(REST_POLLS):
            await asyncio.sleep(INTERVAL)
            await self.poller.run()
        await Survey(self.poller, self._api, self.ledger, interval_seconds=0, lookback_days=1).run()
        await self.poller.run()
        self.book.close()
        self.record.seconds = self.jobs.now() - START
        snapshot = self.poller.view.snapshot
        assert snapshot is not None
        since = window_start(self.poller.polled_at, 1)
        there = Counter(
            (job.job_type, job.state)
            for job in self.jobs.page(limit=1_000_000)
            if job.state in SMART.open_states or job.created_at >= since
        )
        shown = {key: number for key, number in snapshot.jobs.items() if number}
        self.record.is_exact = shown == there and sum(snapshot.ended.values()) == self.book.ends

    async def _cycle(self) -> None:
        """Makes a poll, sometimes with a fault of the ledger or a crash, and lets time pass."""
        fell = self.dice.random()
        fault = self.dice.choice(LEDGER_FAULTS) if fell < 0.02 else ""
        with self.ledger.failing(fault) if fault else nullcontext():
            self.record.ledger_faults.update([fault] if fault else [])
            await self._poll(dies=0.02 <= fell < 0.04)
        self.record.outages += fell > 0.998
        await asyncio.sleep(self.dice.choice((3600, 40_000)) if fell > 0.998 else INTERVAL)

    async def _poll(self, *, dies: bool) -> None:
        work = asyncio.ensure_future(self._work())
        await asyncio.wait([work], timeout=self.dice.random() if dies else None)
        if work.done():
            work.result()
        else:
            work.cancel()
            await asyncio.wait([work])
            self.ledger.close()
            self.record.restarts += 1
            self._start()

    async def _work(self) -> None:
        await self.poller.run()
        if self.poller.view.health.up:
            self.record.surveys += await self.survey.run()

    def _take_measure(self) -> None:
        page = self._exposition.page(TEXT)
        self.record.memory.append(memory_mib())
        self.record.ledger_sizes.append(self.ledger.size_bytes)
        self.record.page_sizes.append(len(page))


def memory_mib() -> float:
    """Returns the memory of this process in MiB, swapped or not, without mapped files."""
    lines = (line.partition(":") for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines())
    return sum(int(rest.split()[0]) for name, _, rest in lines if name in {"RssAnon", "VmSwap"}) / 1024


def soaked(folder: str, faulted_calls: int, seed: int) -> Soak:
    """Returns a soak after this number of faulted calls."""

    async def go_through() -> Soak:
        soak = Soak(folder, seed)
        await soak.run(faulted_calls)
        return soak

    log = Tracebacks()
    configure_logging("error", "logfmt", log)
    soak = run_skipping_time(go_through)
    soak.record.tracebacks = log.getvalue()
    return soak


def is_good(soak: Soak) -> bool:
    """Whether no end was lost or doubled, and no traceback was logged."""
    return soak.record.is_exact and not (soak.book.lost or soak.book.doubled or soak.record.tracebacks)


def text_of(soak: Soak) -> str:
    """Returns the text of the result."""
    record, book, transport = soak.record, soak.book, soak.transport
    lines = {
        "calls": f"{transport.calls:,}, of which {transport.struck.total():,} struck: "
        f"{dict(transport.struck.most_common())}",
        "polls": f"{record.polls.total():,}: {dict(record.polls.most_common())}",
        "beside": f"{record.restarts} restarts, {record.surveys} surveys, {record.outages} outages, "
        f"{dict(record.ledger_faults)}",
        "ends": f"{book.ends:,}, {book.lost} lost, {book.doubled} doubled; "
        f"in the end {'exact' if record.is_exact else 'NOT EXACT'}",
        "days": f"{record.seconds / 86400:.0f}",
        "memory": " ".join(f"{size:.1f}" for size in record.memory)
        + " MiB of RSS without mapped files, after each tenth",
        "ledger": " ".join(f"{size / 1024:.0f}" for size in record.ledger_sizes) + " KiB",
        "page": " ".join(f"{size / 1024:.0f}" for size in record.page_sizes) + " KiB",
    }
    return "".join(f"{name:<8}{text}\n" for name, text in lines.items())


def main() -> None:
    """Runs a soak and prints the result; exits with 1 if it is not good."""
    calls = int(sys.argv[1]) if len(sys.argv) > 1 else FAULTED_CALLS
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else secrets.randbits(32)
    sys.stdout.write(f"seed {seed}\n")
    with tempfile.TemporaryDirectory() as folder:
        soak = soaked(folder, calls, seed)
    sys.stdout.write(text_of(soak) + soak.record.tracebacks)
    sys.exit(not is_good(soak))


if __name__ == "__main__":
    main()


@dataclass(frozen=True, slots=True)
class SoakResult:
    """The result of a soak in another process."""

    record: Record
    ends: int
    struck: frozenset[str]
    is_good: bool
    text: str


def soak_in_process(folder: str, faulted_calls: int, seed: int) -> SoakResult:
    """Runs a soak in a process of its own, so that its memory is not that of other tests."""
    with ProcessPoolExecutor(1, get_context("spawn")) as apart:
        return apart.submit(_summary, folder, faulted_calls, seed).result()


def _summary(folder: str, faulted_calls: int, seed: int) -> SoakResult:
    soak = soaked(folder, faulted_calls, seed)
    return SoakResult(soak.record, soak.book.ends, frozenset(soak.transport.struck), is_good(soak), text_of(soak))
