"""Slow, silent or many clients cost little, are disconnected in time, and never prevent a scrape."""

from __future__ import annotations

import asyncio
import ssl
import time
from contextlib import suppress
from typing import TYPE_CHECKING, TypeVar

import httpx
import pytest
from aiohttp import web
from structlog.testing import capture_logs

from exporter.web.connections import HALF_CLOSED_SECONDS, Limits
from exporter.web.server import base_url, serve
from tests.support.certificates import Authority
from tests.support.secured_server import HASH, client, secured, secured_app

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

Value = TypeVar("Value")
SHORT = Limits(handshake_seconds=0.3, head_seconds=0.3, response_seconds=0.3, idle_seconds=60)
TLS = "tls_server_config:\n  cert_file: server.crt\n  key_file: server.key\n"
DEADLINE = 10.0


async def connected(url: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Opens a TCP connection."""
    parts = httpx.URL(url)
    return await asyncio.open_connection(parts.host, parts.port)


async def seconds_until_closed(reader: asyncio.StreamReader, since: float) -> float:
    """Returns the seconds from a moment until the server has closed the connection."""
    async with asyncio.timeout(DEADLINE):
        try:
            while await reader.read(65536):
                pass
        except ConnectionError:
            pass
    return time.monotonic() - since


def with_limits(limits: Limits, folder: Path, scenario: Callable[[str], Awaitable[Value]], text: str = "") -> Value:
    """Runs `scenario` with the URL of a server with these limits; returns its result."""

    async def run() -> Value:
        async with secured(text, folder, limits) as url:
            return await scenario(url)

    return asyncio.run(run())


@pytest.mark.parametrize("sent", [b"", b"GET /metrics HTTP/1.1\r\nHost: a\r\n"])
def test_an_incomplete_head(sent: bytes, tmp_path: Path) -> None:
    """A client that sends nothing, or only a part of a head, is disconnected after `head_seconds`."""

    async def scenario(url: str) -> float:
        since = time.monotonic()
        reader, writer = await connected(url)
        writer.write(sent)
        found = await seconds_until_closed(reader, since)
        writer.close()
        return found

    assert 0.2 < with_limits(SHORT, tmp_path, scenario) < 5


def test_one_byte_at_a_time(tmp_path: Path) -> None:
    """A client that sends single bytes gains no time, even after an earlier good request."""

    async def scenario(url: str) -> tuple[bytes, float]:
        reader, writer = await connected(url)
        writer.write(b"GET /livez HTTP/1.1\r\nHost: a\r\n\r\n")
        first = await reader.readuntil(b"ok\n")
        since = time.monotonic()
        cut = asyncio.create_task(seconds_until_closed(reader, since))
        writer.write(b"GET /livez HTTP/1.1\r\n")
        while not cut.done() and time.monotonic() - since < DEADLINE:
            writer.write(b"a")
            await asyncio.wait([cut], timeout=0.02)
        writer.close()
        return first[:15], await cut

    first, seconds = with_limits(SHORT, tmp_path, scenario)

    assert first == b"HTTP/1.1 200 OK"
    assert 0.2 < seconds < 5


def test_idle_connections_stay_open(tmp_path: Path) -> None:
    """Between two scrapes a connection stays open for longer than any step of a request may take."""

    async def scenario(url: str) -> bytes:
        reader, writer = await connected(url)
        for _ in range(2):
            writer.write(b"GET /livez HTTP/1.1\r\nHost: a\r\n\r\n")
            found = await reader.readuntil(b"ok\n")
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(reader.read(1), 4 * SHORT.response_seconds)
        writer.close()
        return found[:15]

    assert with_limits(SHORT, tmp_path, scenario) == b"HTTP/1.1 200 OK"


def test_an_unread_response() -> None:
    """A client that does not read a large response is disconnected, which frees its memory."""

    async def much(_: web.Request) -> web.Response:
        return web.Response(body=b"x" * 50_000_000)

    async def run() -> float:
        app = secured_app()
        app.router.add_get("/much", much)
        runner, _ = await serve(app, "127.0.0.1", 0, limits=SHORT)
        try:
            reader, writer = await connected(base_url(runner))
            since = time.monotonic()
            writer.write(b"GET /much HTTP/1.1\r\nHost: a\r\n\r\n")
            while len(runner.server.connections if runner.server else []) and time.monotonic() - since < DEADLINE:
                await asyncio.wait([asyncio.create_task(reader.read(1))], timeout=0.05)
            writer.close()
            return time.monotonic() - since
        finally:
            await runner.cleanup()

    assert asyncio.run(run()) < 5


def test_a_handler_that_hangs() -> None:
    """The connection of a handler that hangs is closed after `response_seconds`."""

    async def hang(_: web.Request) -> web.Response:
        await asyncio.Event().wait()
        return web.Response()

    async def run() -> float:
        app = secured_app()
        app.router.add_get("/hang", hang)
        runner, _ = await serve(app, "127.0.0.1", 0, limits=SHORT)
        try:
            reader, writer = await connected(base_url(runner))
            writer.write(b"GET /hang HTTP/1.1\r\nHost: a\r\n\r\n")
            found = await seconds_until_closed(reader, time.monotonic())
            writer.close()
            return found
        finally:
            await runner.cleanup()

    assert 0.2 < asyncio.run(run()) < 5


def test_an_incomplete_handshake(tmp_path: Path) -> None:
    """A client that does not complete the TLS handshake is disconnected."""
    Authority(tmp_path).server()

    async def scenario(url: str) -> float:
        reader, writer = await connected(url)
        found = await seconds_until_closed(reader, time.monotonic())
        writer.close()
        return found

    assert 0.2 < with_limits(SHORT, tmp_path, scenario, TLS) < 5


@pytest.mark.parametrize("text", ["", TLS])
def test_many_idle_connections_do_not_stop_scrapes(text: str, tmp_path: Path) -> None:
    """At the maximum, the connection that has been idle longest is closed, during the handshake and after it."""
    authority = Authority(tmp_path)
    authority.server()
    limits = Limits(max_connections=20)

    async def scenario(url: str) -> tuple[list[int], int]:
        idle = [await connected(url) for _ in range(3 * limits.max_connections)]
        async with client(authority.cert) as http:
            found = [(await http.get(f"{url}/metrics")).status_code for _ in range(3)]
        idle += [await connected(url) for _ in range(3 * limits.max_connections)]
        async with client(authority.cert) as http:
            found.append((await http.get(f"{url}/metrics")).status_code)
        async with asyncio.timeout(DEADLINE):
            cut = [reader for reader, _ in idle[: -limits.max_connections] if await reader.read(1) == b""]
        for _, writer in idle:
            writer.close()
        return found, len(cut)

    assert with_limits(limits, tmp_path, scenario, text) == ([200] * 4, 100)


def test_responding_connections_are_not_evicted() -> None:
    """A responding connection stays open; while all are responding, a new connection is refused."""
    started = asyncio.Semaphore(0)
    release = asyncio.Event()

    async def slow(_: web.Request) -> web.Response:
        started.release()
        await release.wait()
        return web.Response(text="done")

    async def run() -> tuple[int, list[str]]:
        app = secured_app()
        app.router.add_get("/slow", slow)
        runner, _ = await serve(app, "127.0.0.1", 0, limits=Limits(max_connections=3))
        url = base_url(runner)
        try:
            async with httpx.AsyncClient(trust_env=False) as http:
                running = [asyncio.create_task(http.get(f"{url}/slow")) for _ in range(3)]
                for _ in running:
                    await asyncio.wait_for(started.acquire(), DEADLINE)
                with pytest.raises(httpx.TransportError):
                    await http.get(f"{url}/livez")
                release.set()
                done = [(await each).text for each in running]
                return (await http.get(f"{url}/livez")).status_code, done
        finally:
            await runner.cleanup()

    assert asyncio.run(run()) == (200, ["done"] * 3)


@pytest.mark.parametrize(
    ("head", "answer"),
    [
        (b"GET /livez HTTP/1.1\r\nHost: a\r\n" + b"".join(b"A%d: b\r\n" % n for n in range(100)), b"400"),
        (b"GET /livez HTTP/1.1\r\nHost: a\r\nA: " + b"b" * 20_000 + b"\r\n", b"400"),
        (b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\nHost: a\r\n", b"400"),
        (b"GET /livez HTTP/1.1\r\nHost: a\r\n" + b"".join(b"A: %s\r\n" % (b"b" * 5000) for _ in range(40)), b""),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc", b"400"),
    ],
)
def test_large_or_invalid_heads(head: bytes, answer: bytes, tmp_path: Path) -> None:
    """A head that is invalid, too large, or has too many or too long lines, ends the connection."""

    async def scenario(url: str) -> bytes:
        reader, writer = await connected(url)
        writer.write(head + b"\r\n")
        async with asyncio.timeout(DEADLINE):
            try:
                found = await reader.read()
            except ConnectionError:
                found = b""
        writer.close()
        return found

    assert with_limits(Limits(), tmp_path, scenario)[9:12] == answer


def test_a_damaged_body(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A body that contradicts its Content-Encoding is refused like any body, and nothing is logged."""
    head = b"POST /livez HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Encoding: gzip\r\n\r\n"

    async def scenario(url: str) -> bytes:
        reader, writer = await connected(url)
        writer.write(head)
        found = await reader.readuntil(b"not accepted\n")
        writer.write(b"hello")
        async with asyncio.timeout(DEADLINE):
            found += await reader.read()
        writer.close()
        return found

    assert with_limits(Limits(), tmp_path, scenario)[9:12] == b"413"
    assert not caplog.records


@pytest.mark.parametrize("path", ["/livez", "/metrics", "/nothing", "/-/reload"])
@pytest.mark.parametrize("value", [b"\xff", b"100-continue", b"x" * 200, b"100-continue, \xc3\x28"])
def test_expectations_are_ignored(path: str, value: bytes, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A request with any Expect header is answered as without it, after the check of the password."""
    users = f"basic_auth_users: {{alice: {HASH}}}\n"
    status = b"200" if path == "/livez" else b"401"

    async def scenario(url: str) -> bytes:
        reader, writer = await connected(url)
        writer.write(b"GET " + path.encode() + b" HTTP/1.1\r\nHost: a\r\nExpect: " + value + b"\r\n\r\n")
        found = await reader.readuntil(b"\r\n")
        writer.close()
        return found

    assert with_limits(Limits(), tmp_path, scenario, users)[9:12] == status
    assert not caplog.records


@pytest.mark.parametrize("requests", [1, 3])
def test_half_closed_clients(requests: int, tmp_path: Path) -> None:
    """A client that closes its side after its requests, as `nc -N` does, gets all responses, and then the end."""

    async def scenario(url: str) -> bytes:
        reader, writer = await connected(url)
        writer.write(b"GET /livez HTTP/1.1\r\nHost: a\r\n\r\n" * requests)
        writer.write_eof()
        async with asyncio.timeout(DEADLINE):
            found = await reader.read()
        writer.close()
        return found

    assert with_limits(Limits(), tmp_path, scenario).count(b"\r\n\r\nok\n") == requests


def test_a_half_closed_client_that_waits() -> None:
    """A response that takes longer than the rest of the connection is not cut off by the client's end."""

    async def slow(_: web.Request) -> web.Response:
        await asyncio.sleep(2 * HALF_CLOSED_SECONDS)
        return web.Response(body=b"x" * 5_000_000)

    async def run() -> bytes:
        app = secured_app()
        app.router.add_get("/slow", slow)
        runner, _ = await serve(app, "127.0.0.1", 0)
        try:
            reader, writer = await connected(base_url(runner))
            writer.write(b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n")
            writer.write_eof()
            async with asyncio.timeout(DEADLINE):
                found = await reader.read()
            writer.close()
            return found
        finally:
            await runner.cleanup()

    assert asyncio.run(run()).endswith(b"x" * 5_000_000)


def test_a_half_closed_client_without_a_request(tmp_path: Path) -> None:
    """A client that closes its side without a request, or within one, is disconnected soon."""

    async def scenario(url: str) -> list[float]:
        found = []
        for sent in (b"", b"GET / HTTP/1.1\r\n"):
            reader, writer = await connected(url)
            writer.write(sent)
            writer.write_eof()
            found.append(await seconds_until_closed(reader, time.monotonic()))
            writer.close()
        return found

    assert max(with_limits(Limits(), tmp_path, scenario)) < 5


def test_errors_of_handlers_are_logged_once() -> None:
    """An error of the exporter is answered 500 without details; its traceback is logged once a minute."""

    async def fail(_: web.Request) -> web.Response:
        raise KeyError("canary")

    async def run() -> list[httpx.Response]:
        app = secured_app()
        app.router.add_get("/fail", fail)
        runner, _ = await serve(app, "127.0.0.1", 0)
        try:
            async with httpx.AsyncClient(trust_env=False) as http:
                return [await http.get(f"{base_url(runner)}/fail?{SECRET.decode()}") for _ in range(50)]
        finally:
            await runner.cleanup()

    with capture_logs() as lines:
        responses = asyncio.run(run())

    assert {(each.status_code, each.text) for each in responses} == {(500, "internal error: the log has the details\n")}
    assert [(line["event"], line["error"]) for line in lines] == [("request_failed", "KeyError")]
    assert SECRET.decode() not in str(lines)


def test_pipelined_requests_are_limited() -> None:
    """What a client sends while a response is made is limited like a head, so that it cannot pile up."""
    release = asyncio.Event()

    async def slow(_: web.Request) -> web.Response:
        await release.wait()
        return web.Response()

    async def run() -> int:
        app = secured_app()
        app.router.add_get("/slow", slow)
        runner, _ = await serve(app, "127.0.0.1", 0, limits=SHORT)
        sent = 0
        try:
            _, writer = await connected(base_url(runner))
            writer.write(b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n")
            with suppress(ConnectionError):
                while sent < 5_000_000:
                    writer.write(b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n" * 100)
                    sent += 3400
                    await writer.drain()
                    await asyncio.sleep(0)
            writer.close()
            return sent
        finally:
            await runner.cleanup()

    assert asyncio.run(run()) < 5_000_000


@pytest.mark.parametrize("text", ["", TLS])
def test_memory_is_limited(text: str, tmp_path: Path) -> None:
    """When responses that nobody reads exceed the limit in bytes, the oldest are closed, and scrapes go on."""
    authority = Authority(tmp_path)
    authority.server()
    (tmp_path / "web.yml").write_text(text)
    limits = Limits(max_bytes=60_000_000)

    async def large(_: web.Request) -> web.Response:
        return web.Response(body=b"x" * 30_000_000)

    async def run() -> tuple[list[int], list[int]]:
        app = secured_app()
        app.router.add_get("/large", large)
        runner, (host, port) = await serve(app, "127.0.0.1", 0, str(tmp_path / "web.yml"), limits)
        context = ssl.create_default_context(cafile=str(authority.cert)) if text else None
        name = "localhost" if text else None
        clients, open_ones, statuses = [], [], []
        try:
            async with client(authority.cert) as http:
                for _ in range(8):
                    pair = await asyncio.open_connection(host, port, ssl=context, server_hostname=name, limit=1024)
                    pair[1].write(b"GET /large HTTP/1.1\r\nHost: a\r\n\r\n")
                    await pair[0].read(1)
                    clients.append(pair)
                    statuses.append((await http.get(f"{base_url(runner)}/metrics")).status_code)
                    open_ones.append(len(runner.server.connections) if runner.server else -1)
            for _, writer in clients:
                writer.transport.abort()
            return statuses, open_ones
        finally:
            await runner.cleanup()

    statuses, open_ones = asyncio.run(run())

    assert statuses == [200] * 8
    assert max(open_ones) <= 5


SECRET = b"c2VjcmV0"


@pytest.mark.parametrize(
    "sent",
    [
        b"GET /metrics HTTP/1.1\r\nHost: a\r\nAuthorization: Basic " + SECRET + b"\x00\r\n\r\n",
        b"GET /metrics HTTP/1.1\r\nHost: a\r\nAuthorization : Basic " + SECRET + b"\r\n\r\n",
        SECRET + b" / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/9.9 " + SECRET + b"\r\n\r\n",
        b"POST /livez HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + SECRET + b"\r\n\r\n",
    ],
)
def test_invalid_requests_are_not_repeated(sent: bytes, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Neither response nor log repeats an invalid request, which may hold a password, or names the server software."""
    caplog.set_level("DEBUG")

    async def scenario(url: str) -> bytes:
        reader, writer = await connected(url)
        writer.write(sent)
        async with asyncio.timeout(DEADLINE):
            found = await reader.read()
        writer.close()
        return found

    got = with_limits(Limits(), tmp_path, scenario)

    assert got[9:12] == b"400"
    assert b"X-Content-Type-Options: nosniff" in got
    assert SECRET not in got
    assert b"aiohttp" not in got
    assert SECRET.decode() not in caplog.text
