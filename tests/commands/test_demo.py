"""The command `demo` runs on its own simulator."""

from __future__ import annotations

import re
import urllib.request
from typing import TYPE_CHECKING

import pytest

from tests.support.command_line import CommandLine, stopped_after, sum_of_samples

if TYPE_CHECKING:
    from exporter.simulator.server import Simulator


def up(url: str) -> bool:
    """Returns whether the exporter at this URL shows a target that is up."""
    with urllib.request.urlopen(f"{url}/metrics", timeout=5) as answer:  # noqa: S310 - loopback
        return sum_of_samples(answer.read().decode(), "ims_exporter_target_up") == 1


def test_demo_on_an_address_in_use(cli: CommandLine, simulator: Simulator) -> None:
    """An address in use is a problem of the configuration."""
    ended = cli.run("demo", "--history", "10", "--listen-address", simulator.endpoint)

    assert ended.code == 2
    assert "cannot listen on" in ended.err


def test_demo(cli: CommandLine) -> None:
    """The demo prints its address, shows a target that is up within seconds, and stops on SIGTERM."""
    said: list[str] = []
    cli.patch.setattr("exporter.commands.demo.print_line", said.append)

    with stopped_after(lambda: said and up(re.findall(r"(http://\S+)/metrics", said[0])[0]), "the target is up"):
        ended = cli.run("demo", "--history", "200", "--listen-address", "127.0.0.1:0")

    assert ended.code == 0
    assert "Traceback" not in ended.err


@pytest.mark.parametrize("flag", ["--config", "--endpoint"])
def test_demo_of_something_else(cli: CommandLine, flag: str) -> None:
    """The demo refuses a file or an endpoint: it has its own."""
    ended = cli.run("demo", flag, "x")

    assert (ended.code, ended.out) == (2, "")
    assert f"{flag}: the demo does not support it" in ended.err
