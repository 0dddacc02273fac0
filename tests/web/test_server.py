"""The HTTP server serves metrics, probes, reload and pages, also as a standby, and stops at once."""

from __future__ import annotations

import asyncio
import errno
import socket
import threading
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from aiohttp import web

from exporter.errors import SettingsError
from exporter.jobs.snapshot import PollKey, TargetView
from exporter.metrics.exposition import TEXT
from exporter.web.pages.routes import ROUTES
from exporter.web.server import make_app, make_standby_app, serve
from tests.support.rendered_page import PAGE_SETTINGS
from tests.support.scenarios import ACCEPT, BUSY, DOWN, EMPTY, FORMATS, KEY, NOW, UP, exposition_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator


SCRIPT = "<script>alert('x')</script>"
VIEWS = (TargetView(KEY, BUSY, UP),)
PATIENCE_SECONDS = 10.0


def app_of(
    *views: TargetView,
    live: Callable[[], list[str]] = list,
    ready: Callable[[], list[str]] = list,
) -> web.Application:
    """Returns the application with these views."""
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
    """Serves the application on a free loopback port; yields a client for it."""
    runner, (host, port) = await serve(app, "127.0.0.1", 0)
    try:
        async with httpx.AsyncClient(base_url=f"http://{host}:{port}", trust_env=False) as client:
            yield client
    finally:
        await runner.cleanup()


def request(app: web.Application, path: str, method: str = "GET", **headers: str) -> httpx.Response:
    """Serves the application, and returns the response to one request."""

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


def test_metrics_with_gzip() -> None:
    """A client that accepts gzip gets it."""
    plain = exposition_of(*VIEWS).page(TEXT)

    response = request(app_of(*VIEWS), "/metrics", accept_encoding="gzip, deflate")

    assert response.headers["content-encoding"] == "gzip"
    assert int(response.headers["content-length"]) < len(plain) / 5
    assert response.content == plain


@pytest.mark.parametrize("path", ["/", "/failures", "/targets", "/metrics", "/livez", "/readyz", "/healthz"])
def test_head_is_get_without_a_body(path: str) -> None:
    """HEAD returns the headers of GET without a body."""
    got = request(app_of(*VIEWS), path)

    head = request(app_of(*VIEWS), path, "HEAD")

    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-type"] == got.headers["content-type"]
    assert head.headers["content-length"] == got.headers["content-length"]


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/healthz"])
def test_probes_are_ok(path: str) -> None:
    """A probe without problems answers `ok`."""
    response = request(app_of(), path)

    assert (response.status_code, response.text) == (200, "ok\n")
    assert response.headers["content-type"] == "text/plain; charset=utf-8"


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/healthz"])
def test_probes_of_a_standby(path: str) -> None:
    """A standby is live and ready, and says in one line that it is a standby."""
    response = request(make_standby_app(exposition_of(), lambda: "stands\nby"), path)

    assert (response.status_code, response.text) == (200, "stands by\n")


@pytest.mark.parametrize(("method", "path"), [*(("GET", path) for path in ROUTES), ("POST", "/-/reload")])
def test_pages_of_a_standby(method: str, path: str) -> None:
    """Every other path of a standby answers 503 and says which process is the leader."""
    response = request(make_standby_app(exposition_of(), lambda: "ims-0 is the leader"), path, method)

    assert (response.status_code, response.text) == (503, "ims-0 is the leader\n")


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("/livez", "the poller of a b hangs\n"),
        ("/healthz", "the poller of a b hangs\n"),
        ("/readyz", "one\ntwo\n"),
    ],
)
def test_probes_list_every_problem(path: str, text: str) -> None:
    """A probe with problems answers 503 with one line per problem."""
    app = app_of(live=lambda: ["the poller of a\nb hangs"], ready=lambda: ["one", "two"])

    response = request(app, path)

    assert (response.status_code, response.text) == (503, text)


class BlockingViews(list[TargetView]):
    """Views that a page can read only after `released` is set."""

    released: threading.Event

    def __iter__(self) -> Iterator[TargetView]:
        assert self.released.wait(PATIENCE_SECONDS)
        return super().__iter__()


def test_a_page_does_not_hold_up_other_requests() -> None:
    """While a page is being rendered, the server answers other requests."""
    views = BlockingViews(VIEWS)
    views.released = threading.Event()
    app = make_app(
        exposition=exposition_of(*VIEWS),
        views=lambda: views,
        live=list,
        ready=list,
        page_settings=lambda: PAGE_SETTINGS,
        now=lambda: NOW,
    )

    async def ask() -> list[int]:
        async with served(app) as client:
            page = asyncio.create_task(client.get("/"))
            probe = await client.get("/livez")
            views.released.set()
            return [probe.status_code, (await page).status_code]

    assert asyncio.run(ask()) == [200, 200]


