"""Targets whose names hang in the resolver do not delay other targets."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
import yaml

from exporter.simulator.server import Simulator
from tests.process.test_isolation import longest_pause
from tests.support.exporter_process import environment, exporter
from tests.support.simulator_thread import running_simulators

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.exporter_process import Scrape
    from tests.support.measurements import Measured

pytestmark = pytest.mark.process

LOST = 40
"""More targets than an event loop has threads for lookups."""
TIMEOUT_SECONDS = 15
LATE_SECONDS = 12.0
"""Maximum time between two polls of the good target, and for the exit: less than one lookup takes."""
POLLS = 10
SLOW_RESOLVER = """
import socket, time

lookup = socket.getaddrinfo

def slowly(host, *args, **options):
    if ".example" in str(host):
        time.sleep(600)
    return lookup(host, *args, **options)

socket.getaddrinfo = slowly
"""


def has_timeouts(scrape: Scrape) -> bool:
    """Whether every lost target has timed out, and failed in no other way."""
    failures = scrape.by("ims_exporter_poll_failures_total", "account", "reason")
    return {key for key, number in failures.items() if number} == {(f"lost-{n}", "timeout") for n in range(LOST)}


def test_names_that_are_not_resolved(tmp_path: Path, measured: Measured) -> None:
    """Forty targets whose names hang time out; the good one is polled on time, and the exporter exits promptly."""
    (tmp_path / "sitecustomize.py").write_text(SLOW_RESOLVER)
    service = Simulator()
    with running_simulators(service):
        lost = [
            {"account": f"lost-{number}", "region_id": "cn-shanghai", "endpoint": f"https://{number}.example"}
            for number in range(LOST)
        ]
        good = {"account": "good", "region_id": "cn-shanghai", "endpoint": service.url}
        config = {"targets": [*lost, good], "request_timeout_seconds": TIMEOUT_SECONDS}
        (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))
        path = os.pathsep.join(filter(None, (str(tmp_path), os.environ.get("PYTHONPATH", ""))))
        env = environment(tmp_path, {"PYTHONPATH": path}, config=tmp_path / "config.yaml", poll_interval_seconds=0.5)
        with exporter(env, tmp_path / "exporter.log") as running:
            running.wait_for("timeouts", has_timeouts)
            running.wait_for_polls(POLLS, account="good")
            pause = longest_pause(running, "good")
            code, seconds = running.end()
    measured(f"unresolved names: polls never more than {pause:.2f} s apart; exit after {seconds:.1f} s")
    assert pause < LATE_SECONDS
    assert code == 0
    assert seconds < LATE_SECONDS
