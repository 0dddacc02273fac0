"""Every query of every dashboard returns data of a real Prometheus that scraped the demo."""

from __future__ import annotations

import json
import re
import sys
import time
import urllib.parse
import urllib.request
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from tests.support.dashboard_queries import Query, boards, queries
from tests.support.real_servers import LISTENING, POLL_SECONDS, Server, running
from tests.support.real_tools import need

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.tools


PATIENCE_SECONDS = 120.0
BOARDS = boards()
DEMO = ["--listen-address", "127.0.0.1:0", "--poll-interval-seconds", "1", "--speed", "20", "--history", "500"]
DEMO_LISTENS = re.compile(r"metrics +http://127\.0\.0\.1:(\d+)/metrics")
SIMULATOR = re.compile(r"simulated IMS endpoint at (http://127\.0\.0\.1:\d+)")
FAULTS = [{"kind": "throttle", "probability": 0.2}]
"""What makes the data of `NEEDS_FAULT`."""
NEEDS_FAULT = {"Failed requests by code A"}
"""Queries that have nothing to show while all is well."""


@dataclass(frozen=True, slots=True)
class Source:
    """Prometheus, asked as Grafana asks it."""

    server: Server

    def has_data(self, query: Query) -> bool:
        """Says whether a query has a result with at least one number in it."""
        found = self._result(query)
        if query.kind in {"exemplars", "choice"}:
            return bool(found)
        numbers = [value for series in found for _, value in series.get("values") or [series["value"]]]
        return any(number != "NaN" for number in numbers)

    def _result(self, query: Query) -> list[Any]:
        now, expr = time.time(), query.filled()
        if query.kind == "now":
            return list(self._get("query", query=expr, time=now)["result"])
        if query.kind == "over time":
            return list(self._get("query_range", query=expr, start=now - 30, end=now, step=5)["result"])
        if query.kind == "exemplars":
            return list(self._get("query_exemplars", query=expr, start=now - 60, end=now))
        return list(self._get(f"label/{query.label}/values", **{"match[]": expr}))

    def _get(self, path: str, **arguments: object) -> Any:  # noqa: ANN401 - JSON
        return self.server.get(f"/api/v1/{path}?{urllib.parse.urlencode(arguments)}")["data"]


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Source]:
    """Runs the demo, with a fault in its service, and a Prometheus that scrapes it every second."""
    folder = tmp_path_factory.mktemp("live")
    with running([sys.executable, "-m", "exporter", "demo", *DEMO], folder / "demo.log", DEMO_LISTENS) as demo:
        simulator = SIMULATOR.search((folder / "demo.log").read_text())
        assert simulator
        post(f"{simulator[1]}/_simulator/faults", FAULTS)
        with prometheus(demo, folder) as server:
            yield Source(server)


@contextmanager
def prometheus(scraped: Server, folder: Path) -> Iterator[Server]:
    """Runs a Prometheus that keeps exemplars."""
    targets = [{"targets": [scraped.url.removeprefix("http://")]}]
    config = {
        "global": {"scrape_interval": "1s", "scrape_timeout": "1s"},
        "scrape_configs": [{"job_name": "ims", "static_configs": targets}],
    }
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
    program = need("prometheus")
    command = [
        str(program),
        f"--config.file={folder / 'prometheus.yml'}",
        f"--storage.tsdb.path={folder / 'data'}",
        "--web.listen-address=127.0.0.1:0",
        "--enable-feature=exemplar-storage",
    ]
    with running(command, folder / "prometheus.log", LISTENING) as server:
        yield server


def post(url: str, body: object) -> None:
    """Posts JSON."""
    request = urllib.request.Request(url, json.dumps(body).encode(), method="POST")  # noqa: S310 - loopback
    urllib.request.urlopen(request, timeout=5).close()  # noqa: S310 - loopback


@pytest.mark.parametrize("name", sorted(BOARDS))
def test_every_query_returns_data(source: Source, name: str) -> None:
    """No query of any panel or variable stays without data, nor is any refused by Prometheus."""
    missing = list(queries(BOARDS[name]))
    deadline = time.monotonic() + PATIENCE_SECONDS

    while missing and time.monotonic() < deadline:
        time.sleep(POLL_SECONDS)
        missing = [query for query in missing if not source.has_data(query)]

    assert missing == []


def test_the_list_of_faulty_panels_is_true() -> None:
    """What needs a fault to have data is still a query of a dashboard."""
    assert {query.name for board in BOARDS.values() for query in queries(board)} >= NEEDS_FAULT
