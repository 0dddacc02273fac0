"""An exporter that cannot work exits with a clear message, and never shows wrong counts."""

from __future__ import annotations

import signal
import socket
from typing import TYPE_CHECKING

import pytest

from exporter.simulator.server import Simulator
from tests.support.exporter_process import environment, exporter, refused_start
from tests.support.ledger_driver import execute
from tests.support.simulator_thread import running_simulators

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.process

NOBODY = "http://127.0.0.1:9"
"""An endpoint that no test calls."""


def test_port_in_use(tmp_path: Path) -> None:
    """A port in use is wrong configuration: exit code 2, with the address and the setting."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        code, text = refused_start(environment(tmp_path, endpoint=NOBODY, listen_address=address))

    assert code == 2
    assert f"cannot listen on {address}" in text
    assert "listen_address" in text
    assert "Traceback" not in text


@pytest.mark.parametrize("place", ["missing/ledger.db", "/proc/ledger.db", "folder", "other.db"])
def test_unusable_ledger(place: str, tmp_path: Path) -> None:
    """A ledger that cannot be written, or is the database of another program: exit code 1, with its path."""
    (tmp_path / "folder").mkdir()
    execute(tmp_path / "other.db", "CREATE TABLE precious (life INTEGER)")
    path = tmp_path / place

    code, text = refused_start(environment(tmp_path, endpoint=NOBODY, ledger_path=path))

    assert code == 1
    assert str(path) in text
    assert "ledger_path" in text
    assert "Traceback" not in text


def test_two_exporters_on_one_ledger(tmp_path: Path) -> None:
    """A second exporter on a ledger is refused by any path to the file, and starts after the first one exits."""
    simulator = Simulator()
    with running_simulators(simulator):
        env = environment(tmp_path, endpoint=simulator.url)
        with exporter(env, tmp_path / "1.log") as first:
            first.wait_until_up()
            (tmp_path / "folder").mkdir()
            path = tmp_path / "folder" / ".." / "ledger.db"
            code, text = refused_start(environment(tmp_path, endpoint=simulator.url, ledger_path=path))
            first.wait_for_polls(3)
            assert not first.events("poll", outcome="failed")
            first.end(signal.SIGKILL)
        with exporter(env, tmp_path / "2.log") as second:
            second.wait_until_up()

    assert code == 1
    assert f"in use by {socket.gethostname()}, process {first.process.pid}; stop the other exporter" in text
    assert "Traceback" not in text


@pytest.mark.parametrize("variable", ["SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE"])
def test_unusable_certificates(variable: str, tmp_path: Path) -> None:
    """CA certificates that cannot be read are wrong configuration: exit code 2, with variable and path."""
    path = tmp_path / "missing"

    others = dict.fromkeys(("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE"), "")

    code, text = refused_start(environment(tmp_path, {**others, variable: str(path)}, endpoint=NOBODY))

    assert code == 2
    assert text.startswith(f"ims-exporter: {variable}: ")
    assert str(path) in text
    assert "Traceback" not in text


@pytest.mark.parametrize("name", ["HTTPS_PROXY", "all_proxy"])
def test_unusable_proxy(name: str, tmp_path: Path) -> None:
    """A proxy that is not supported is wrong configuration: exit code 2, with the variable, without its value."""
    variables = {name: "socks5://user:canary0/?#secret@proxy:1"}

    code, text = refused_start(environment(tmp_path, variables, endpoint=NOBODY))

    assert code == 2
    assert text.startswith(f"ims-exporter: {name} names no proxy that can be used")
    assert "canary" not in text
