"""A refused TLS handshake is explained to the client, counted and logged; large and half-closed exchanges work."""

from __future__ import annotations

import asyncio
import socket
import ssl
from typing import TYPE_CHECKING

import pytest
from aiohttp import web
from structlog.testing import capture_logs

from exporter.web.client_errors import HandshakeFailures
from exporter.web.connections import Limits
from exporter.web.server import base_url, serve
from exporter.web.tls_transport import MAX_HANDSHAKE_BYTES
from tests.support.certificates import Authority
from tests.support.secured_server import client, secured, secured_app
from tests.web.test_connections import connected

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

TLS = "tls_server_config:\n  cert_file: server.crt\n  key_file: server.key\n"
MUTUAL = f"{TLS}  client_ca_file: ca.crt\n  client_auth_type: RequireAndVerifyClientCert\n"
HELLO_WITHOUT_END = b"\x16\x03\x01\x10\x00\x01\x00\x0f\xf0\x03\x03"
"""The beginning of a ClientHello that announces far more bytes than follow."""
HUGE_HELLO = b"\x16\x03\x01\x40\x00\x01\x01\xff\xf0\x03\x03"
"""The beginning of a ClientHello that announces more bytes than any client's has."""
SECONDS = 10.0


def refused(
    folder: Path, attempt: Callable[[str], Awaitable[object]], text: str = TLS, handshake_seconds: float = 10
) -> tuple[object, dict[str, int]]:
    """Returns the result of an attempt to connect, and the failed handshakes that were counted."""
    failures = HandshakeFailures()

    async def run() -> object:
        async with (
            secured(text, folder, Limits(handshake_seconds=handshake_seconds), failures) as url,
            asyncio.timeout(SECONDS),
        ):
            found = await attempt(url)
            while not sum(failures.counts.values()):  # noqa: ASYNC110 - the server is not to know of the test
                await asyncio.sleep(0.01)
            return found

    found = asyncio.run(run())
    return found, {reason: count for reason, count in failures.counts.items() if count}


