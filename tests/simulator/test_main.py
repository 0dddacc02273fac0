"""The simulator's command serves until it is told to stop."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import urllib.request
from contextlib import ExitStack
from typing import Any

import pytest

from exporter.simulator.__main__ import main

pytestmark = pytest.mark.process


def stats_of(process: subprocess.Popen[str]) -> tuple[list[str], dict[str, Any]]:
    """Returns what a simulator has printed at its start, and the truth it tells."""
    assert process.stdout is not None
    lines = [process.stdout.readline() for _ in range(6)]
    with urllib.request.urlopen(f"{lines[0].split()[-1]}/_simulator/stats", timeout=10) as answer:  # noqa: S310 - loopback
        return lines, json.load(answer)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_serves_and_stops(number: signal.Signals) -> None:
    """It prints its URL and the environment to set, has a life with a history, and exits 0 on a signal."""
    command = [sys.executable, "-m", "exporter.simulator", "--listen", "127.0.0.1:0", "--history", "50"]

    with (
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process,  # noqa: S603 - our own command
        ExitStack() as stack,
    ):
        stack.callback(process.kill)
        lines, stats = stats_of(process)
        process.send_signal(number)
        status = process.wait(timeout=10)

    assert f"export IMS_EXPORTER_ENDPOINT={lines[0].split()[-1]}\n" in lines
    assert "export ALIBABA_CLOUD_ACCESS_KEY_ID=demo-key-id\n" in lines
    assert sum(sum(states.values()) for states in stats["ended_ever"].values()) >= 50
    assert status == 0


@pytest.mark.parametrize(("flags", "ended"), [(["--history", "30"], 30), ([], 0)])
def test_a_world_without_life(flags: list[str], ended: int) -> None:
    """Nothing happens by itself in a world without life, but it has the history that it is given."""
    command = [sys.executable, "-m", "exporter.simulator", "--listen", "127.0.0.1:0", "--no-workload", *flags]

    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process, ExitStack() as stack:  # noqa: S603 - our own command
        stack.callback(process.kill)
        stats = stats_of(process)[1]

    assert sum(sum(states.values()) for states in stats["ended_ever"].values()) == ended
    assert sum(stats["created_ever"].values()) == ended


@pytest.mark.parametrize(
    "flags", [["--history", "-5"], ["--speed", "0"], ["--speed", "nan"], ["--seed", "x"], ["--histroy", "5"], ["--no"]]
)
def test_a_wrong_flag_is_said(capsys: pytest.CaptureFixture[str], flags: list[str]) -> None:
    """A flag that is none, or a value that cannot be, is refused in one line that names the flag."""
    with pytest.raises(SystemExit) as refused:
        main(flags)

    (line,) = capsys.readouterr().err.splitlines()
    assert (refused.value.code, flags[0] in line) == (2, True)


def test_an_address_in_use_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    """Where the address is taken, or is none, the command ends with a message and not with a trace."""
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(SystemExit) as refused:
        main(["--no-workload", "--listen", f"127.0.0.1:{taken.getsockname()[1]}"])
    with pytest.raises(SystemExit):
        main(["--listen", "127.0.0.1:99999"])

    assert "cannot listen on 127.0.0.1:" in str(refused.value)
    assert "'127.0.0.1:99999' is not HOST:PORT" in capsys.readouterr().err
