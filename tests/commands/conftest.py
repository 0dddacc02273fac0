"""The service that the tests of commands call."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from exporter.simulator.authentication import Key
from exporter.simulator.server import Simulator
from tests.support.command_line import CANARY, TOKEN, CommandLine
from tests.support.simulator_thread import running_simulators

if TYPE_CHECKING:
    from collections.abc import Iterator

KEY = Key("STS.id", CANARY, token=TOKEN)


@pytest.fixture
def simulator(cli: CommandLine) -> Iterator[Simulator]:
    """Returns a service with two jobs, to which the environment of the command line points."""
    simulator = Simulator(keys=[KEY])
    with running_simulators(simulator):
        simulator.jobs.create("ASR")
        simulator.jobs.create("ASR", state="Failed", error=("E.Code", "words"))
        cli.target(simulator.url, KEY)
        yield simulator
