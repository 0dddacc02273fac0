"""The simulator's command serves until it is told to stop."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import urllib.request
from contextlib import ExitStack

import pytest

from exporter.simulator.__main__ import main


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_serves_and_stops(number: signal.Signals) -> None:
    """It prints its URL and the environment to set, has a life with a history, and exits 0 on a signal."""
    command = [sys.executable, "-m", "exporter.simulator", "--listen", "127.0.0.1:0", "--history", "50"]

    with (
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process,  # noqa: S603 - our own command
        ExitStack() as stack,
    ):
        assert process.stdout is not None
        stack.callback(process.kill)
        lines = [process.stdout.readline() for _ in range(6)]
        url = lines[0].split()[-1]
        with urllib.request.urlopen(f"{url}/_simulator/stats", timeout=10) as answer:  # noqa: S310 - loopback
            stats = json.load(answer)
        process.send_signal(number)
        status = process.wait(timeout=10)

    assert f"export IMS_EXPORTER_ENDPOINT={url}\n" in lines
    assert "export ALIBABA_CLOUD_ACCESS_KEY_ID=demo-key-id\n" in lines
    assert sum(sum(states.values()) for states in stats["ended_ever"].values()) >= 50
    assert status == 0


def test_an_address_in_use_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    """Where the address is taken, or is none, the command ends with a message and not with a trace."""
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(SystemExit) as refused:
        main(["--no-life", "--listen", f"127.0.0.1:{taken.getsockname()[1]}"])
    with pytest.raises(SystemExit):
        main(["--listen", "127.0.0.1:99999"])

    assert "cannot listen on 127.0.0.1:" in str(refused.value)
    assert "'127.0.0.1:99999' is not HOST:PORT" in capsys.readouterr().err
