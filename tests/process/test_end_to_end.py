"""A failed job pages and resolves: simulator, exporter, Prometheus, Alertmanager, webhook."""

from __future__ import annotations

import json
import os
import re
import sys
import threading
import time
import urllib.request
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from exporter.rules import Thresholds, rule_files, write_rules
from tests.support.real_servers import Server, alertmanager, poll, prometheus, running

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.measurements import Measured

pytestmark = [pytest.mark.process, pytest.mark.tools]


SIMULATOR = [sys.executable, "-m", "exporter.simulator", "--no-workload", "--listen", "127.0.0.1:0"]
EXPORTER = [sys.executable, "-m", "exporter", "run"]
SIMULATOR_LISTENS = re.compile(r"simulated IMS endpoint: http://127\.0\.0\.1:(\d+)")
EXPORTER_LISTENS = re.compile(r"event=listening url=http://127\.0\.0\.1:([1-9]\d*)")
NOTICED_SECONDS = 300
"""Time for which the exporter shows a new failure."""
QUICK = Thresholds(failed_window_seconds=10, failed_overlap_seconds=1)
FAILED = 'ims_jobs_ended_total{job_type="ASR",job_state="Failed"}'
PATIENCE_SECONDS = 120.0


@dataclass(frozen=True, slots=True)
class Pager:
    """The notifications of the webhook, in order."""

    url: str
    alerts: list[dict[str, Any]] = field(default_factory=list)

    def told(self, status: str) -> list[dict[str, Any]]:
        """Returns the alerts of a status (`firing`, `resolved`)."""
        return [alert for alert in self.alerts if alert["status"] == status]


