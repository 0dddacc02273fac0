"""The command `run` polls and serves until SIGTERM."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from exporter.simulator.faults import Fault
from tests.support.command_line import CommandLine, stopped_after

if TYPE_CHECKING:
    from exporter.simulator.server import Simulator


def test_run_is_the_default(cli: CommandLine, simulator: Simulator) -> None:
    """Without a command the exporter polls and serves until SIGTERM, and exits with 0."""
    cli.patch.setenv("IMS_EXPORTER_LISTEN_ADDRESS", "127.0.0.1:0")

    with stopped_after(lambda: simulator.calls["ListSmartJobs"] >= 3, "a poll is made"):
        ended = cli.run()

    assert (ended.code, ended.out) == (0, "")
    assert re.search(r"event=listening url=http://127\.0\.0\.1:[1-9]", ended.err)
    told = [line.partition("event=")[2] for line in ended.err.splitlines()]
    assert told.count("stopping") == 1  # what was under way may end after it


def test_run_stops_in_the_middle_of_a_poll(cli: CommandLine, simulator: Simulator) -> None:
    """A poll that SIGTERM interrupts is not an error, and does not delay the exit."""
    cli.patch.setenv("IMS_EXPORTER_LISTEN_ADDRESS", "127.0.0.1:0")
    cli.patch.setenv("IMS_EXPORTER_REQUEST_TIMEOUT_SECONDS", "60")
    simulator.faults.add(Fault("hang"))

    with stopped_after(lambda: simulator.calls["ListSmartJobs"], "a poll is under way"):
        ended = cli.run("run")

    assert ended.code == 0
    assert "level=error" not in ended.err
    assert ended.err.splitlines()[-1].endswith("event=stopping")
