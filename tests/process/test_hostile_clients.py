"""Hostile clients do not end the exporter at the memory limit of the chart, and keep nobody else waiting."""

from __future__ import annotations

import asyncio
import re
import statistics
import time
from typing import TYPE_CHECKING

import httpx
import pytest
import yaml

from tests.support.attacks import UNFINISHED_HEAD, UNFINISHED_HELLO, held, open_sessions, open_silent
from tests.support.certificates import Authority
from tests.support.exporter_process import Exporter, environment, exporter
from tests.support.memory_limit import chart_limit_bytes, memory_limit
from tests.support.real_servers import READY_SECONDS, poll
from tests.support.secured_server import HASH, PASSWORD, client

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.memory_limit import MemoryLimit

pytestmark = pytest.mark.process

NO_SERVICE = "http://127.0.0.1:9"
SECURED = f"tls_server_config:\n  cert_file: server.crt\n  key_file: server.key\nbasic_auth_users: {{alice: {HASH}}}\n"
CONNECTIONS = 1000
"""Twice the maximum number of connections."""
TARGETS = [
    {"account": f"account-{number}", "region_id": region_id, "endpoint": NO_SERVICE}
    for number in range(50)
    for region_id in ("cn-beijing", "cn-hangzhou", "cn-shanghai", "cn-shenzhen", "ap-southeast-1", "us-west-1")
]
"""300 targets."""
MAX_MEDIAN_SECONDS = 0.05
MAX_USAGE = 0.9
"""Maximum share of the memory limit that may be used."""


def address_of(started: Exporter) -> tuple[str, int]:
    """Waits until the exporter listens; returns its address."""
    url = str(poll(READY_SECONDS, lambda: started.events("listening"), f"it listens; see {started.log}")[0]["url"])
    host, port = re.sub("^https?://", "", url).split(":")
    return host, int(port)


def check_alive(started: Exporter, limit: MemoryLimit) -> None:
    """Fails if the exporter has ended, has logged a traceback, or has come near the limit."""
    log = started.log.read_text()
    assert started.process.poll() is None, log[-2000:]
    assert "Traceback" not in log
    assert sum(len(line) for line in log.splitlines() if '"event": "poll"' not in line) < 20_000
    assert limit.peak_bytes < MAX_USAGE * chart_limit_bytes(), f"{limit.peak_bytes / 2**20:.0f} MiB"


def test_memory_with_tls(tmp_path: Path) -> None:
    """Handshakes and heads that stop, and probes whose answers nobody reads, at once, cost far less than the limit."""
    authority = Authority(tmp_path)
    authority.server()
    (tmp_path / "web.yml").write_text(SECURED)
    env = environment(tmp_path, endpoint=NO_SERVICE, web_config_file=tmp_path / "web.yml")

    async def attack(address: tuple[str, int]) -> list[int]:
        url = f"https://127.0.0.1:{address[1]}"
        async with client(authority.cert, password=PASSWORD) as http:
            statuses = [(await http.get(f"{url}/metrics")).status_code]
        hellos = await open_silent(address, CONNECTIONS, UNFINISHED_HELLO)
        sessions = await open_sessions(address, CONNECTIONS, UNFINISHED_HEAD)
        probes = await open_sessions(address, CONNECTIONS, b"GET /livez HTTP/1.1\r\nHost: a\r\n\r\n" * 32)
        async with held(hellos, sessions, probes):
            for path in ("/livez", "/metrics"):
                async with client(authority.cert, password=PASSWORD) as http:
                    statuses.append((await http.get(f"{url}{path}")).status_code)
        return statuses

    with memory_limit(chart_limit_bytes()) as limit, exporter(env, tmp_path / "log") as started:
        limit.add(started.process.pid)
        statuses = asyncio.run(attack(address_of(started)))
        check_alive(started, limit)

    assert statuses == [200, 200, 200]


def test_memory_without_tls(tmp_path: Path) -> None:
    """Large pages and expositions of 300 targets that nobody reads cost less than the limit."""
    (tmp_path / "config.yml").write_text(yaml.safe_dump({"targets": TARGETS}))
    env = environment(tmp_path, config=tmp_path / "config.yml", poll_interval_seconds=60)

    async def attack(address: tuple[str, int]) -> list[int]:
        url = f"http://127.0.0.1:{address[1]}"
        pages = await open_silent(address, CONNECTIONS, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        scrapes = await open_silent(address, CONNECTIONS, b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n")
        heads = await open_silent(address, CONNECTIONS, UNFINISHED_HEAD)
        statuses = []
        async with held(pages, scrapes, heads):
            for path in ("/livez", "/metrics", "/"):
                async with httpx.AsyncClient(trust_env=False, timeout=30) as http:
                    statuses.append((await http.get(f"{url}{path}")).status_code)
        return statuses

    with memory_limit(chart_limit_bytes()) as limit, exporter(env, tmp_path / "log") as started:
        limit.add(started.process.pid)
        statuses = asyncio.run(attack(address_of(started)))
        check_alive(started, limit)

    assert statuses == [200, 200, 200]


async def seconds_of(address: tuple[str, int], path: str) -> float:
    """Returns the seconds that a request takes, on a connection of its own."""
    started = time.monotonic()
    reader, writer = await asyncio.open_connection(*address)
    try:
        writer.write(f"GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".encode())
        assert b" 200 " in (await reader.read())[:20]
    finally:
        writer.transport.abort()
    return time.monotonic() - started


@pytest.mark.parametrize("path", ["/", "/failures", "/metrics"])
def test_large_responses_do_not_delay_probes(path: str, tmp_path: Path) -> None:
    """While 20 clients load a page of 300 targets without a pause, half of the probes are answered within 50 ms.

    More is allowed on a machine that is too busy to answer a probe at once without these clients.
    """
    (tmp_path / "config.yml").write_text(yaml.safe_dump({"targets": TARGETS}))
    env = environment(tmp_path, config=tmp_path / "config.yml", poll_interval_seconds=60)

    async def load(address: tuple[str, int]) -> None:
        while True:
            await seconds_of(address, path)

    async def median_of_probes(address: tuple[str, int]) -> float:
        seconds = []
        for _ in range(40):
            seconds.append(await seconds_of(address, "/livez"))
            await asyncio.sleep(0.05)
        return statistics.median(seconds)

    async def measure(address: tuple[str, int]) -> tuple[float, float]:
        before = await median_of_probes(address)
        clients = [asyncio.create_task(load(address)) for _ in range(20)]
        during = await median_of_probes(address)
        for each in clients:
            each.cancel()
        await asyncio.gather(*clients, return_exceptions=True)
        return before, during

    with exporter(env, tmp_path / "log") as started:
        before, during = asyncio.run(measure(address_of(started)))

    assert during < MAX_MEDIAN_SECONDS + 5 * before, (before, during)
