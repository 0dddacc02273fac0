"""Clients reach a host as the environment says, by proxy or directly, and read no more of an answer than allowed."""

from __future__ import annotations

import asyncio
import gzip
import ssl
import tracemalloc
from typing import TYPE_CHECKING

import httpx
import pytest
from aiohttp import web

from exporter.errors import ApiError, BadResponseError, NetworkError, SettingsError
from exporter.ims.http import EndpointPool, endpoint_pool, network_of, read_body, translated, trust_store
from tests.support.certificates import Authority
from tests.support.dead_endpoint import dead_endpoint

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

CANARY = "canary0secret"
MIB = 1024 * 1024


def with_proxy(scenario: Callable[[str, list[tuple[str, str]]], Awaitable[None]]) -> None:
    """Runs a scenario with a proxy, which answers itself; it records URL and authorization of each request."""
    seen: list[tuple[str, str]] = []

    async def answer(request: web.Request) -> web.Response:
        seen.append((str(request.url), request.headers.get("Proxy-Authorization", "")))
        return web.Response(text="by proxy")

    async def run() -> None:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", answer)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            await scenario(f"127.0.0.1:{runner.addresses[0][1]}", seen)
        finally:
            await runner.cleanup()

    asyncio.run(run())


async def fetch(pool: EndpointPool) -> bytes:
    """Returns the body of an answer."""
    response = await pool.send(pool.request("GET", "a=b", httpx.Headers()))
    return await read_body(response, 1000)


def test_a_proxy_is_used_with_its_password(monkeypatch: pytest.MonkeyPatch) -> None:
    """A call goes by the proxy that the given environment names, with its password; the process's own is ignored."""
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")

    async def scenario(address: str, seen: list[tuple[str, str]]) -> None:
        network = network_of({"HTTP_PROXY": f"http://user:a#b/c?d@{address}"})
        async with endpoint_pool("http://ice.example", 5, network) as pool:
            body = await fetch(pool)
        assert body == b"by proxy"
        assert seen == [("http://ice.example/?a=b", "Basic dXNlcjphI2IvYz9k")]

    with_proxy(scenario)


def test_errors_name_the_proxy() -> None:
    """The error of a call by a proxy that cannot be reached names it and its variable, without the password."""

    async def scenario(url: str) -> None:
        network = network_of({"HTTPS_PROXY": url.replace("://", f"://user:{CANARY}@")})
        proxy = network.proxies.for_url("https://ice.example")
        async with endpoint_pool("https://ice.example", 5, network) as pool:
            with pytest.raises(NetworkError) as caught, translated(proxy):
                await fetch(pool)
        assert f", by the proxy {url} (HTTPS_PROXY)" in str(caught.value)
        assert "NO_PROXY" in caught.value.hint
        assert CANARY not in str(caught.value) + caught.value.hint

    with dead_endpoint() as url:
        asyncio.run(scenario(url))


def read(body: bytes, encoding: str, maximum: int = MIB) -> bytes:
    """Returns what is read of an answer with this body."""

    async def chunks() -> AsyncIterator[bytes]:
        for start in range(0, len(body), 1000):
            yield body[start : start + 1000]

    async def run() -> bytes:
        headers = {"content-encoding": encoding} if encoding else {}
        transport = httpx.MockTransport(lambda _: httpx.Response(200, content=chunks(), headers=headers))
        async with httpx.AsyncClient(transport=transport) as client, client.stream("GET", "http://x") as answer:
            return await read_body(answer, maximum)

    return asyncio.run(run())


def test_one_layer_of_gzip() -> None:
    """An answer may be plain or packed once, by whoever packed it though that was not asked for."""
    assert read(b"plain", "") == read(b"plain", "identity") == b"plain"
    assert read(gzip.compress(b"packed"), "gzip") == b"packed"


@pytest.mark.parametrize(
    ("body", "encoding", "code"),
    [
        (gzip.compress(gzip.compress(b" " * MIB)), "gzip, gzip", "BadEncoding"),
        (b"x", "br", "BadEncoding"),
        (b"x" * (MIB + 1), "", "BodyTooLarge"),
        (gzip.compress(b" " * (MIB + 1)), "gzip", "BodyTooLarge"),
        (b"no gzip", "gzip", "DecodingError"),
    ],
    ids=["two layers", "unknown", "large", "large when unpacked", "no gzip"],
)
def test_refused_bodies(body: bytes, encoding: str, code: str) -> None:
    """Several layers, unknown encodings and more bytes than allowed are refused, packed or not."""
    with pytest.raises(BadResponseError) as caught:
        read(body, encoding)

    assert caught.value.code == code


def test_a_bomb_costs_no_memory() -> None:
    """A gigabyte in a megabyte of gzip is not unpacked beyond the maximum."""
    bomb = gzip.compress(b" " * 200 * MIB, 1)
    tracemalloc.start()
    try:
        with pytest.raises(BadResponseError):
            read(bomb, "gzip", 2 * MIB)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert peak < 8 * MIB


@pytest.mark.parametrize("variable", ["SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE"])
def test_unusable_certificates(tmp_path: Path, variable: str) -> None:
    """A missing, empty or wrong CA file or folder is an error that names the variable and the path."""
    empty, folder = tmp_path / "empty.pem", tmp_path / "folder"
    empty.touch()
    folder.mkdir()

    for path in (tmp_path / "missing", empty, folder):
        with pytest.raises(SettingsError, match=f"^{variable}: .*{path.name}"):
            trust_store({variable: str(path)})


def test_certificates_of_a_variable(tmp_path: Path) -> None:
    """The first variable that is set replaces the CA certificates of certifi; an empty one counts as not set."""
    file = Authority(tmp_path).cert

    assert len(trust_store({"SSL_CERT_FILE": str(file), "SSL_CERT_DIR": "/missing"}).get_ca_certs()) == 1
    assert len(trust_store({"SSL_CERT_FILE": "", "REQUESTS_CA_BUNDLE": str(file)}).get_ca_certs()) == 1
    assert len(trust_store({}).get_ca_certs()) > 50
    assert trust_store({"SSL_CERT_FILE": str(file)}).verify_mode is ssl.CERT_REQUIRED


def test_errors_without_a_proxy() -> None:
    """The error of a direct call names no proxy."""
    with pytest.raises(ApiError, match=r"^words$"), translated():
        raise httpx.ConnectError("words")
