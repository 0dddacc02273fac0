"""Exporters that share a ledger: one works, the others stand by, and whoever takes over loses and doubles nothing."""

from __future__ import annotations

import random
import secrets
import signal
import time
import urllib.error
import urllib.request
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from exporter.simulator.server import Simulator
from exporter.standby.ledger_lock import LedgerLock
from tests.process.test_kill import Life, Watch
from tests.support.expected_counts import Truth, told, wait_for_counts
from tests.support.exporter_process import Exporter, Scrape, environment, exporter, parsed, refused_start
from tests.support.lease_server import LeaseServer
from tests.support.real_servers import READY_SECONDS, poll
from tests.support.simulator_thread import running_simulators

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.measurements import Measured
    from tests.support.simulator_thread import SimulatorThread

pytestmark = pytest.mark.process


LEASE = "ims-exporter"
OWN = {"ims_exporter_build_info", "ims_exporter_ledger_size_bytes"}

LEASE_SECONDS = 8
"""So long that a busy machine does not lose a lease that is not meant to be lost."""

both_ways = pytest.mark.parametrize("way", ["ledger", "lease"])


@dataclass(frozen=True, slots=True)
class Place:
    """An account whose jobs live on, and where exporters can share a ledger."""

    here: SimulatorThread
    simulator: Simulator
    leases: LeaseServer
    env: dict[str, str]
    folder: Path
    stack: ExitStack
    lives: Life

    def start(self, name: str) -> Exporter:
        """Starts an exporter, which ends with the test at the latest."""
        return self.stack.enter_context(exporter(self.env, self.folder / f"{name}.log"))

    def wait_until_standing_by(self, name: str) -> Exporter:
        """Returns an exporter that has been started, and stands by."""
        running = self.start(name)
        poll(READY_SECONDS, lambda: running.events("standing_by"), f"{name} stands by; see {running.log}")
        return running

    @contextmanager
    def life(self) -> Iterator[Truth]:
        """Lets jobs be born, move and end in the block, on top of those there; gives what comes of it."""
        truth = self.here.do(lambda: Truth(self.simulator.jobs))
        with self.here.in_background(self.lives.run()):
            yield truth


@contextmanager
def place(folder: Path, way: str) -> Iterator[Place]:
    """Gives a place where exporters stand by in one of the ways."""
    simulator, leases, seed = Simulator(), LeaseServer(), secrets.randbits(32)
    (folder / "seed").write_text(str(seed))
    with running_simulators(simulator) as here:
        here.run(leases.__aenter__())
        try:
            config = {"KUBECONFIG": str(leases.config(folder))}
            env = environment(folder, config, endpoint=simulator.url, standby=way, lease_seconds=LEASE_SECONDS)
            with ExitStack() as stack:
                lives = here.do(lambda: Life(simulator.jobs, random.Random(seed)))
                yield Place(here, simulator, leases, env, folder, stack, lives)
        finally:
            here.run(leases.__aexit__())


def seen_standing_by(running: Exporter, path: str) -> tuple[int, str]:
    """Returns status and text of an answer of an exporter that stands by."""
    (event,) = running.events("standing_by")
    try:
        with urllib.request.urlopen(f"{event['url']}{path}", timeout=5) as answer:  # noqa: S310 - loopback
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def still_stands_by(running: Exporter) -> bool:
    """Says whether an exporter lives, and has nothing to show but itself."""
    scrape = parsed(seen_standing_by(running, "/metrics")[1])
    names = scrape.names()
    return running.process.poll() is None and names >= OWN and not any(scrape.names(account="default"))


def successor(*waiting: Exporter) -> Exporter:
    """Returns which of them takes over."""
    found = poll(READY_SECONDS, lambda: next((each for each in waiting if each.url), None), "one takes over")
    assert found is not None
    return found


def ended(scrape: Scrape) -> float:
    """Returns how many jobs have ended."""
    return scrape.total("ims_jobs_ended_total")


def comes_to_the_truth(here: Place, running: Exporter, truth: Truth, before: Scrape) -> None:
    """The exporter says of the past what is true, sticks to it, and falls behind nothing that was shown before."""
    expected = here.here.do(truth.now)
    watch = Watch()
    watch.see(before)
    watch.see(wait_for_counts(running, expected))
    assert told(running.wait_for_polls(3)) == expected
    assert watch.setbacks == []
    assert sum(expected["ended"].values()) > ended(before)


