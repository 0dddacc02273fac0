"""`health` finds the running exporter by its settings, and says whether it is well."""

from __future__ import annotations

import json
import os
import re
import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
import yaml

from exporter.commands.cli import health, make_parser
from exporter.commands.health import base_urls, flags_of_process, urls_of_pods
from exporter.errors import SettingsError
from exporter.web.server import make_app, make_standby_app, serve
from tests.support.certificates import Authority
from tests.support.dead_endpoint import dead_endpoint
from tests.support.real_servers import poll
from tests.support.rendered_page import PAGE_SETTINGS
from tests.support.repository import ROOT
from tests.support.scenarios import NOW, exposition_of
from tests.support.secured_server import HASH
from tests.support.simulator_thread import running_simulators

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.command_line import CommandLine


@contextmanager
def exporter(web_config: str = "", problems: tuple[str, ...] = ()) -> Iterator[int]:
    """Serves the pages of an exporter with these problems in a thread; yields the port."""
    app = make_app(
        exposition=exposition_of(),
        views=list,
        live=lambda: [*problems],
        ready=lambda: [*problems],
        page_settings=lambda: PAGE_SETTINGS,
        now=lambda: NOW,
    )
    with running_simulators() as thread:
        runner, (_, port) = thread.run(serve(app, "127.0.0.1", 0, web_config))
        try:
            yield port
        finally:
            thread.run(runner.cleanup())


def test_a_well_exporter(cli: CommandLine) -> None:
    """A running exporter is found by a flag, a variable or the file; nothing else has to be set."""
    with exporter() as port:
        by_flag = cli.run("health", "--listen-address", f"127.0.0.1:{port}")
        cli.patch.setenv("IMS_EXPORTER_LISTEN_ADDRESS", f":{port}")
        by_variable = cli.run("health", "--ready")

    assert (by_flag.code, by_flag.out) == (0, f"http://127.0.0.1:{port}/livez: 200 ok\n")
    assert (by_variable.code, by_variable.out) == (0, f"http://127.0.0.1:{port} is ready: /metrics answers 200\n")


def test_by_the_file(cli: CommandLine, tmp_path: Path) -> None:
    """A problem elsewhere in the file does not matter: the exporter runs on what the file had before."""
    with exporter() as port:
        path = tmp_path / "config.yaml"
        path.write_text(f"lookback_days: soon\nlisten_address: 127.0.0.1:{port}\n")
        ended = cli.run("health", "--config", str(path))

    assert ended.code == 0


@pytest.mark.parametrize("comment", ["", "# tls_server_config: none\n"])
def test_tls_and_passwords(cli: CommandLine, tmp_path: Path, comment: str) -> None:
    """TLS is used where the web configuration has it, whatever its comments say; no password is needed."""
    own = Authority(tmp_path).server()
    path = tmp_path / "web.yml"
    users = f"basic_auth_users:\n  alice: {HASH}\n"
    texts = {
        "http": f"{comment}{users}",
        "https": f"{comment}tls_server_config:\n  cert_file: {own.cert}\n  key_file: {own.key}\n{users}",
    }

    for scheme, text in texts.items():
        path.write_text(text)
        with exporter(str(path)) as port:
            cli.patch.setenv("IMS_EXPORTER_LISTEN_ADDRESS", f"127.0.0.1:{port}")
            ended = cli.run("health", "--web-config-file", str(path), "--ready")
            assert ended.code == 0
            assert ended.out.endswith(f"{scheme}://127.0.0.1:{port} is ready: /metrics answers 401\n")
            path.write_text("broken")
            assert cli.run("health", "--web-config-file", str(path)).code == 0


def test_an_exporter_with_a_problem(cli: CommandLine) -> None:
    """An exporter that is not well, and one that is not there, end with 1 and the reason."""
    with exporter(problems=("the poll loop of prod/cn-a hangs",)) as port:
        ended = cli.run("health", "--url", f"http://127.0.0.1:{port}/")
        waited = cli.run("health", "--url", f"http://127.0.0.1:{port}", "--ready", "--wait", "1")
    with dead_endpoint() as url:
        missing = cli.run("health", "--url", url)

    assert (ended.code, waited.code, missing.code) == (1, 1, 1)
    assert "503 the poll loop of prod/cn-a hangs" in ended.out
    assert missing.out.startswith(f"{url}/livez: ")