@dataclass(frozen=True, slots=True)
class Stack:
    """All servers but the exporter, which the tests start and stop."""

    simulator: Server
    prometheus: Server
    pager: Pager
    targets: Path
    folder: Path

    def control(self, path: str, **fields: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON
        """Changes something in the simulated account."""
        request = urllib.request.Request(  # noqa: S310 - loopback
            f"{self.simulator.url}/_simulator/{path}", json.dumps(fields).encode(), method="POST"
        )
        with urllib.request.urlopen(request, timeout=5) as answer:  # noqa: S310 - loopback
            return dict(json.load(answer))

    @contextmanager
    def exporter(self) -> Iterator[None]:
        """Runs the exporter on one ledger, as a target of Prometheus."""
        env = {
            **os.environ,
            "IMS_EXPORTER_REGION_ID": "cn-shanghai",
            "IMS_EXPORTER_ENDPOINT": self.simulator.url,
            "IMS_EXPORTER_POLL_INTERVAL_SECONDS": "1",
            "IMS_EXPORTER_LISTEN_ADDRESS": "127.0.0.1:0",
            "IMS_EXPORTER_LEDGER_PATH": str(self.folder / "ledger.db"),
            "ALIBABA_CLOUD_ACCESS_KEY_ID": "demo-key-id",
            "ALIBABA_CLOUD_ACCESS_KEY_SECRET": "demo-key-secret",
        }
        with running(EXPORTER, self.folder / "exporter.log", EXPORTER_LISTENS, env=env) as server:
            self._discover([server.url.removeprefix("http://")])
            yield
        self._discover([])

    def _discover(self, targets: list[str]) -> None:
        scratch = self.targets.with_suffix(".new")
        scratch.write_text(json.dumps([{"targets": targets}]))
        scratch.rename(self.targets)

    def wait_for(self, expr: str) -> None:
        """Waits until Prometheus has a result for an expression, and returns the time."""
        poll(PATIENCE_SECONDS, lambda: self.prometheus.query(expr), expr)

    def wait_for_pager(self, status: str, number: int) -> dict[str, Any]:
        """Waits for this number of alerts of a status, and returns the last one."""
        patience = PATIENCE_SECONDS + (NOTICED_SECONDS if status == "resolved" else 0)
        poll(patience, lambda: len(self.pager.told(status)) >= number, f"{number} alert(s) {status}")
        return self.pager.told(status)[-1]


@contextmanager
def pager() -> Iterator[Pager]:
    """Serves a webhook that records notifications."""
    alerts: list[dict[str, Any]] = []

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            alerts.extend(json.loads(body)["alerts"])
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Logs nothing."""

    with HTTPServer(("127.0.0.1", 0), Receiver) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield Pager(f"http://127.0.0.1:{server.server_port}/", alerts)
        finally:
            server.shutdown()
            thread.join()


def routing(webhook: str) -> str:
    """Returns an Alertmanager configuration that sends everything to a webhook at once."""
    route = {"receiver": "pager", "group_wait": "1s", "group_interval": "1s", "repeat_interval": "1h"}
    return yaml.safe_dump({"route": route, "receivers": [{"name": "pager", "webhook_configs": [{"url": webhook}]}]})


def scraping(alerts_to: Server, targets: Path) -> str:
    """Returns a Prometheus configuration with the bundled rules, scrapes and evaluations every second."""
    address = alerts_to.url.removeprefix("http://")
    discovery = {"files": [str(targets)], "refresh_interval": "1s"}
    return yaml.safe_dump(
        {
            "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
            "rule_files": ["rules/*.rules.yaml"],
            "alerting": {"alertmanagers": [{"static_configs": [{"targets": [address]}]}]},
            "scrape_configs": [{"job_name": "ims", "file_sd_configs": [discovery]}],
        }
    )


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    """Runs all servers but the exporter."""
    write_rules(tmp_path / "rules", rule_files(QUICK))
    targets = tmp_path / "targets.json"
    with ExitStack() as running_now:
        enter = running_now.enter_context
        told = enter(pager())
        service = enter(running(SIMULATOR, tmp_path / "simulator.log", SIMULATOR_LISTENS))
        alerts_to = enter(alertmanager(routing(told.url), tmp_path))
        yield Stack(service, enter(prometheus(scraping(alerts_to, targets), tmp_path)), told, targets, tmp_path)


def test_failed_job_pages_and_clears(stack: Stack, measured: Measured) -> None:
    """A failed job fires once, within seconds, and resolves when the failure is past."""
    with stack.exporter():
        stack.wait_for(f"{FAILED} == 0")
        job_id = stack.control("jobs", job_type="ASR", state="Executing")["job_id"]
        stack.wait_for('ims_jobs{job_type="ASR",job_state="Executing"} == 1')

        failed_at = time.monotonic()
        stack.control(f"jobs/{job_id}", state="Failed", error=["InputFile.DownloadFailed", "no such object"])
        firing = stack.wait_for_pager("firing", 1)
        fired_at = time.monotonic()
        stack.wait_for_pager("resolved", 1)
        resolved_at = time.monotonic()

    measured(f"end to end: firing after {fired_at - failed_at:.1f} s, resolved {resolved_at - fired_at:.1f} s later")
    assert firing["labels"]["alertname"] == "ImsJobFailed"
    assert firing["labels"]["job_type"] == "ASR"
    assert firing["annotations"]["description"].startswith("1 ASR job(s) of default/cn-shanghai/smart failed")
    assert [alert["status"] for alert in stack.pager.alerts] == ["firing", "resolved"]


def test_job_that_failed_while_the_exporter_was_down_pages(stack: Stack, measured: Measured) -> None:
    """A restart does not page; a job that failed during the downtime pages when the exporter is back."""
    with stack.exporter():
        stack.wait_for(f"{FAILED} == 0")
        job_id = stack.control("jobs", job_type="ASR", state="Executing")["job_id"]
        stack.wait_for('ims_jobs{job_type="ASR",job_state="Executing"} == 1')
    stack.wait_for(f"absent({FAILED})")
    with stack.exporter():
        stack.wait_for(f"{FAILED} == 0")
    stack.wait_for(f"absent(max_over_time({FAILED}[{QUICK.failed_window_seconds}s]))")
    told_before_the_failure = list(stack.pager.alerts)

    stack.control(f"jobs/{job_id}", state="Failed")
    started_at = time.monotonic()
    with stack.exporter():
        firing = stack.wait_for_pager("firing", 1)
        fired_at = time.monotonic()
        stack.wait_for_pager("resolved", 1)

    measured(f"end to end: firing {fired_at - started_at:.1f} s after the exporter's start")
    assert told_before_the_failure == []
    assert firing["labels"]["alertname"] == "ImsJobFailed"
