"""The real exporter as a process: start and stop, metrics and log."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from prometheus_client.parser import text_string_to_metric_families

from exporter.simulator.server import DEMO_KEY
from tests.support.real_servers import READY_SECONDS, poll

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

COMMAND = (sys.executable, "-m", "exporter", "run")
LISTENS = re.compile(r'"event": "listening", "url": "(http://127\.0\.0\.1:[1-9]\d*)"')
NOT_INHERITED = ("IMS_EXPORTER_", "ALIBABA_CLOUD_")
DEFAULTS = {
    "region_id": "cn-shanghai",
    "poll_interval_seconds": 0.3,
    "max_requests_per_second": 1000,
    "listen_address": "127.0.0.1:0",
    "log_format": "json",
}
SINGLE_TARGET = ("region_id", "endpoint")


@dataclass(frozen=True, slots=True)
class Scrape:
    """One answer of /metrics: values by metric and labels."""

    values: Mapping[str, Mapping[frozenset[tuple[str, str]], float]]

    def by(self, name: str, *labels: str, **where: str) -> dict[tuple[str, ...], float]:
        """Returns a metric's values by these labels, of the series with the label values given."""
        series = {key: value for key, value in self.values.get(name, {}).items() if set(where.items()) <= key}
        return {tuple(dict(key)[label] for label in labels): value for key, value in series.items()}

    def total(self, name: str, **where: str) -> float:
        """Returns the sum of the series with the label values given; zero without any."""
        return sum(value for key, value in self.values.get(name, {}).items() if set(where.items()) <= key)

    def names(self, **where: str) -> set[str]:
        """Returns the metrics that have a series with the label values given."""
        return {name for name, series in self.values.items() if any(set(where.items()) <= key for key in series)}


@dataclass(frozen=True, slots=True)
class Exporter:
    """An exporter that was started, and may have ended since."""

    process: subprocess.Popen[bytes]
    log: Path

    @property
    def url(self) -> str:
        """Its URL; empty until it listens."""
        found = LISTENS.search(self.log.read_text())
        return found[1] if found else ""

    def scrape(self) -> Scrape | None:
        """Returns a scrape of /metrics; None if nothing answers."""
        try:
            return parsed(self.get("/metrics")) if self.url else None
        except OSError:
            return None

    def get(self, path: str) -> str:
        """Returns the text of an answer."""
        with urllib.request.urlopen(f"{self.url}{path}", timeout=5) as answer:  # noqa: S310 - loopback
            return str(answer.read().decode())

    def wait_for(self, what: str, probe: Callable[[Scrape], bool], seconds: float = READY_SECONDS) -> Scrape:
        """Returns the first scrape of which `probe` is true; fails if the exporter ends before."""

        def look() -> Scrape | None:
            code = self.process.poll()
            assert code is None, f"exited with {code}: {self.log.read_text()[-2000:]}"
            scrape = self.scrape()
            return scrape if scrape and probe(scrape) else None

        found = poll(seconds, look, f"{what}; see {self.log}")
        assert found is not None
        return found

    def wait_until_up(self) -> Scrape:
        """Returns a scrape after the first good poll."""
        return self.wait_for("a good poll", lambda scrape: scrape.total("ims_exporter_target_up") == 1)

    def wait_for_polls(self, number: int, **where: str) -> Scrape:
        """Returns a scrape after `number` more polls of the targets with these label values."""
        now = self.scrape()
        polls = (now.total("ims_exporter_polls_total", **where) if now else 0) + number
        return self.wait_for(
            f"{number} polls", lambda scrape: scrape.total("ims_exporter_polls_total", **where) >= polls
        )

    def events(self, event: str, **fields: Any) -> list[dict[str, Any]]:  # noqa: ANN401 - JSON
        """Returns the log lines of an event with these field values."""
        lines = self.log.read_text().rpartition("\n")[0].splitlines()
        found = [json.loads(line) for line in lines if line.startswith("{")]
        return [line for line in found if {**line, **fields, "event": event} == line]

    def end(self, number: signal.Signals = signal.SIGTERM) -> tuple[int, float]:
        """Sends a signal; returns the exit code, and the seconds until the exit."""
        started = time.monotonic()
        self.process.send_signal(number)
        return self.process.wait(READY_SECONDS), time.monotonic() - started


@contextmanager
def exporter(env: Mapping[str, str], log: Path) -> Iterator[Exporter]:
    """Starts an exporter that logs to this file, and kills it at the end of the block if it still runs."""
    with log.open("w") as out:
        process = subprocess.Popen(COMMAND, stdout=out, stderr=subprocess.STDOUT, env=env)  # noqa: S603 - our own
    try:
        yield Exporter(process, log)
    finally:
        process.kill()
        process.wait()


def refused_start(env: Mapping[str, str]) -> tuple[int, str]:
    """Returns exit code and message of an exporter that ends by itself."""
    ended = subprocess.run(  # noqa: S603 - our own
        COMMAND, capture_output=True, env=env, timeout=READY_SECONDS, check=False
    )
    return ended.returncode, ended.stderr.decode()


def environment(folder: Path, variables: Mapping[str, str] | None = None, **settings: object) -> dict[str, str]:
    """Returns an environment with these settings and variables, and the defaults of all tests.

    The ledger stands in the folder. With `config`, the targets come from there.
    """
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(NOT_INHERITED)}
    merged = {"ledger_path": folder / "ledger.db", **DEFAULTS, **settings}
    if "config" in settings:
        merged = {name: value for name, value in merged.items() if name not in SINGLE_TARGET}
    return {
        **inherited,
        "HOME": str(folder),
        "NO_PROXY": "127.0.0.1",
        "ALIBABA_CLOUD_ACCESS_KEY_ID": DEMO_KEY.key_id,
        "ALIBABA_CLOUD_ACCESS_KEY_SECRET": DEMO_KEY.secret,
        **{f"IMS_EXPORTER_{name.upper()}": str(value) for name, value in merged.items()},
        **(variables or {}),
    }


def parsed(text: str) -> Scrape:
    """Reads the text format of Prometheus."""
    values: dict[str, dict[frozenset[tuple[str, str]], float]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            values.setdefault(sample.name, {})[frozenset(sample.labels.items())] = sample.value
    return Scrape(values)