@pytest.mark.parametrize(
    ("address", "urls"),
    [
        ("", ["http://127.0.0.1:9912"]),
        (":1", ["http://127.0.0.1:1", "http://[::1]:1"]),
        ("[::]:1", ["http://127.0.0.1:1", "http://[::1]:1"]),
        ("[::1]:1", ["http://[::1]:1"]),
        ("10.0.0.1:1", ["http://10.0.0.1:1"]),
        ("localhost:1", ["http://localhost:1"]),
    ],
)
def test_which_address(address: str, urls: list[str]) -> None:
    """An exporter on every address is asked on loopback, any other one where it listens."""
    assert base_urls({}, {"IMS_EXPORTER_LISTEN_ADDRESS": address}) == urls


@pytest.mark.parametrize("address", ["127.0.0.1:0", "nowhere", "x:99999"])
def test_an_address_that_cannot_be_asked(address: str) -> None:
    """Port 0 and an invalid address are errors that name the place of the setting."""
    with pytest.raises(SettingsError, match=r"^IMS_EXPORTER_LISTEN_ADDRESS: "):
        base_urls({}, {"IMS_EXPORTER_LISTEN_ADDRESS": address})


@pytest.mark.process
def test_flags_of_a_process(tmp_path: Path) -> None:
    """The flags of a running exporter are read from its command line; another program has none of its own."""
    program = tmp_path / "ims-exporter"
    program.write_text("#!/bin/sh\nsleep 60\n")
    program.chmod(0o700)

    with running(str(program), "run", "--listen-address", ":1") as pid:
        assert poll(10, lambda: flags_of_process(pid), "flags") == ["run", "--listen-address", ":1"]
    with running("sleep", "60") as pid:
        assert flags_of_process(pid) == []
    with pytest.raises(SettingsError, match="cannot be read"):
        flags_of_process(2**22 + os.getpid())


@contextmanager
def running(*words: str) -> Iterator[int]:
    """Runs a program until the block ends; yields its id."""
    with subprocess.Popen(words) as process:  # noqa: S603 - of this test
        try:
            yield process.pid
        finally:
            process.kill()


def test_every_pod(cli: CommandLine) -> None:
    """With `--pods` every address of the host is asked; one that is missing or on standby is named."""
    with exporter() as port:
        url = f"http://127.0.0.1:{port}"
        good = cli.run("health", "--url", url, "--pods", "1")
        missing = cli.run("health", "--url", url, "--pods", "2")
    with standby() as port:
        waiting = cli.run("health", "--url", f"http://127.0.0.1:{port}", "--pods", "1")
        wanted = cli.run("health", "--url", f"http://127.0.0.1:{port}", "--pods", "1", "--active", "0")

    assert (good.code, good.out) == (0, f"{url} is ready: /metrics answers 200\n")
    assert (missing.code, missing.out) == (1, f"{url}: the host has 1 address(es), 2 expected\n")
    assert waiting.code == 1
    assert waiting.out.startswith("0 of 1 exporter(s) poll, 1 expected:\n")
    assert "ims-0 is the leader" in waiting.out
    assert wanted.code == 0


@contextmanager
def standby() -> Iterator[int]:
    """Serves a standby in a thread; yields the port."""
    with running_simulators() as thread:
        app = make_standby_app(exposition_of(), lambda: "ims-0 is the leader")
        runner, (_, port) = thread.run(serve(app, "127.0.0.1", 0, ""))
        try:
            yield port
        finally:
            thread.run(runner.cleanup())


def test_a_host_without_address() -> None:
    """A name that does not resolve has no pods."""
    assert urls_of_pods("http://no-such-host.invalid:9912") == []


def test_the_health_checks_that_are_shipped() -> None:
    """The health checks of the image and of Compose are a command that the exporter has."""
    (image,) = re.findall(r"^HEALTHCHECK .* CMD (\[.*\])$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    compose = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]["exporter"]["healthcheck"]["test"]

    assert json.loads(image) == compose[1:] == ["ims-exporter", "health", "--pid", "1"]
    assert make_parser().arguments(compose[2:]).command is health
