"""An exporter stops at once on a signal, whatever it is doing, and continues from there after a restart."""

from __future__ import annotations

import signal
import socket
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from exporter.jobs.kinds import SMART
from exporter.simulator.faults import Fault
from exporter.simulator.server import Simulator
from tests.support.expected_counts import ExpectedCounts, shown_counts, wait_for_counts
from tests.support.exporter_process import Exporter, environment, exporter
from tests.support.real_servers import READY_SECONDS, poll
from tests.support.simulator_thread import running_simulators

if TYPE_CHECKING:
    from collections.abc import Mapping

    from exporter.simulator.job_store import JobStore
    from tests.support.expected_counts import Counts
    from tests.support.measurements import Measured

pytestmark = pytest.mark.process


CALL_SECONDS = 100.0
"""Time that a call without an answer takes, unless the exporter stops at once."""
STOP_SECONDS = 20.0
"""Maximum time for a stop, long enough for a busy machine."""
REASON = ("Timeout", "took too long")
SIGNALS = pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda number: number.name)
LATE_FAULTS = [
    Fault("hang", action="ListSmartJobs", skip=1),
    Fault("delay", action="ListSmartJobs", skip=2, seconds=CALL_SECONDS),
    Fault("hang", action="GetSmartHandleJob"),
]


def open_jobs(store: JobStore) -> list[str]:
    """Creates running jobs, and returns their ids."""
    return [store.create("ASR", state="Executing") for _ in range(6)]


def changes(store: JobStore, running_ids: list[str]) -> None:
    """Ends jobs and creates others, some of them already ended."""
    for number, job_id in enumerate(running_ids[:4]):
        store.move(job_id, SMART.ended_states[number % 2], error=REASON if number % 2 else None)
    for state in ("Created", "Executing", "Finished", "Failed"):
        store.create("TextToSpeech", state=state, error=REASON if state == "Failed" else None)


def stopped(running: Exporter, number: signal.Signals) -> float:
    """Stops the exporter, which has to exit with 0 in time; returns the seconds that it took."""
    code, seconds = running.end(number)
    assert code == 0, running.log.read_text()[-2000:]
    assert seconds < STOP_SECONDS
    assert running.events("stopping")
    return seconds


def assert_goes_on(env: Mapping[str, str], log: Path, expected: Counts) -> None:
    """After a restart, the exporter shows the true counts, and keeps them."""
    with exporter(env, log) as running:
        wait_for_counts(running, expected)
        later = running.wait_for_polls(3)
        assert shown_counts(later) == expected
        assert later.total("ims_job_failures_total", error_code=REASON[0]) == 3


@SIGNALS
@pytest.mark.parametrize("fault", LATE_FAULTS, ids=lambda fault: f"{fault.kind} in {fault.action}")
def test_stops_in_mid_poll(number: signal.Signals, fault: Fault, tmp_path: Path, measured: Measured) -> None:
    """A signal during a call without an answer stops the process at once; the next start polls again."""
    simulator = Simulator()
    with running_simulators(simulator) as here:
        running_ids = here.do(lambda: open_jobs(simulator.jobs))
        env = environment(tmp_path, endpoint=simulator.url, request_timeout_seconds=CALL_SECONDS)
        with exporter(env, tmp_path / "first.log") as running:
            running.wait_until_up()
            truth = here.do(lambda: ExpectedCounts(simulator.jobs))
            here.do(lambda: simulator.faults.add(fault))
            here.do(lambda: changes(simulator.jobs, running_ids))
            poll(READY_SECONDS, lambda: simulator.faults.struck[fault.kind], "a call goes unanswered")
            seconds = stopped(running, number)
        here.do(simulator.faults.clear)
        assert_goes_on(env, tmp_path / "second.log", here.do(truth.now))
    measured(f"{number.name} in mid-poll ({fault.kind} in {fault.action}): stopped after {seconds:.2f} s")


