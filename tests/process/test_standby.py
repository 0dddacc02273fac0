"""Of exporters that share a ledger one is active, the others are standbys, and a takeover loses and doubles nothing."""

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
from tests.process.test_kill import Watch, Workload
from tests.support.expected_counts import ExpectedCounts, shown_counts, wait_for_counts
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
"""Long enough that a busy machine does not lose a lease by accident."""

both_ways = pytest.mark.parametrize("way", ["ledger", "lease"])


@dataclass(frozen=True, slots=True)
class Place:
    """An account with a workload, and a ledger that exporters share."""

    here: SimulatorThread
    simulator: Simulator
    leases: LeaseServer
    env: dict[str, str]
    folder: Path
    stack: ExitStack
    workload: Workload

    def start(self, name: str) -> Exporter:
        """Starts an exporter, which ends at the end of the test at the latest."""
        return self.stack.enter_context(exporter(self.env, self.folder / f"{name}.log"))

    def wait_until_standing_by(self, name: str) -> Exporter:
        """Starts an exporter, and returns it when it is a standby."""
        running = self.start(name)
        poll(READY_SECONDS, lambda: running.events("standing_by"), f"{name} stands by; see {running.log}")
        return running

    @contextmanager
    def running_workload(self) -> Iterator[ExpectedCounts]:
        """Runs a workload within the block; yields the counts to expect."""
        truth = self.here.do(lambda: ExpectedCounts(self.simulator.jobs))
        with self.here.in_background(self.workload.run()):
            yield truth


@contextmanager
def place(folder: Path, way: str) -> Iterator[Place]:
    """Yields a place for exporters with one kind of standby."""
    simulator, leases, seed = Simulator(), LeaseServer(), secrets.randbits(32)
    (folder / "seed").write_text(str(seed))
    with running_simulators(simulator) as here:
        here.run(leases.__aenter__())
        try:
            config = {"KUBECONFIG": str(leases.config(folder))}
            env = environment(folder, config, endpoint=simulator.url, standby=way, lease_seconds=LEASE_SECONDS)
            with ExitStack() as stack:
                workload = here.do(lambda: Workload(simulator.jobs, random.Random(seed)))
                yield Place(here, simulator, leases, env, folder, stack, workload)
        finally:
            here.run(leases.__aexit__())


def seen_standing_by(running: Exporter, path: str) -> tuple[int, str]:
    """Returns status and text of an answer of a standby."""
    (event,) = running.events("standing_by")
    try:
        with urllib.request.urlopen(f"{event['url']}{path}", timeout=5) as answer:  # noqa: S310 - loopback
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def still_stands_by(running: Exporter) -> bool:
    """Whether an exporter is live, and shows only metrics of itself."""
    scrape = parsed(seen_standing_by(running, "/metrics")[1])
    names = scrape.names()
    return running.process.poll() is None and names >= OWN and not any(scrape.names(account="default"))


def successor(*waiting: Exporter) -> Exporter:
    """Returns the exporter that takes over."""
    found = poll(READY_SECONDS, lambda: next((each for each in waiting if each.url), None), "one takes over")
    assert found is not None
    return found


def ended(scrape: Scrape) -> float:
    """Returns the number of ended jobs."""
    return scrape.total("ims_jobs_ended_total")


def comes_to_the_truth(here: Place, running: Exporter, truth: ExpectedCounts, before: Scrape) -> None:
    """The exporter shows the true counts, keeps them, and shows no counter lower than before."""
    expected = here.here.do(truth.now)
    watch = Watch()
    watch.see(before)
    watch.see(wait_for_counts(running, expected))
    assert shown_counts(running.wait_for_polls(3)) == expected
    assert watch.setbacks == []
    assert sum(expected["ended"].values()) > ended(before)


@both_ways
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM], ids=lambda number: number.name)
def test_takeover(way: str, number: signal.Signals, tmp_path: Path, measured: Measured) -> None:
    """However the active exporter ends, a standby takes over, and every end is counted once."""
    with place(tmp_path, way) as here:
        first = here.start("first")
        first.wait_until_up()
        second, third = (here.wait_until_standing_by(name) for name in ("second", "third"))
        assert still_stands_by(second)
        assert [seen_standing_by(second, path)[0] for path in ("/livez", "/readyz", "/healthz")] == [200, 200, 200]
        status, text = seen_standing_by(second, "/failures")
        assert (status, text.startswith("this exporter stands by")) == (503, True)

        with here.running_workload() as truth:
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
    """A standby exits with 0 on a signal, and has not changed the ledger."""
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
    """Without an API server the active exporter exits in time, and no standby takes over until the server is back."""
    with place(tmp_path, "lease") as here:
        first = here.start("first")
        first.wait_until_up()
        second = here.wait_until_standing_by("second")

        with here.running_workload() as truth:
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


def test_nobody_polls(tmp_path: Path) -> None:
    """Two exporters that may not use the Lease are live and ready, but show that none polls, and why."""
    with place(tmp_path, "lease") as here:
        here.leases.outage = "forbid"
        waiting = [here.wait_until_standing_by(name) for name in ("first", "second")]
        for running in waiting:
            status, text = seen_standing_by(running, "/readyz")
            scrape = parsed(seen_standing_by(running, "/metrics")[1])
            assert (status, text.startswith("this exporter stands by and cannot take over (ApiError: ")) == (200, True)
            assert scrape.total("ims_exporter_active") == 0
            assert scrape.total("ims_exporter_lease_failures_total") > 0

        here.leases.outage = ""
        active = successor(*waiting).wait_for_polls(1)
        assert active.total("ims_exporter_active") == 1
        assert active.total("ims_exporter_lease_failures_total") > 0


def test_lease_stolen(tmp_path: Path) -> None:
    """An exporter that sees another holder in its lease exits at once."""
    with place(tmp_path, "lease") as here:
        first = here.start("first")
        first.wait_until_up()
        second = here.wait_until_standing_by("second")

        with here.running_workload() as truth:
            before = first.wait_for("some ends", lambda scrape: ended(scrape) > 5)
            here.here.do(lambda: here.leases.steal(LEASE, "somebody"))
            code = first.process.wait(READY_SECONDS)
            successor(second).wait_for_polls(3)
        comes_to_the_truth(here, second, truth, before)

        assert code == 1
        assert "somebody holds it" in first.log.read_text()


def test_frozen(tmp_path: Path) -> None:
    """A frozen exporter loses its lease, but no standby opens the ledger until it has continued and closed it."""
    with place(tmp_path, "lease") as here:
        first = here.start("first")
        first.wait_until_up()
        second = here.wait_until_standing_by("second")

        with here.running_workload() as truth:
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
    """A standby with a ledger in memory is refused as wrong configuration."""
    code, message = refused_start(environment(tmp_path, standby="ledger", ledger_path=":memory:"))

    assert code == 2
    assert "set ledger_path" in message
