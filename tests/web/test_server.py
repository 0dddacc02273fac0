"""The HTTP server answers as promised: formats, probes, an escaped page, and it stops at once."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import httpx
import pytest
from aiohttp import web

from exporter.errors import SettingsError
from exporter.jobs.snapshot import PollKey, TargetView
from exporter.metrics.exposition import TEXT
from exporter.web.server import make_app, serve
from tests.support.rendered_page import PAGE_SETTINGS
from tests.support.scenarios import ACCEPT, BUSY, DOWN, EMPTY, FORMATS, KEY, NOW, UP, exposition_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable


SCRIPT = "<script>alert('x')</script>"
VIEWS = (TargetView(KEY, BUSY, UP),)


def app_of(
    *views: TargetView,
    live: Callable[[], list[str]] = list,
    ready: Callable[[], list[str]] = list,
) -> web.Application:
    """Returns the application over the views."""
    return make_app(
        exposition=exposition_of(*views),
        views=lambda: views,
        live=live,
        ready=ready,
        page_settings=lambda: PAGE_SETTINGS,
        now=lambda: NOW,
    )


@asynccontextmanager
async def served(app: web.Application) -> AsyncIterator[httpx.AsyncClient]:
    """Serves the application on a free port of the loopback, and stops it."""
    runner, (host, port) = await serve(app, "127.0.0.1", 0)
    try:
        async with httpx.AsyncClient(base_url=f"http://{host}:{port}", trust_env=False) as client:
            yield client
    finally:
        await runner.cleanup()


def request(app: web.Application, path: str, method: str = "GET", **headers: str) -> httpx.Response:
    """Makes one request of a served application."""

    async def make() -> httpx.Response:
        async with served(app) as client:
            sent = {name.replace("_", "-"): value for name, value in headers.items()}
            return await client.request(method, path, headers=sent)

    return asyncio.run(make())


HANGING = web.AppKey("HANGING", asyncio.Event)


async def hang(request: web.Request) -> web.Response:
    """Never answers."""
    request.app[HANGING].set()
    await asyncio.Event().wait()
    return web.Response()


@pytest.mark.parametrize("suffix", ACCEPT)
def test_metrics_are_the_exposition(suffix: str) -> None:
    """/metrics shows the exposition in the format that Accept asks for."""
    body = exposition_of(*VIEWS).page(FORMATS[suffix])

    response = request(app_of(*VIEWS), "/metrics", accept=ACCEPT[suffix], accept_encoding="identity")

    assert (response.status_code, response.content) == (200, body)
    assert response.headers["content-type"] == FORMATS[suffix].content_type
    assert "content-encoding" not in response.headers
    assert response.headers["vary"] == "Accept, Accept-Encoding"


def test_metrics_are_compressed_on_demand() -> None:
    """A client that accepts gzip gets it."""
    plain = exposition_of(*VIEWS).page(TEXT)

    response = request(app_of(*VIEWS), "/metrics", accept_encoding="gzip, deflate")

    assert response.headers["content-encoding"] == "gzip"
    assert int(response.headers["content-length"]) < len(plain) / 5
    assert response.content == plain


@pytest.mark.parametrize("path", ["/", "/failures", "/targets", "/metrics", "/livez", "/readyz", "/healthz"])
def test_head_is_get_without_a_body(path: str) -> None:
    """HEAD gives the headers of GET and no body."""
    got = request(app_of(*VIEWS), path)

    head = request(app_of(*VIEWS), path, "HEAD")

    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-type"] == got.headers["content-type"]
    assert head.headers["content-length"] == got.headers["content-length"]


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/healthz"])
def test_probes_are_ok(path: str) -> None:
    """A probe with nothing wrong answers `ok`."""
    response = request(app_of(), path)

    assert (response.status_code, response.text) == (200, "ok\n")
    assert response.headers["content-type"] == "text/plain; charset=utf-8"


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("/livez", "the poller of a b stands still\n"),
        ("/healthz", "the poller of a b stands still\n"),
        ("/readyz", "one\ntwo\n"),
    ],
)
def test_probes_name_every_problem(path: str, text: str) -> None:
    """A probe that fails answers 503 and one line for each problem."""
    app = app_of(live=lambda: ["the poller of a\nb stands still"], ready=lambda: ["one", "two"])

    response = request(app, path)

    assert (response.status_code, response.text) == (503, text)


def test_probes_ask_at_every_request() -> None:
    """A probe recovers as soon as the problem is gone."""
    problems = ["not yet"]

    async def ask() -> list[int]:
        async with served(app_of(ready=lambda: problems)) as client:
            before = (await client.get("/readyz")).status_code
            problems.clear()
            return [before, (await client.get("/readyz")).status_code]

    assert asyncio.run(ask()) == [503, 200]


def test_unknown_path_names_the_known_ones() -> None:
    """An unknown path gets 404 and, in plain text, what there is, paths added later included."""
    app = app_of()
    app.router.add_get("/later", hang)

    response = request(app, "/nope<script>")

    assert response.status_code == 404
    assert response.headers["content-type"] == "text/plain; charset=utf-8"
    assert response.text == "not found; there is /, /failures, /healthz, /later, /livez, /metrics, /readyz, /targets\n"


def test_other_methods_are_refused() -> None:
    """Nothing here takes a POST."""
    response = request(app_of(), "/metrics", "POST")

    assert response.status_code == 405
    assert response.headers["allow"] == "GET,HEAD"


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/"), ("GET", "/failures"), ("GET", "/metrics"), ("GET", "/no"), ("PUT", "/")]
)
def test_every_answer_carries_the_security_headers(method: str, path: str) -> None:
    """Every answer forbids sniffing, referrers and all content but the page's own style."""
    headers = request(app_of(*VIEWS), path, method).headers

    assert headers["content-security-policy"].startswith("default-src 'none'; style-src 'sha256-")
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert "aiohttp" not in headers["server"]