@both_ways
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM], ids=lambda number: number.name)
def test_takeover(way: str, number: signal.Signals, tmp_path: Path, measured: Measured) -> None:
    """However the one at work ends, one of those that stand by takes over, and every end is counted once."""
    with place(tmp_path, way) as here:
        first = here.start("first")
        first.wait_until_up()
        second, third = (here.wait_until_standing_by(name) for name in ("second", "third"))
        assert still_stands_by(second)
        assert [seen_standing_by(second, path)[0] for path in ("/livez", "/readyz", "/healthz")] == [200, 200, 200]
        status, text = seen_standing_by(second, "/failures")
        assert (status, text.startswith("this exporter stands by")) == (503, True)

        with here.life() as truth:
            before = first.wait_for("some ends", lambda scrape: ended(scrape) > 5)
            code, _ = first.end(number)
            started = time.monotonic()
            active = successor(second, third)
            seconds = time.monotonic() - started
            active.wait_for_polls(3)
        comes_to_the_truth(here, active, truth, before)

        waiting = third if active is second else second
        assert still_stands_by(waiting)
        assert code == (-signal.SIGKILL if number == signal.SIGKILL else 0)
        assert seconds < LEASE_SECONDS + 5
    measured(f"standby ({way}): took over {seconds:.1f} s after {number.name}")


@both_ways
def test_told_to_stop_while_standing_by(way: str, tmp_path: Path) -> None:
    """A process that stands by ends well when told to, without having touched the ledger."""
    with place(tmp_path, way) as here:
        lock = LedgerLock(str(tmp_path / "ledger.db"))
        assert lock.acquire("a test")
        running = here.wait_until_standing_by("only")
        code, _ = running.end()
        lock.release()

        assert code == 0
        assert not (tmp_path / "ledger.db").exists()
        assert here.leases.holder(LEASE) == ""


@pytest.mark.parametrize("outage", ["refuse", "hang"])
def test_lease_not_renewed(outage: str, tmp_path: Path) -> None:
    """Without an API server the one at work ends before its lease does; nobody takes over until it is back."""
    with place(tmp_path, "lease") as here:
        first = here.start("first")
        first.wait_until_up()
        second = here.wait_until_standing_by("second")

        with here.life() as truth:
            before = first.wait_for("some ends", lambda scrape: ended(scrape) > 5)
            here.leases.outage = outage
            started = time.monotonic()
            code = first.process.wait(READY_SECONDS)
            seconds = time.monotonic() - started
            assert still_stands_by(second)
            here.leases.outage = ""
            successor(second).wait_for_polls(3)
        comes_to_the_truth(here, second, truth, before)

        assert code == 1
        assert seconds < LEASE_SECONDS
        assert "could not be renewed in time" in first.log.read_text()


def test_lease_stolen(tmp_path: Path) -> None:
    """Whoever sees another's name in its lease ends at once."""
    with place(tmp_path, "lease") as here:
        first = here.start("first")
        first.wait_until_up()
        second = here.wait_until_standing_by("second")

        with here.life() as truth:
            before = first.wait_for("some ends", lambda scrape: ended(scrape) > 5)
            here.here.do(lambda: here.leases.steal(LEASE, "somebody"))
            code = first.process.wait(READY_SECONDS)
            successor(second).wait_for_polls(3)
        comes_to_the_truth(here, second, truth, before)

        assert code == 1
        assert "somebody holds it" in first.log.read_text()


def test_frozen(tmp_path: Path) -> None:
    """One that is frozen loses its lease, but nobody opens the ledger until it has come to and closed it."""
    with place(tmp_path, "lease") as here:
        first = here.start("first")
        first.wait_until_up()
        second = here.wait_until_standing_by("second")

        with here.life() as truth:
            before = first.wait_for("some ends", lambda scrape: ended(scrape) > 5)
            holder = here.leases.holder(LEASE)
            first.process.send_signal(signal.SIGSTOP)
            poll(READY_SECONDS, lambda: here.leases.holder(LEASE) != holder, "the lease is another's")
            assert not second.url
            first.process.send_signal(signal.SIGCONT)
            code = first.process.wait(READY_SECONDS)
            successor(second).wait_for_polls(3)
        comes_to_the_truth(here, second, truth, before)

        assert code == 1


def test_memory_cannot_be_shared(tmp_path: Path) -> None:
    """A ledger in memory is refused, as wrong configuration."""
    code, message = refused_start(environment(tmp_path, standby="ledger", ledger_path=":memory:"))

    assert code == 2
    assert "set ledger_path" in message