@SIGNALS
def test_stops_during_a_survey(number: signal.Signals, tmp_path: Path, measured: Measured) -> None:
    """A signal during a survey stops the process at once; the survey continues at its page after a restart."""
    simulator = Simulator()
    with running_simulators(simulator) as here:
        now = simulator.clock()
        here.do(
            lambda: [
                simulator.jobs.create("ASR", state="Finished", created_at=now - 90_000 + 10 * age)
                for age in range(8000)
            ]
        )
        running_ids = here.do(lambda: open_jobs(simulator.jobs))
        env = environment(tmp_path, endpoint=simulator.url)
        simulator.faults.add(Fault("delay", action="ListSmartJobs", seconds=0.05))
        with exporter(env, tmp_path / "first.log") as running:
            running.wait_until_up()
            truth = here.do(lambda: ExpectedCounts(simulator.jobs))
            poll(READY_SECONDS, lambda: simulator.lists[None, "Finished"] >= 20, "the survey has read 20 pages")
            here.do(lambda: changes(simulator.jobs, running_ids))
            seconds = stopped(running, number)
        here.do(simulator.faults.clear)
        assert_goes_on(env, tmp_path / "second.log", here.do(truth.now))
        second = Exporter(running.process, tmp_path / "second.log")
    measured(f"{number.name} during a survey: stopped after {seconds:.2f} s")
    assert [event["progress_ratio"] > 0 for event in second.events("survey", outcome="resumed")] == [True]
    assert second.events("survey", outcome="started") == []


@SIGNALS
def test_stops_when_idle(number: signal.Signals, tmp_path: Path, measured: Measured) -> None:
    """A signal between two polls stops the process at once; changes until the next start are found then."""
    simulator = Simulator()
    with running_simulators(simulator) as here:
        running_ids = here.do(lambda: open_jobs(simulator.jobs))
        idle = environment(tmp_path, endpoint=simulator.url, poll_interval_seconds=3600, stale_after_seconds=7200)
        with exporter(idle, tmp_path / "first.log") as running:
            running.wait_for("a survey", lambda scrape: scrape.total("ims_exporter_survey_complete") == 1)
            truth = here.do(lambda: ExpectedCounts(simulator.jobs))
            here.do(lambda: changes(simulator.jobs, running_ids))
            seconds = stopped(running, number)
        busy = environment(tmp_path, endpoint=simulator.url)
        assert_goes_on(busy, tmp_path / "second.log", here.do(truth.now))
    measured(f"{number.name} when idle: stopped after {seconds:.2f} s")


def test_a_hangup_during_the_start(tmp_path: Path) -> None:
    """A SIGHUP while the process still imports its modules does not end it; it reloads once it runs."""
    simulator = Simulator()
    with (
        running_simulators(simulator),
        exporter(environment(tmp_path, endpoint=simulator.url), tmp_path / "log") as running,
    ):
        status = Path(f"/proc/{running.process.pid}/status")
        poll(READY_SECONDS, lambda: blocks_hangup(status.read_text()), "a process that blocks SIGHUP")
        is_early = not running.url
        running.process.send_signal(signal.SIGHUP)
        running.wait_until_up()
        poll(READY_SECONDS, lambda: running.events("reload", outcome="ok"), "a reload")

        assert is_early
        assert stopped(running, signal.SIGTERM) < STOP_SECONDS


def blocks_hangup(status: str) -> bool:
    """Returns whether a process blocks SIGHUP, by its status in /proc."""
    mask = next(line.split()[1] for line in status.splitlines() if line.startswith("SigBlk:"))
    return bool(int(mask, 16) >> (signal.SIGHUP - 1) & 1)


def test_what_systemd_is_told(tmp_path: Path) -> None:
    """Systemd learns that the service is ready, that it reloads, that it is alive, and that it stops."""
    simulator = Simulator()
    path = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener, running_simulators(simulator):
        listener.bind(str(path))
        listener.settimeout(READY_SECONDS)
        variables = {"NOTIFY_SOCKET": str(path), "WATCHDOG_USEC": "600000"}
        with exporter(environment(tmp_path, variables, endpoint=simulator.url), tmp_path / "log") as running:
            seen = told_until(listener, "READY=1")
            assert running.url
            running.process.send_signal(signal.SIGHUP)
            seen += told_until(listener, "RELOADING=1")
            seen += told_until(listener, "READY=1")
            seen += told_until(listener, "WATCHDOG=1")
            stopped(running, signal.SIGTERM)
            seen += told_until(listener, "STOPPING=1")

    assert [state for state in seen if state != "WATCHDOG=1"] == ["READY=1", "RELOADING=1", "READY=1", "STOPPING=1"]


def told_until(listener: socket.socket, state: str) -> list[str]:
    """Returns the states up to the first one of this kind."""
    seen: list[str] = []
    while state not in seen:
        seen.append(listener.recv(100).decode())
    return seen