def test_probes_recover() -> None:
    """A probe answers 200 as soon as the problem is solved."""
    problems = ["not yet"]

    async def ask() -> list[int]:
        async with served(app_of(ready=lambda: problems)) as client:
            before = (await client.get("/readyz")).status_code
            problems.clear()
            return [before, (await client.get("/readyz")).status_code]

    assert asyncio.run(ask()) == [503, 200]


def test_unknown_path() -> None:
    """An unknown path is answered 404 with the known paths, including those that were added later."""
    app = app_of()
    app.router.add_get("/later", hang)

    response = request(app, "/nope<script>")

    assert response.status_code == 404
    assert response.headers["content-type"] == "text/plain; charset=utf-8"
    assert (
        response.text
        == "not found; the paths are /, /failures, /healthz, /later, /livez, /metrics, /readyz, /targets\n"
    )


def test_other_methods_are_refused() -> None:
    """POST is refused."""
    response = request(app_of(), "/metrics", "POST")

    assert response.status_code == 405
    assert response.headers["allow"] == "GET,HEAD"


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/"), ("GET", "/failures"), ("GET", "/metrics"), ("GET", "/no"), ("PUT", "/")]
)
def test_security_headers(method: str, path: str) -> None:
    """Every response forbids sniffing, referrers and all content except the page's own style sheet."""
    headers = request(app_of(*VIEWS), path, method).headers

    assert headers["content-security-policy"].startswith("default-src 'none'; style-src 'sha256-")
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert "aiohttp" not in headers["server"]


def test_status_page() -> None:
    """The status page is HTML, links the other paths, and escapes what UTF-8 cannot encode."""
    evil = f"{SCRIPT}\ud800"

    response = request(app_of(TargetView(PollKey(evil, "r", "smart"), EMPTY, DOWN)), "/")

    assert (response.status_code, response.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert SCRIPT not in response.text
    for path in ("/metrics", "/livez", "/readyz", "/healthz", "/failures", "/targets"):
        assert f'href="{path}"' in response.text


def test_page_parameters() -> None:
    """A page gets query and Accept: it filters, answers in JSON if preferred, and 400 if the query is invalid."""
    app = app_of(*VIEWS)

    found = request(app, "/failures?account=prod", accept="application/json")
    refused = request(app_of(*VIEWS), "/failures?limit=many")

    assert (found.status_code, found.headers["content-type"]) == (200, "application/json; charset=utf-8")
    assert found.headers["vary"] == "Accept"
    assert found.json()["failures"] == []
    assert (refused.status_code, refused.headers["content-type"]) == (400, "text/plain; charset=utf-8")


def test_stop_with_open_connections() -> None:
    """The server stops within two seconds, even with open connections and a request that hangs."""

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


@pytest.mark.parametrize("host", ["", "::"])
def test_every_address(host: str) -> None:
    """Without a host, and on `::`, the server answers on IPv4 and IPv6 on the same port."""

    async def statuses() -> list[int]:
        runner, (_, port) = await serve(app_of(), host, 0)
        try:
            async with httpx.AsyncClient(trust_env=False) as http:
                urls = [f"http://{each}:{port}/livez" for each in ("127.0.0.1", "[::1]")]
                return [(await http.get(url)).status_code for url in urls]
        finally:
            await runner.cleanup()

    assert asyncio.run(statuses()) == [200, 200]


def test_one_address_of_several(monkeypatch: pytest.MonkeyPatch) -> None:
    """A host with an address that the machine does not have is served on the others, as `localhost` without IPv6."""
    bound = socket.create_server

    def create(address: tuple[str, int], **options: Any) -> socket.socket:  # noqa: ANN401 - of any kind
        if options["family"] == socket.AF_INET6:
            raise OSError(errno.EADDRNOTAVAIL, "Cannot assign requested address")
        return bound(address, **options)

    async def address() -> str:
        runner, (host, _) = await serve(app_of(), "", 0)
        await runner.cleanup()
        return host

    monkeypatch.setattr(socket, "create_server", create)
    assert asyncio.run(address()) == "0.0.0.0"  # noqa: S104 - every address


def test_port_in_use() -> None:
    """The error for a port in use names the address and the setting."""

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
