"""docs/troubleshooting.md quotes real messages of the exporter and of Prometheus."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from exporter.simulator.server import Simulator
from tests.support.command_line import CommandLine
from tests.support.dead_endpoint import dead_endpoint
from tests.support.exporter_process import environment, exporter
from tests.support.guides import blocks, headings
from tests.support.real_servers import READY_SECONDS, poll, prometheus
from tests.support.simulator_thread import running_simulators
from tests.support.troubleshooting_cases import KEY, SYMPTOMS, Place
from tests.web.test_prometheus import NO_SERVICE, listening_at, scrape_config, targets, web_file

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

GUIDE = "troubleshooting.md"
BY_PROMETHEUS = "Prometheus shows the target down"


@pytest.fixture
def place(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Iterator[Place]:
    """Yields a command line in an empty folder with a simulated service."""
    cli = CommandLine(monkeypatch, capsys)
    cli.prepare(tmp_path)
    service = Simulator(keys=[KEY])
    with running_simulators(service):
        cli.target(service.url, KEY, poll_interval_seconds=0.1)
        yield Place(cli, service, tmp_path)


def quoted(heading: str) -> list[str]:
    """Returns the lines that the page quotes under a heading."""
    found = [block.text for block in blocks(GUIDE, "text") if block.heading == heading]
    return [line for text in found for line in text.splitlines()]


def missing(lines: list[str], output: str) -> list[str]:
    """Returns the quoted lines that the output lacks; `...` matches any text within a line."""
    patterns = {line: ".*?".join(map(re.escape, line.split("..."))) for line in lines}
    return [line for line, pattern in patterns.items() if not re.search(pattern, output)]


def test_every_quotation_has_a_case() -> None:
    """The tests below cover every heading with a quotation."""
    assert {block.heading for block in blocks(GUIDE, "text")} == {*SYMPTOMS, BY_PROMETHEUS}
    assert headings(GUIDE) == set()


@pytest.mark.process
@pytest.mark.parametrize("heading", SYMPTOMS)
def test_quotations_match_the_output(heading: str, place: Place) -> None:
    """The exporter prints every line that the page quotes under the heading."""
    said = SYMPTOMS[heading](place)

    assert missing(quoted(heading), said) == [], said


@pytest.mark.tools
def test_quotations_match_prometheus(tmp_path: Path) -> None:
    """A real Prometheus reports the quoted errors, in their order, for the causes that the page lists."""
    plain, secured = tmp_path / "plain", tmp_path / "secured"
    plain.mkdir()
    secured.mkdir()
    env = environment(secured, endpoint=NO_SERVICE, web_config_file=web_file(secured))
    with (
        exporter(environment(plain, endpoint=NO_SERVICE), tmp_path / "plain.log") as one,
        exporter(env, tmp_path / "secured.log") as other,
        dead_endpoint() as nobody,
    ):
        config = scrape_config(secured, listening_at(other).removeprefix("https://"))
        jobs = mistakes(yaml.safe_load(config)["scrape_configs"], listening_at(one), nobody)
        text = yaml.safe_dump({**yaml.safe_load(config), "scrape_configs": jobs})
        with prometheus(text, tmp_path) as server:
            poll(READY_SECONDS, lambda: len(targets(server)) == len(jobs), "all scraped")
            errors = targets(server)

    said = [errors[job["job_name"]] for job in jobs]
    assert len(said) == len(quoted(BY_PROMETHEUS))
    assert [missing([line], text) for line, text in zip(quoted(BY_PROMETHEUS), said, strict=True)] == [[]] * len(said)


def mistakes(documented: list[dict[str, Any]], plain_url: str, nobody: str) -> list[dict[str, Any]]:
    """Returns one misconfigured scrape job per cause, in the order of the page."""
    good, no_password, no_certificate = documented
    tls = good["tls_config"]
    no_ca = {name: value for name, value in tls.items() if name != "ca_file"}
    return [
        {**static(nobody), "job_name": "nobody"},
        {**static(plain_url), "job_name": "no TLS there", "scheme": "https"},
        {"job_name": "TLS there", "static_configs": good["static_configs"]},
        {**good, "job_name": "no CA", "tls_config": no_ca},
        {**good, "job_name": "other name", "tls_config": {**tls, "server_name": "other.example"}},
        no_password,
        no_certificate,
    ]


def static(url: str) -> dict[str, Any]:
    """Returns the static configuration of a scrape job."""
    return {"static_configs": [{"targets": [url.removeprefix("http://")]}]}
