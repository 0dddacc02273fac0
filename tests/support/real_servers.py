"""Real servers on loopback, each a process that runs as long as one test needs it."""

from __future__ import annotations

import json
import re
import subprocess
import time
import urllib.parse
import urllib.request
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from tests.support.real_tools import need

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

Value = TypeVar("Value")
READY_SECONDS = 120.0
"""Maximum time to wait for a process, long enough for a busy machine."""
STOP_SECONDS = 15.0
POLL_SECONDS = 0.05
LISTENING = re.compile(r'msg="Listening on".* address=127\.0\.0\.1:(\d+)')


@dataclass(frozen=True, slots=True)
class Server:
    """A running server."""

    url: str

    def get(self, path: str) -> Any:  # noqa: ANN401 - whatever JSON the server answers
        """Returns the decoded JSON answer of a path."""
        with urllib.request.urlopen(f"{self.url}{path}", timeout=5) as answer:  # noqa: S310 - loopback
            return json.load(answer)

    def query(self, expr: str) -> dict[tuple[tuple[str, str], ...], float]:
        """Returns the instant vector of a PromQL expression: values by sorted label pairs."""
        found = self.get(f"/api/v1/query?{urllib.parse.urlencode({'query': expr})}")["data"]["result"]
        return {tuple(sorted(one["metric"].items())): float(one["value"][1]) for one in found}


def poll(seconds: float, probe: Callable[[], Value], what: str) -> Value:
    """Returns the first truthy value of a probe; fails with `what` when the deadline passes first."""
    deadline = time.monotonic() + seconds
    while not (value := probe()):
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds:.0f} s: {what}")
        time.sleep(POLL_SECONDS)
    return value


@contextmanager
def prometheus(config_text: str, folder: Path) -> Iterator[Server]:
    """Runs a Prometheus server with this configuration, whose paths are relative to the folder."""
    command = [
        str(need("prometheus")),
        f"--config.file={_written(config_text, folder / 'prometheus.yml')}",
        f"--storage.tsdb.path={folder / 'prometheus-data'}",
        "--web.listen-address=127.0.0.1:0",
        "--web.external-url=http://prometheus.test/",
    ]
    with _ready(command, folder / "prometheus.log") as server:
        yield server


@contextmanager
def alertmanager(config_text: str, folder: Path) -> Iterator[Server]:
    """Runs an Alertmanager with this configuration, without a cluster."""
    command = [
        str(need("alertmanager")),
        f"--config.file={_written(config_text, folder / 'alertmanager.yml')}",
        f"--storage.path={folder / 'alertmanager-data'}",
        "--web.listen-address=127.0.0.1:0",
        "--web.external-url=http://alertmanager.test/",
        "--cluster.listen-address=",
    ]
    with _ready(command, folder / "alertmanager.log") as server:
        yield server


@contextmanager
def running(
    command: list[str],
    log: Path,
    listening: re.Pattern[str],
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
) -> Iterator[Server]:
    """Runs a server until the block ends; its port is read from its output in `log`."""
    with log.open("w") as out:
        process = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT, cwd=cwd, env=env)  # noqa: S603 - our own
    try:
        port = poll(READY_SECONDS, lambda: _port(process, log, listening), f"{command} listens; see {log}")
        yield Server(f"http://127.0.0.1:{port}")
    finally:
        _stop(process)


@contextmanager
def _ready(command: list[str], log: Path) -> Iterator[Server]:
    """Runs a Prometheus or Alertmanager until it is ready.

    It works in the folder above its `usr`, where an unpacked Alertmanager looks for its templates.
    """
    with running(command, log, LISTENING, cwd=Path(command[0]).parents[2]) as server:
        poll(READY_SECONDS, lambda: _is_ready(server), f"{command[0]} is ready; see {log}")
        yield server


def _written(text: str, path: Path) -> Path:
    path.write_text(text)
    return path


def _port(process: subprocess.Popen[bytes], log: Path, listening: re.Pattern[str]) -> int:
    """Returns the port that the system picked, zero until the log names it; fails if the server has exited."""
    text = log.read_text()
    if process.poll() is not None:
        raise AssertionError(f"exited with {process.returncode}: {text[-2000:]}")
    found = listening.search(text)
    return int(found[1]) if found else 0


def _is_ready(server: Server) -> bool:
    try:
        with urllib.request.urlopen(f"{server.url}/-/ready", timeout=5) as answer:  # noqa: S310 - loopback
            return bool(answer.status == 200)
    except OSError:
        return False


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
