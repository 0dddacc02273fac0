"""A real Prometheus scrapes the exporter as documented: over TLS, with a client certificate and a password."""

from __future__ import annotations

import re
import shutil
from typing import TYPE_CHECKING

import pytest
import yaml

from tests.support.certificates import Authority
from tests.support.exporter_process import Exporter, environment, exporter, refused_start
from tests.support.real_servers import READY_SECONDS, Server, poll, prometheus
from tests.support.repository import ROOT
from tests.support.secured_server import HASH, PASSWORD

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

DOCUMENT = (ROOT / "docs" / "web-security.md").read_text(encoding="utf-8")
NO_SERVICE = "http://127.0.0.1:9"
"""An endpoint without a service: these tests need no jobs."""


def example(name: str) -> str:
    """Returns the example in the document whose first line is the name of its file."""
    found = re.search(rf"```yaml\n# {re.escape(name)}\n(.*?)```", DOCUMENT, re.DOTALL)
    assert found, name
    return found[1]


def web_file(folder: Path) -> Path:
    """Writes the documented file, with another hash, and the certificates that it names; returns its path."""
    authority, clients = Authority(folder), Authority(folder, "clients")
    authority.server()
    clients.client()
    assert authority.cert.exists()
    shutil.copy(clients.cert, folder / "clients-ca.crt")
    path = folder / "web.yml"
    path.write_text(re.sub(r"\$2y\$\S+", lambda _: HASH, example("web.yml")))
    return path


def scrape_config(folder: Path, address: str) -> str:
    """Returns the documented scrape job for this exporter, and two more without password and without certificate."""
    text = example("prometheus.yml").replace("exporter.example:9912", address)
    job = yaml.safe_load(text.replace("/etc/prometheus", str(folder)))["scrape_configs"][0]
    (folder / "password").write_text(PASSWORD)
    without_password = {**job, "job_name": "no-password"}
    del without_password["basic_auth"]
    tls = {name: value for name, value in job["tls_config"].items() if name not in {"cert_file", "key_file"}}
    without_certificate = {**job, "job_name": "no-certificate", "tls_config": tls}
    return yaml.safe_dump(
        {
            "global": {"scrape_interval": "500ms", "scrape_timeout": "400ms"},
            "scrape_configs": [job, without_password, without_certificate],
        }
    )


def listening_at(started: Exporter) -> str:
    """Waits until the exporter listens, and returns its base URL from the log."""
    lines = poll(READY_SECONDS, lambda: started.events("listening"), f"it listens; see {started.log}")
    return str(lines[0]["url"])


def targets(server: Server) -> Mapping[str, str]:
    """Returns the last error of each scrape job; empty after a successful scrape."""
    active = server.get("/api/v1/targets?state=active")["data"]["activeTargets"]
    return {each["labels"]["job"]: each["lastError"] for each in active if each["health"] != "unknown"}


@pytest.mark.tools
def test_prometheus_scrapes_over_mutual_tls_with_a_password(tmp_path: Path) -> None:
    """With the documented files Prometheus gets the metrics; without password or certificate it is refused."""
    env = environment(tmp_path, endpoint=NO_SERVICE, web_config_file=web_file(tmp_path))
    with exporter(env, tmp_path / "exporter.log") as started:
        url = listening_at(started)
        with prometheus(scrape_config(tmp_path, url.removeprefix("https://")), tmp_path) as server:
            poll(READY_SECONDS, lambda: server.query('ims_exporter_build_info{job="ims"}'), "the metrics are there")
            errors = poll(READY_SECONDS, lambda: targets(server) if len(targets(server)) == 3 else None, "all scraped")

    assert url.startswith("https://127.0.0.1:")
    assert errors == {
        "ims": "",
        "no-password": "server returned HTTP status 401 Unauthorized",
        "no-certificate": "server returned HTTP status 403 Forbidden",
    }


@pytest.mark.process
@pytest.mark.parametrize("text", ["basic_auth_users: {alice: hunter2}\nrate_limt: {}\n", "tls_server_config: ["])
def test_an_invalid_file_at_the_start(text: str, tmp_path: Path) -> None:
    """An invalid web configuration ends the start with exit code 2; the message has its problems and no secrets."""
    path = tmp_path / "web.yml"
    path.write_text(text)

    code, output = refused_start(environment(tmp_path, endpoint=NO_SERVICE, web_config_file=path))

    assert code == 2
    assert str(path) in output
    assert ("basic_auth_users.alice: must be a bcrypt hash" in output) == ("alice" in text)
    assert "hunter2" not in output
    assert "Traceback" not in output
