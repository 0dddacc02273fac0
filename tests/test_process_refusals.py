"""An exporter that cannot work says so clearly, and never makes wrong counts instead."""

from __future__ import annotations

import socket
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from exporter.simulator.faults import Fault
from exporter.simulator.server import Simulator
from tests.exporterprocess import Exporter, environment, exporter, refused_start
from tests.realservers import READY_SECONDS, poll
from tests.simulatorthread import aside
from tests.truth import Truth, comes_to_tell

if TYPE_CHECKING:
    from pathlib import Path

    from exporter.simulator.world import World

NOBODY = "http://127.0.0.1:9"
"""An endpoint that is never called."""


def test_port_in_use(tmp_path: Path) -> None:
    """A port that is taken is a wrong configuration: exit code 2, the address and the setting are named."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        code, text = refused_start(environment(tmp_path, endpoint=NOBODY, listen_address=address))

    assert code == 2
    assert f"cannot listen on {address}" in text
    assert "listen_address" in text
    assert "Traceback" not in text


@pytest.mark.parametrize("place", ["missing/ledger.db", "/proc/ledger.db", "folder", "text"])
def test_unusable_ledger(place: str, tmp_path: Path) -> None:
    """A ledger in a missing folder, or one not to be written to, or that is none: exit code 1, and it is named."""
    (tmp_path / "folder").mkdir()
    (tmp_path / "text").write_text("this is no ledger\n" * 100)
    path = tmp_path / place

    code, text = refused_start(environment(tmp_path, endpoint=NOBODY, ledger_path=path))

    assert code == 1
    assert str(path) in text
    assert "ledger_path" in text
    assert "Traceback" not in text


def past(world: World) -> None:
    """Creates jobs that ended hours ago."""
    for age in range(2000, 0, -1):
        world.create("ASR", state="Finished", created_at=world.now() - 7200 - age)


def births_and_ends(world: World) -> None:
    """Lets some jobs be born, and some end."""
    for job in world.page(job_state="Executing", limit=3):
        world.move(job.job_id, "Finished")
    for _ in range(5):
        world.create("ASR", state="Executing")


@pytest.mark.slow
def test_two_exporters_on_one_ledger(tmp_path: Path) -> None:
    """Two processes on one ledger double nothing: a poll that the other one forestalled fails, and says why."""
    simulator = Simulator()
    with aside(simulator) as here:
        here.do(lambda: past(simulator.world))
        simulator.faults.add(Fault("delay", action="ListSmartJobs", seconds=0.05))
        env = environment(tmp_path, endpoint=simulator.url)
        with exporter(env, tmp_path / "1.log") as first:
            first.wait_until_up()
            truth = here.do(lambda: Truth(simulator.world))
            with exporter(env, tmp_path / "2.log") as second:
                for number in range(1, 6):
                    here.do(lambda: births_and_ends(simulator.world))
                    poll(READY_SECONDS, partial(have_been_refused, number, first, second), "a poll is refused")
                shown = [each.scrape() for each in (first, second)]
            comes_to_tell(first, here.do(truth.now))

    counted = sum(scrape.total("ims_exporter_poll_failures_total", reason="ledger") for scrape in shown if scrape)
    assert counted >= 5
    assert {line["reason"] for line in refusals(first, second)} == {"ledger"}
    assert all("another process" in line["error"] for line in refusals(first, second))


def have_been_refused(number: int, *exporters: Exporter) -> bool:
    """Says whether so many polls have failed."""
    return len(refusals(*exporters)) >= number


def refusals(*exporters: Exporter) -> list[dict[str, Any]]:
    """Returns the log lines of the polls that failed."""
    return [line for each in exporters for line in each.events("poll", outcome="failed")]
