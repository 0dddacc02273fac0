"""How long the exporter takes from its start as a process to its first metrics."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
import urllib.request
from typing import IO, TYPE_CHECKING

from benchmarks.figure import Figure
from benchmarks.service import QUIET_KEY

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.rig import Service
    from benchmarks.sizes import Sizes

COMMAND = [sys.executable, "-m", "exporter", "run"]
LISTENS = re.compile(r"url=(http://127\.0\.0\.1:[1-9][0-9]*)")
UP = re.compile(r"^ims_exporter_target_up\{.*\} 1(\.0)?$", re.MULTILINE)
AT_MOST_SECONDS = 2.0
PATIENCE_SECONDS = 30.0
PAUSE_SECONDS = 0.005


def measure(service: Service, sizes: Sizes, folder: Path) -> list[Figure]:
    """Starts the exporter on a new ledger, again and again."""
    seconds = tuple(first_metrics(service, folder / f"start-{turn}.db") for turn in range(sizes.starts))
    at_most = AT_MOST_SECONDS if sizes.has_goals_of_time else None
    return [Figure("start of the process until /metrics shows target_up 1", "s", seconds, at_most=at_most)]


def first_metrics(service: Service, ledger: Path) -> float:
    """Returns the seconds from the start of the process until a scrape shows that the target is up."""
    environ = {
        **{name: value for name, value in os.environ.items() if not name.startswith("IMS_EXPORTER_")},
        "IMS_EXPORTER_REGION_ID": "cn-shanghai",
        "IMS_EXPORTER_ENDPOINT": service.standing.url,
        "IMS_EXPORTER_LISTEN_ADDRESS": "127.0.0.1:0",
        "IMS_EXPORTER_LEDGER_PATH": str(ledger),
        "IMS_EXPORTER_LOG_FORMAT": "logfmt",
        "ALIBABA_CLOUD_ACCESS_KEY_ID": QUIET_KEY.key_id,
        "ALIBABA_CLOUD_ACCESS_KEY_SECRET": QUIET_KEY.secret,
    }
    started = time.perf_counter()
    with subprocess.Popen(COMMAND, env=environ, stderr=subprocess.PIPE, text=True) as process:  # noqa: S603 - our own
        try:
            wait_until_up(base_url(process.stderr))
            return time.perf_counter() - started
        finally:
            process.terminate()


def base_url(log: IO[str] | None) -> str:
    """Returns where the exporter listens, as soon as its log says so; raises RuntimeError if it never does."""
    lines = []
    for line in log or ():
        if found := LISTENS.search(line):
            return found[1]
        lines.append(line)
    raise RuntimeError(f"the exporter does not listen: {''.join(lines)}")


def wait_until_up(url: str) -> None:
    """Scrapes until the target is up; raises TimeoutError where it never is."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        with urllib.request.urlopen(f"{url}/metrics", timeout=PATIENCE_SECONDS) as answer:  # noqa: S310 - loopback
            if UP.search(answer.read().decode()):
                return
        time.sleep(PAUSE_SECONDS)
    raise TimeoutError(f"the target is not up after {PATIENCE_SECONDS:.0f} seconds")
