"""The exporter and the simulated service as processes: CPU, memory and scrapes of the exporter."""

from __future__ import annotations

import gzip
import os
import re
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from exporter.simulator.authentication import Key

COMMAND = [sys.executable, "-m", "exporter", "run"]
LISTENS = re.compile(r"event=listening url=(http://127\.0\.0\.1:[1-9][0-9]*)")
ANSWERS_AT = re.compile(r"endpoint: (\S+)")
PATIENCE_SECONDS = 30.0
PAUSE_SECONDS = 0.005
OPENMETRICS = {"Accept": "application/openmetrics-text; version=1.0.0", "Accept-Encoding": "gzip"}


@dataclass(frozen=True, slots=True)
class RunningExporter:
    """A running exporter."""

    process: subprocess.Popen[bytes]
    log: Path

    @property
    def url(self) -> str:
        """The base URL; empty until it listens."""
        found = LISTENS.search(self.log.read_text())
        return found[1] if found else ""

    def cpu_seconds(self) -> float:
        """Returns the CPU time of all its threads."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return sum(map(int, fields[11:13])) / os.sysconf("SC_CLK_TCK")

    def memory_mib(self, field: str = "VmRSS") -> float:
        """Returns its resident memory; `VmHWM` is the peak."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.findall(rf"{field}:\s+(\d+) kB", status)[0]) / 1024

    def scrape(self) -> tuple[str, float]:
        """Returns the page as Prometheus requests it, and the duration of the scrape in seconds."""
        request = urllib.request.Request(f"{self.url}/metrics", headers=OPENMETRICS)  # noqa: S310 - loopback
        started = time.perf_counter()
        with urllib.request.urlopen(request, timeout=PATIENCE_SECONDS) as answer:  # noqa: S310 - loopback
            body = answer.read()
        return gzip.decompress(body).decode(), time.perf_counter() - started

    def total(self, name: str) -> float:
        """Scrapes, and returns the sum of all series of a metric."""
        text, _ = self.scrape()
        return sum(float(value) for value in re.findall(rf"^{name}(?:{{[^}}]*}})? (\S+)", text, re.MULTILINE))

    def wait(self, probe: Callable[[], bool], seconds: float = PATIENCE_SECONDS, pause: float = PAUSE_SECONDS) -> None:
        """Waits until the probe is true; raises TimeoutError, or RuntimeError if the exporter exits first."""
        deadline = time.monotonic() + seconds
        while not probe():
            if self.process.poll() is not None:
                raise RuntimeError(f"the exporter has exited: {self.log.read_text()[-2000:]}")
            if time.monotonic() > deadline:
                raise TimeoutError(f"not after {seconds:.0f} seconds; the log ends: {self.log.read_text()[-2000:]}")
            time.sleep(pause)


@contextmanager
def run_exporter(folder: Path, name: str, key: Key, **settings: object) -> Iterator[RunningExporter]:
    """Runs an exporter with a ledger of this name; yields it when it listens."""
    chosen = {
        "listen_address": "127.0.0.1:0",
        "ledger_path": folder / f"{name}.db",
        "log_format": "logfmt",
        **settings,
    }
    environ = {
        **{name: value for name, value in os.environ.items() if not name.startswith("IMS_EXPORTER_")},
        **{f"IMS_EXPORTER_{name.upper()}": str(value) for name, value in chosen.items()},
        "ALIBABA_CLOUD_ACCESS_KEY_ID": key.key_id,
        "ALIBABA_CLOUD_ACCESS_KEY_SECRET": key.secret,
    }
    log = folder / f"{name}.log"
    with log.open("wb") as stderr, subprocess.Popen(COMMAND, env=environ, stderr=stderr) as process:  # noqa: S603 - our own
        running = RunningExporter(process, log)
        try:
            running.wait(lambda: bool(running.url))
            yield running
        finally:
            process.terminate()


@contextmanager
def run_simulator(*arguments: str) -> Iterator[str]:
    """Runs a simulated service, on another core than the first; yields its endpoint."""
    command = [sys.executable, "-m", "exporter.simulator", "--listen", "127.0.0.1:0", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603 - our own
        try:
            os.sched_setaffinity(process.pid, set(range(1, os.cpu_count() or 1)) or {0})
            found = ANSWERS_AT.search(process.stdout.readline()) if process.stdout else None
            if found is None:
                raise RuntimeError("the simulator does not say where it answers")
            yield found[1]
        finally:
            process.terminate()