def test_page_is_served_as_html() -> None:
    """The status page links what can be read, and sends what UTF-8 cannot carry in an escaped form."""
    evil = f"{SCRIPT}\ud800"

    response = request(app_of(TargetView(PollKey(evil, "r", "smart"), EMPTY, DOWN)), "/")

    assert (response.status_code, response.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert SCRIPT not in response.text
    for path in ("/metrics", "/livez", "/readyz", "/healthz", "/failures", "/targets"):
        assert f'href="{path}"' in response.text


def test_pages_answer_what_was_asked() -> None:
    """A page sees query and Accept: filters, JSON for those who prefer it, 400 for what cannot be meant."""
    app = app_of(*VIEWS)

    found = request(app, "/failures?account=prod", accept="application/json")
    refused = request(app_of(*VIEWS), "/failures?limit=many")

    assert (found.status_code, found.headers["content-type"]) == (200, "application/json; charset=utf-8")
    assert found.headers["vary"] == "Accept"
    assert found.json()["failures"] == []
    assert (refused.status_code, refused.headers["content-type"]) == (400, "text/plain; charset=utf-8")


def test_stops_at_once_with_connections_open() -> None:
    """Stopping takes less than two seconds, though clients keep connections open or a request hangs."""

    async def stop() -> float:
        app = app_of(*VIEWS)
        app[HANGING] = asyncio.Event()
        app.router.add_get("/hang", hang)
        runner, (host, port) = await serve(app, "127.0.0.1", 0)
        async with httpx.AsyncClient(base_url=f"http://{host}:{port}", trust_env=False) as client:
            await client.get("/livez")
            hanging = asyncio.create_task(client.get("/hang"))
            await asyncio.wait_for(app[HANGING].wait(), 5)
            started = time.monotonic()
            await runner.cleanup()
            seconds = time.monotonic() - started
            with pytest.raises(httpx.TransportError):
                await hanging
        return seconds

    assert asyncio.run(stop()) < 2


def test_taken_port_is_a_setting_to_change() -> None:
    """A port in use ends in an error that names the address and the setting."""

    async def serve_twice() -> str:
        runner, (host, port) = await serve(app_of(), "127.0.0.1", 0)
        try:
            with pytest.raises(SettingsError) as caught:
                await serve(app_of(), host, port)
        finally:
            await runner.cleanup()
        return str(caught.value).replace(str(port), "PORT")

    message = asyncio.run(serve_twice())

    assert message.startswith("cannot listen on 127.0.0.1:PORT (")
    assert message.endswith("): set another listen_address")
    assert "in use" in message
