"""An exporter that is killed at any instant, many times, counts every job once."""

from __future__ import annotations

import asyncio
import random
import secrets
import signal
import time
from typing import TYPE_CHECKING

import pytest

from exporter.jobs.kinds import SMART
from exporter.simulator.server import Simulator
from tests.support.expected_counts import ExpectedCounts, shown_counts, wait_for_counts
from tests.support.exporter_process import Scrape, environment, exporter
from tests.support.real_servers import READY_SECONDS, poll
from tests.support.simulator_thread import running_simulators

if TYPE_CHECKING:
    from pathlib import Path

    from exporter.simulator.job_store import JobStore
    from tests.support.measurements import Measured

pytestmark = pytest.mark.process


KILLS = 20
COUNTERS = (
    "ims_jobs_created_total",
    "ims_jobs_ended_total",
    "ims_job_failures_total",
    "ims_jobs_deleted_total",
    "ims_job_duration_seconds_bucket",
)
REASONS = (("InputFile.DownloadFailed", "no such object"), ("Timeout", "took too long"))


class Workload:
    """Creates, moves and ends jobs, some of them between two polls; deletes none."""

    def __init__(self, store: JobStore, dice: random.Random) -> None:
        self._store = store
        self._dice = dice
        self._begin(store.now())

    def _begin(self, now: float) -> None:
        for number in range(3000):
            age = (3000 - number) * 300
            self._store.create(
                SMART.job_types[number % 4], state=SMART.ended_states[number % 7 == 0], created_at=now - age
            )
        for number in range(40):
            self._store.create(SMART.job_types[number % 4], state=SMART.open_states[number % 2])

    async def run(self) -> None:
        """Changes jobs until it is cancelled."""
        while True:
            await asyncio.sleep(self._dice.uniform(0, 0.06))
            if self._dice.random() < 0.4:
                self._store.create(self._dice.choice(SMART.job_types))
            else:
                self._move_one()

    def _move_one(self) -> None:
        state = self._dice.choice(SMART.open_states)
        if not (total := self._store.total(job_state=state)):
            return
        (job,) = self._store.page(job_state=state, offset=self._dice.randrange(total), limit=1)
        following = self._dice.choice(("Executing", *SMART.ended_states) if state == "Created" else SMART.ended_states)
        error = self._dice.choice(REASONS) if following == "Failed" else None
        self._store.move(job.job_id, following, error=error)


class Watch:
    """The counters seen over all restarts."""

    def __init__(self) -> None:
        self.scrapes = 0
        self.setbacks: list[str] = []
        self._highest: dict[tuple[str, frozenset[tuple[str, str]]], float] = {}

    def see(self, scrape: Scrape) -> None:
        """Records a scrape, and the counters that are lower than before."""
        self.scrapes += 1
        for name in COUNTERS:
            for labels, value in scrape.values.get(name, {}).items():
                before = self._highest.get((name, labels), 0)
                self._highest[name, labels] = value
                if value < before:
                    self.setbacks.append(f"{name} {sorted(labels)}: {value} after {before}")


def first_poll(env: dict[str, str], log: Path) -> float:
    """Waits for the first poll of an exporter; returns the seconds since it listens."""
    with exporter(env, log) as running:
        poll(READY_SECONDS, lambda: running.url, f"it listens; see {log}")
        started = time.monotonic()
        running.wait_until_up()
        return time.monotonic() - started


def live_and_die(env: dict[str, str], log: Path, dice: random.Random, pace: float, watch: Watch) -> None:
    """Starts an exporter, scrapes it all the time, and kills it: sometimes during its start, else later."""

    def is_time() -> bool:
        if scrape := running.scrape():
            watch.see(scrape)
        return time.monotonic() > dies_at

    with exporter(env, log) as running:
        if dice.random() < 0.8:
            poll(READY_SECONDS, lambda: running.url, f"it listens; see {log}")
        dies_at = time.monotonic() + dice.uniform(0, 4 * pace)
        poll(READY_SECONDS, is_time, "its time has come")
        running.process.kill()
        assert running.process.wait() == -signal.SIGKILL, log.read_text()[-2000:]


def test_kills_lose_nothing_and_double_nothing(tmp_path: Path, measured: Measured) -> None:
    """Killed 20 times at any instant, while jobs change, it counts each job once."""
    seed = secrets.randbits(32)
    measured(f"kills: seed {seed}")
    dice, watch, simulator = random.Random(seed), Watch(), Simulator()
    workload = Workload(simulator.jobs, random.Random(seed + 1))

    with running_simulators(simulator) as here:
        env = environment(tmp_path, endpoint=simulator.url, poll_interval_seconds=0.2, survey_interval_hours=0.001)
        pace = max(0.3, first_poll(env, tmp_path / "first.log"))
        truth = here.do(lambda: ExpectedCounts(simulator.jobs))
        with here.in_background(workload.run()):
            for number in range(KILLS):
                live_and_die(env, tmp_path / f"{number}.log", dice, pace, watch)
                time.sleep(dice.uniform(0, 0.5))  # nobody is there, and nothing to wait for
        expected = here.do(truth.now)
        with exporter(env, tmp_path / "last.log") as running:
            wait_for_counts(running, expected)
            last = running.wait_for_polls(5)
            watch.see(last)

    ended = sum(expected["ended"].values())
    polls = sum(log.read_text().count('"event": "poll"') for log in tmp_path.glob("[0-9]*.log"))
    measured(f"kills: {KILLS}, {polls} polls, {watch.scrapes} scrapes, {ended} ends, none lost, none doubled")
    assert polls > KILLS / 4
    assert shown_counts(last) == expected
    assert watch.setbacks == []