def handshake(context: ssl.SSLContext) -> Callable[[str], Awaitable[str]]:
    """Returns an attempt to shake hands and to send a request; its result is the error."""

    async def attempt(url: str) -> str:
        host, port = url.removeprefix("https://").split(":")
        try:
            reader, writer = await asyncio.open_connection(host, int(port), ssl=context, server_hostname="localhost")
            writer.write(b"GET /livez HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            return (await reader.read()).decode()
        except ssl.SSLError as error:
            return str(error.reason)

    return attempt


def raw(sent: bytes, *, closes: bool = False) -> Callable[[str], Awaitable[bytes]]:
    """Returns an attempt to send bytes; its result is the response."""

    async def attempt(url: str) -> bytes:
        reader, writer = await connected(url)
        writer.write(sent)
        if closes:
            writer.close()
            return b""
        found = await reader.read()
        writer.close()
        return found

    return attempt


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    """Returns a CA that has signed a server's certificate."""
    authority = Authority(tmp_path)
    authority.server()
    return authority


def test_an_old_version(authority: Authority) -> None:
    """A client whose newest TLS is too old gets an alert that says so."""
    context = ssl.create_default_context(cafile=str(authority.cert))
    context.maximum_version = ssl.TLSVersion.TLSv1_2

    found, counts = refused(authority.folder, handshake(context), f"{TLS}  min_version: TLS13\n")

    assert found == "TLSV1_ALERT_PROTOCOL_VERSION"
    assert counts == {"version": 1}


def test_no_common_cipher(authority: Authority) -> None:
    """A client without a suite that the server permits gets an alert that says so."""
    context = ssl.create_default_context(cafile=str(authority.cert))
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers("AES128-SHA")

    found, counts = refused(authority.folder, handshake(context))

    assert found == "SSLV3_ALERT_HANDSHAKE_FAILURE"
    assert counts == {"cipher": 1}


def test_an_untrusted_client_certificate(authority: Authority) -> None:
    """A client whose certificate another CA has signed gets an alert that says so."""
    stranger = Authority(authority.folder, "other").client("stranger")
    assert authority.cert.exists()
    context = ssl.create_default_context(cafile=str(authority.cert))
    context.load_cert_chain(stranger.cert, stranger.key)

    found, counts = refused(authority.folder, handshake(context), MUTUAL)

    assert found == "TLSV1_ALERT_UNKNOWN_CA"
    assert counts == {"client_certificate": 1}


def test_an_untrusted_server(authority: Authority) -> None:
    """A client that does not trust the server is counted by the alert that it sends."""

    def attempt(url: str) -> None:
        host, port = url.removeprefix("https://").split(":")
        with socket.create_connection((host, int(port)), timeout=SECONDS) as connection:
            ssl.create_default_context().wrap_socket(connection, server_hostname="localhost")

    async def in_thread(url: str) -> None:  # asyncio's own client sends no alert
        with pytest.raises(ssl.SSLCertVerificationError):
            await asyncio.to_thread(attempt, url)

    _, counts = refused(authority.folder, in_thread)

    assert counts == {"server_certificate": 1}


def test_plain_http(authority: Authority) -> None:
    """A request in plain HTTP is answered 400 with the scheme to use."""
    found, counts = refused(authority.folder, raw(b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n"))

    assert isinstance(found, bytes)
    assert found.startswith(b"HTTP/1.1 400 ")
    assert b"use https://" in found
    assert counts == {"plain_http": 1}


@pytest.mark.parametrize(
    ("sent", "closes", "reason"),
    [
        (b"\x00" * 100, False, "other"),
        (b"SSH-2.0-x\r\n", False, "other"),
        (HELLO_WITHOUT_END, True, "closed"),
        (HELLO_WITHOUT_END, False, "timeout"),
        (HELLO_WITHOUT_END + b"a" * MAX_HANDSHAKE_BYTES, False, "other"),
        (HUGE_HELLO, False, "other"),
    ],
)
def test_no_handshake(authority: Authority, sent: bytes, closes: bool, reason: str) -> None:  # noqa: FBT001 - a case
    """Bytes that are no handshake, or only a part of one, are counted, and the connection is closed."""
    assert refused(authority.folder, raw(sent, closes=closes), handshake_seconds=0.3)[1] == {reason: 1}


def test_log_lines_are_limited() -> None:
    """Each reason is logged once a minute, with peer, error, hint and the number of lines that were suppressed."""
    now = 0.0
    failures = HandshakeFailures(lambda: now)

    with capture_logs() as lines:
        for _ in range(1000):
            failures.record("version", "unsupported protocol", "192.0.2.1")
        failures.record("closed", "", "192.0.2.2")
        now = 60.0
        failures.record("version", "unsupported protocol", "192.0.2.3")

    assert [(line["reason"], line["peer"], line["suppressed"]) for line in lines] == [
        ("version", "192.0.2.1", 0),
        ("closed", "192.0.2.2", 0),
        ("version", "192.0.2.3", 999),
    ]
    assert "min_version" in lines[0]["hint"]
    assert failures.counts["version"] == 1001


def test_a_client_that_only_connects_is_no_failure(authority: Authority) -> None:
    """A load balancer that opens and closes a connection without a byte is not counted."""
    failures = HandshakeFailures()

    async def run() -> None:
        async with secured(TLS, authority.folder, failures=failures) as url:
            _, writer = await connected(url)
            writer.close()
            async with client(authority.cert) as http:
                assert (await http.get(f"{url}/livez")).status_code == 200

    asyncio.run(run())

    assert not sum(failures.counts.values())


def test_large_responses_and_many_requests(authority: Authority) -> None:
    """A response of many TLS records arrives whole, and one connection serves many requests."""
    body = bytes(range(256)) * 20_000

    async def large(_: web.Request) -> web.Response:
        return web.Response(body=body)

    async def run() -> list[bytes]:
        app = secured_app()
        app.router.add_get("/large", large)
        (authority.folder / "web.yml").write_text(TLS)
        runner, _ = await serve(app, "127.0.0.1", 0, str(authority.folder / "web.yml"))
        try:
            async with client(authority.cert) as http:
                return [(await http.get(f"{base_url(runner)}{path}")).content for path in ["/large", "/livez"] * 3]
        finally:
            await runner.cleanup()

    assert asyncio.run(run()) == [body, b"ok\n"] * 3


def test_an_unread_response_is_aborted(authority: Authority) -> None:
    """A client that reads nothing of a large response is disconnected, also where TLS has encrypted it."""

    async def large(_: web.Request) -> web.Response:
        return web.Response(body=b"x" * 50_000_000)

    async def run() -> int:
        app = secured_app()
        app.router.add_get("/large", large)
        (authority.folder / "web.yml").write_text(TLS)
        limits = Limits(response_seconds=0.3)
        runner, (host, port) = await serve(app, "127.0.0.1", 0, str(authority.folder / "web.yml"), limits)
        context = ssl.create_default_context(cafile=str(authority.cert))
        try:
            reader, writer = await asyncio.open_connection(
                host, port, ssl=context, server_hostname="localhost", limit=1024
            )
            writer.write(b"GET /large HTTP/1.1\r\nHost: a\r\n\r\n")
            await reader.read(1)  # no more: beyond its limit the client reads nothing
            async with asyncio.timeout(SECONDS):
                while runner.server and runner.server.connections:  # noqa: ASYNC110 - as above
                    await asyncio.sleep(0.05)
            writer.transport.abort()
            return len(runner.server.connections) if runner.server else -1
        finally:
            await runner.cleanup()

    assert asyncio.run(run()) == 0


def test_a_half_closed_client(authority: Authority) -> None:
    """A client that ends its side of the TLS session after a request gets the response."""
    context = ssl.create_default_context(cafile=str(authority.cert))

    async def run() -> bytes:
        async with secured(TLS, authority.folder) as url, asyncio.timeout(SECONDS):
            return await asyncio.to_thread(exchange_half_closed, url, context)

    assert asyncio.run(run()).endswith(b"ok\n")


def exchange_half_closed(url: str, context: ssl.SSLContext) -> bytes:
    """Sends a request and TLS's notice of the end in one packet; returns the response."""
    host, port = url.removeprefix("https://").split(":")
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = context.wrap_bio(incoming, outgoing, server_hostname="localhost")
    with socket.create_connection((host, int(port)), timeout=SECONDS) as connection:
        while True:
            try:
                tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                connection.sendall(outgoing.read())
                incoming.write(connection.recv(65536))
        tls.write(b"GET /livez HTTP/1.1\r\nHost: a\r\n\r\n")
        with pytest.raises(ssl.SSLWantReadError):
            tls.unwrap()
        connection.sendall(outgoing.read())
        connection.shutdown(socket.SHUT_WR)
        while data := connection.recv(65536):
            incoming.write(data)
    found = b""
    while True:
        try:
            data = tls.read(65536)
        except (ssl.SSLWantReadError, ssl.SSLZeroReturnError):
            return found
        if not data:
            return found
        found += data
