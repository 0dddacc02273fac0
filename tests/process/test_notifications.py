"""The example configuration of Alertmanager notifies once of a problem, once of its end, and not of consequences."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import threading
import urllib.request
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from exporter import rules
from exporter.rules.rule import Links
from tests.support.real_servers import Server, alertmanager, poll
from tests.support.real_tools import need
from tests.support.repository import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.tools

EXAMPLE = ROOT / "examples" / "alertmanager"
LINKS = Links("https://runbooks.example", "https://grafana.example/d", "https://ims.example")
ALERTS = {
    rule.name: rule
    for group in rules.groups(rules.Thresholds()).values()
    for rule in group
    if isinstance(rule, rules.Alert)
}
TARGET = {"account": "prod", "region_id": "cn-shanghai", "job_kind": "smart"}
ASR = {**TARGET, "job_type": "ASR"}
QUICK = {"group_wait": "1s", "group_interval": "2s"}
PATIENCE_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Inbox:
    """The notifications of each receiver, in order."""

    url: str
    sent: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    def to(self, name: str) -> list[dict[str, Any]]:
        """Returns the notifications of a receiver."""
        return [body for path, body in self.sent if path == f"/{name}"]

    def wait(self, name: str, number: int) -> list[dict[str, Any]]:
        """Waits for this number of notifications of a receiver, and returns them."""
        poll(PATIENCE_SECONDS, lambda: len(self.to(name)) >= number, f"{number} to {name}: {self.sent}")
        return self.to(name)


@contextmanager
def inbox() -> Iterator[Inbox]:
    """Serves every receiver."""
    sent: list[tuple[str, dict[str, Any]]] = []

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            sent.append((self.path, json.loads(self.rfile.read(int(self.headers["Content-Length"])))))
            self.send_response(202 if self.path == "/pagerduty" else 200)
            self.end_headers()
            self.wfile.write(b"ok")

        def log_message(self, *_: object) -> None:
            """Logs nothing."""

    with HTTPServer(("127.0.0.1", 0), Receiver) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield Inbox(f"http://127.0.0.1:{server.server_port}", sent)
        finally:
            server.shutdown()
            thread.join()


def configured(folder: Path, url: str) -> str:
    """Returns the example with short intervals, and the inbox as every receiver."""
    shutil.copytree(EXAMPLE / "templates", folder / "templates")
    config = yaml.safe_load((EXAMPLE / "alertmanager.yml").read_text())
    for route in (config["route"], *config["route"]["routes"]):
        route |= {key: value for key, value in QUICK.items() if key in route}
    pager, chat, mail = config["receivers"]
    (folder / "key").write_text("0" * 32)
    pager["pagerduty_configs"][0] |= {"routing_key_file": str(folder / "key"), "url": f"{url}/pagerduty"}
    (folder / "slack").write_text(f"{url}/slack")
    chat["slack_configs"][0]["api_url_file"] = str(folder / "slack")
    for robot, name in zip(chat["webhook_configs"], ("dingtalk", "wecom"), strict=True):
        (folder / name).write_text(f"{url}/{name}")
        robot["url_file"] = str(folder / name)
    del mail["email_configs"]
    return yaml.safe_dump(config)


@pytest.fixture
def service(tmp_path: Path) -> Iterator[tuple[Server, Inbox]]:
    """Runs the real Alertmanager with the example."""
    with inbox() as box, alertmanager(configured(tmp_path, box.url), tmp_path) as server:
        yield server, box


def tell(server: Server, name: str, labels: dict[str, str], *, over: bool = False) -> None:
    """Sends an alert to Alertmanager as Prometheus does, with the labels and links of its rule."""
    entry = ALERTS[name].entry(LINKS)
    own, notes = entry["labels"], entry["annotations"]
    assert isinstance(own, dict)
    assert isinstance(notes, dict)
    expanded = {key: re.sub(r"{{.*?}}", "1", text) for key, text in notes.items()}
    now = datetime.now(UTC)
    alert = {
        "labels": {"alertname": name, **own, **labels},
        "annotations": expanded,
        "startsAt": (now - timedelta(milliseconds=1)).isoformat(),
        "endsAt": (now if over else now + timedelta(minutes=5)).isoformat(),
    }
    request = urllib.request.Request(  # noqa: S310 - loopback
        f"{server.url}/api/v2/alerts", json.dumps([alert]).encode(), {"Content-Type": "application/json"}
    )
    urllib.request.urlopen(request, timeout=5).close()  # noqa: S310 - loopback


def test_example_is_valid() -> None:
    """Amtool accepts the shipped configuration and its templates."""
    command = [str(need("amtool")), "check-config", str(EXAMPLE / "alertmanager.yml")]

    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)  # noqa: S603 - a tool of our own choice

    assert done.returncode == 0, done.stdout + done.stderr


def test_example_names_what_exists() -> None:
    """Every inhibition rule matches existing alerts on both sides."""
    config = yaml.safe_load((EXAMPLE / "alertmanager.yml").read_text())

    sides = [rule[side][0] for rule in config["inhibit_rules"] for side in ("source_matchers", "target_matchers")]
    expected = (2, 7, 3, 4, 1, 3, 1, 2, 1, 2)

    assert tuple(matching(side) for side in sides) == expected


def matching(matcher: str) -> int:
    """Returns the number of alerts whose whole name a matcher matches."""
    pattern = matcher.partition("=")[2].lstrip("~").strip('"')
    return sum(bool(re.fullmatch(pattern, name)) for name in ALERTS)


def test_burst_is_told_once(service: tuple[Server, Inbox]) -> None:
    """A burst of failures notifies each receiver once with a link to the failures page, and once when it resolves."""
    server, box = service
    burst = ("ImsJobFailed", "ImsJobFailureRatioHigh", "ImsJobFailureRatioCritical")
    receivers = ("slack", "dingtalk", "wecom", "pagerduty")

    for name in burst:
        tell(server, name, ASR)
    first = {receiver: box.wait(receiver, 1)[0] for receiver in receivers}
    for name in burst:
        tell(server, name, ASR, over=True)
    both = {receiver: box.wait(receiver, 2) for receiver in receivers}

    assert all("https://ims.example/failures" in json.dumps(body) for body in first.values())
    assert all("resolved" in json.dumps(bodies[1]) for bodies in both.values())
    assert [body["event_action"] for body in both["pagerduty"]] == ["trigger", "resolve"]
    assert first["dingtalk"]["msgtype"] == "markdown"
    assert first["dingtalk"]["markdown"]["title"] == "IMS job failure ratio is critical. [prod/cn-shanghai/smart ASR]"
    assert first["slack"]["attachments"][0]["color"] == "danger"
    assert first["pagerduty"]["payload"]["severity"] == "critical"
    details = first["pagerduty"]["payload"]["custom_details"]["alerts"]
    assert isinstance(details, str), "it was taken for YAML"
    assert {"Failed", "Runbook", "Dashboard"} <= {line.split()[0].rstrip(":") for line in details.splitlines() if line}
    assert "ImsJobFailureRatioHigh" in first["wecom"]["markdown"]["content"]
    assert {receiver: len(box.to(receiver)) for receiver in receivers} == dict.fromkeys(receivers, 2)


def test_types_are_told_apart(service: tuple[Server, Inbox]) -> None:
    """Two job types give two notifications."""
    server, box = service

    tell(server, "ImsJobFailed", ASR)
    tell(server, "ImsJobFailed", {**TARGET, "job_type": "TextToSpeech"})

    titles = {body["markdown"]["title"] for body in box.wait("dingtalk", 2)}
    assert titles == {
        "IMS jobs failed. [prod/cn-shanghai/smart ASR]",
        "IMS jobs failed. [prod/cn-shanghai/smart TextToSpeech]",
    }


def test_consequences_are_silent(service: tuple[Server, Inbox]) -> None:
    """A target that is down inhibits its consequences, for that target only; failures are still notified."""
    server, box = service
    elsewhere = {"account": "test", "region_id": "cn-shanghai", "job_kind": "smart", "job_type": "ASR"}

    tell(server, "ImsExporterTargetDown", TARGET)
    tell(server, "ImsJobStuck", ASR)
    tell(server, "ImsJobQueueNotDraining", {**TARGET, "job_type": "TextToSpeech"})
    tell(server, "ImsJobFailed", {**TARGET, "job_type": "DynamicChart"})
    tell(server, "ImsJobStuck", elsewhere)

    titles = {body["markdown"]["title"] for body in box.wait("dingtalk", 3)}
    inhibited = [
        alert["labels"]["alertname"] for alert in server.get("/api/v2/alerts") if alert["status"]["inhibitedBy"]
    ]
    assert titles == {
        "IMS exporter cannot poll a target. [prod/cn-shanghai/smart]",
        "IMS jobs failed. [prod/cn-shanghai/smart DynamicChart]",
        "IMS job is stuck. [test/cn-shanghai/smart ASR]",
    }
    assert sorted(inhibited) == ["ImsJobQueueNotDraining", "ImsJobStuck"]


def test_page_names_the_cause(service: tuple[Server, Inbox]) -> None:
    """Refused credentials page once, and not again for the stale data that follows."""
    server, box = service

    for name in ("ImsExporterCredentialsRefused", "ImsExporterDataStale", "ImsExporterTargetDown"):
        tell(server, name, TARGET)

    pages = box.wait("pagerduty", 1)
    assert [page["payload"]["summary"] for page in pages] == [
        "IMS rejects the credentials of a target. [prod/cn-shanghai/smart]"
    ]
    assert "ImsExporterDataStale" not in json.dumps(pages)


def test_exporter_that_is_away_silences_its_own_warnings(service: tuple[Server, Inbox]) -> None:
    """An absent exporter is notified by its scrape job, and inhibits warnings of that job only, but no page."""
    server, box = service
    elsewhere = {"account": "test", "region_id": "cn-shanghai", "job_kind": "smart", "job_type": "ASR", "job": "second"}

    tell(server, "ImsExporterDown", {"job": "ims"})
    tell(server, "ImsJobStuck", {**ASR, "job": "ims"})
    tell(
        server,
        "ImsExporterCredentialsRefused",
        {"account": "shard", "region_id": "cn-beijing", "job_kind": "smart", "job": "ims"},
    )
    tell(server, "ImsJobStuck", elsewhere)

    pages = {page["payload"]["summary"] for page in box.wait("pagerduty", 2)}
    chat = {body["markdown"]["title"] for body in box.wait("dingtalk", 3)}
    assert pages == {
        "IMS exporter is down. [ims]",
        "IMS rejects the credentials of a target. [shard/cn-beijing/smart]",
    }
    assert chat - pages == {"IMS job is stuck. [test/cn-shanghai/smart ASR]"}
