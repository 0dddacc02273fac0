"""The HTTP server: /metrics, probes, reload and the pages."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import os
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, cast

from aiohttp import web
from aiohttp.hdrs import EXPECT

from exporter.errors import ExporterError, SettingsError
from exporter.metrics.exposition import OPENMETRICS, TEXT
from exporter.web.accept import accepts_gzip, prefers_openmetrics
from exporter.web.auth import PROBES, PasswordChecker, TokenBucket, authorize
from exporter.web.config.watch import WebConfigWatcher
from exporter.web.connections import Connection, Connections, Limits, Listener, track_responses
from exporter.web.pages.request import PageRequest
from exporter.web.pages.routes import ROUTES, respond
from exporter.web.pages.templates import STYLE, make_environment

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

    from aiohttp.typedefs import Handler

    from exporter.jobs.snapshot import TargetView
    from exporter.metrics.exposition import Exposition
    from exporter.web.client_errors import HandshakeFailures
    from exporter.web.pages.request import PageSettings

SHUTDOWN_SECONDS = 0.5
"""Maximum time to wait for a running request when the server stops, and again after it was cancelled."""

MAX_WAITING_REQUESTS = 32
"""Maximum number of requests that wait for a page, or for /metrics of many targets; further ones are answered 503."""

STYLE_HASH = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
HEADERS = {
    "Content-Security-Policy": f"default-src 'none'; style-src 'sha256-{STYLE_HASH}'; base-uri 'none'; "
    "form-action 'self'; frame-ancestors 'none'",
    "Cache-Control": "no-store",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "Server": "ims-exporter",
    "X-Content-Type-Options": "nosniff",
}
"""Headers of every response."""


def make_app(
    *,
    exposition: Exposition,
    views: Callable[[], Sequence[TargetView]],
    live: Callable[[], list[str]],
    ready: Callable[[], list[str]],
    page_settings: Callable[[], PageSettings],
    now: Callable[[], float],
    reload: Callable[[], Awaitable[None]] | None = None,
) -> web.Application:
    """Returns the application; `live` and `ready` return the problems for the probes, one text each.

    `reload` reloads the configuration or raises SettingsError; without it, `/-/reload` is refused. Paths that are
    added later are linked on the pages and named in the response to an unknown path.
    """
    app = web.Application(middlewares=[name_known_paths])
    app.on_response_prepare.append(add_headers)
    show_page = page_handler(views, page_settings, now)
    for path in ROUTES:
        app.router.add_get(path, show_page)
    app.router.add_get("/metrics", metrics_handler(exposition))
    app.router.add_get("/livez", probe_handler(live))
    app.router.add_get("/readyz", probe_handler(ready))
    app.router.add_get("/healthz", probe_handler(live))
    app.router.add_post("/-/reload", reload_handler(reload))
    return app


def make_standby_app(exposition: Exposition, text: Callable[[], str]) -> web.Application:
    """Returns the application of a standby: its own metrics, probes that succeed, and 503 for everything else.

    `text` says that the process is on standby and names the leader. The probes show it instead of `ok`, so that a
    standby can be told from an exporter that polls.
    """

    async def refuse(_request: web.Request) -> web.Response:
        return plain(text(), status=503)

    async def succeed(_request: web.Request) -> web.Response:
        return plain(" ".join(text().split()), status=200)

    app = web.Application(middlewares=[name_known_paths])
    app.on_response_prepare.append(add_headers)
    for path in ROUTES:
        app.router.add_get(path, refuse)
    app.router.add_get("/metrics", metrics_handler(exposition))
    for path in PROBES:
        app.router.add_get(path, succeed)
    app.router.add_post("/-/reload", refuse)
    return app


async def serve(
    app: web.Application,
    host: str,
    port: int,
    web_config_file: str = "",
    limits: Limits = Limits(),  # noqa: B008 - frozen
    *,
    failures: HandshakeFailures | None = None,
) -> tuple[web.AppRunner, tuple[str, int]]:
    """Starts the server; returns its runner, which `await runner.cleanup()` stops, and its address.

    Port 0 means any free port. `failures` counts and logs failed TLS handshakes. Raises SettingsError if it cannot
    listen on the address or the web configuration is invalid. Handles no signals and writes no access log.
    """
    connections = Connections(limits, failures)
    security = WebConfigWatcher(web_config_file, on_new_tls=connections.drain)
    _protect(app, connections, security)
    runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=SHUTDOWN_SECONDS)
    await runner.setup()
    server = cast("web.Server", runner.server)
    ignore_expectations(server)
    listener = Listener(
        runner,
        (host, port),
        connections=connections,
        make_connection=lambda: Connection(server, connections, HEADERS),
        tls_context=lambda: security.current().context,
    )
    try:
        await listener.start()
    except OSError as error:
        await runner.cleanup()
        reason = os.strerror(error.errno) if error.errno and error.errno > 0 else error.strerror or str(error)
        raise SettingsError(f"cannot listen on {host}:{port} ({reason}): set another listen_address") from error
    return runner, listener.address


def base_url(runner: web.AppRunner) -> str:
    """Returns the base URL of a running server, for example `https://127.0.0.1:9912`."""
    return next(iter(runner.sites)).name


def ignore_expectations(server: web.Server) -> None:
    """Removes the header Expect from requests before aiohttp acts on it.

    aiohttp answers it before the password is checked, and repeats its value, which UTF-8 may not be able to encode.
    Only requests with a body need it, and these are refused.
    """
    make_request = server.request_factory

    def make_unexpecting(message: Any, *arguments: Any) -> web.BaseRequest:  # noqa: ANN401 - aiohttp's parser makes it
        if EXPECT in message.headers:
            headers = message.headers.copy()
            headers.popall(EXPECT)
            message = message._replace(headers=headers)
        return make_request(message, *arguments)

    server.request_factory = make_unexpecting


def _protect(app: web.Application, connections: Connections, security: WebConfigWatcher) -> None:
    """Adds deadlines, authorization and the configured headers in front of everything that the application serves."""
    passwords = PasswordChecker()

    async def add_configured_headers(_request: web.Request, response: web.StreamResponse) -> None:
        response.headers.update(security.current().config.http_server_config.headers)

    async def close_passwords(_: web.Application) -> None:
        passwords.close()

    app.middlewares.insert(0, authorize(security.current, passwords, TokenBucket()))
    app.middlewares.insert(0, track_responses(connections))
    app.on_response_prepare.append(add_configured_headers)
    app.on_cleanup.append(close_passwords)


class Turns:
    """Lets one response be made at a time, and few requests wait: others would hold their connections meanwhile."""

    def __init__(self) -> None:
        self._lock = asyncio.Lock()
        self._waiting = 0

    @asynccontextmanager
    async def one(self) -> AsyncIterator[None]:
        """Waits for the turn of this request; raises HTTPServiceUnavailable if too many wait already."""
        if self._waiting >= MAX_WAITING_REQUESTS:
            raise web.HTTPServiceUnavailable(
                text="too many requests wait for this page: retry later\n", headers={"Retry-After": "1"}
            )
        self._waiting += 1
        try:
            async with self._lock:
                yield
        finally:
            self._waiting -= 1


def metrics_handler(exposition: Exposition) -> Handler:
    """Returns the handler of /metrics, which answers in the format and encoding that the request prefers.

    One response is made at a time: several threads at once would keep the event loop waiting for Python's global lock.
    """
    turns = Turns()

    async def show(request: web.Request) -> web.Response:
        is_gzip = accepts_gzip(",".join(request.headers.getall("Accept-Encoding", [])))
        form = OPENMETRICS if prefers_openmetrics(",".join(request.headers.getall("Accept", []))) else TEXT
        async with turns.one():
            body = await exposition.scrape(form, is_gzip=is_gzip)
        headers = {"Content-Type": form.content_type, "Vary": "Accept, Accept-Encoding"}
        if is_gzip:
            headers["Content-Encoding"] = "gzip"
        return web.Response(body=body, headers=headers)

    return show


def page_handler(
    views: Callable[[], Sequence[TargetView]], page_settings: Callable[[], PageSettings], now: Callable[[], float]
) -> Handler:
    """Returns the handler of the pages; it renders one page at a time, in a thread, so that scrapes need not wait."""
    environment = make_environment()
    turns = Turns()

    async def show(request: web.Request) -> web.Response:
        async with turns.one():
            page_request = PageRequest(
                path=request.path,
                query=tuple(request.query.items()),
                accept=",".join(request.headers.getall("Accept", [])),
                endpoints=[path for path in known_paths(request.app) if path not in ROUTES],
                views=views(),
                settings=page_settings(),
                now=now(),
            )
            status, content_type, body = await asyncio.to_thread(render, page_request)
        return web.Response(
            body=body, status=status, content_type=content_type, charset="utf-8", headers={"Vary": "Accept"}
        )

    def render(page_request: PageRequest) -> tuple[int, str, bytes]:
        response = respond(page_request, environment)
        return response.status, response.content_type, encoded(response.text)

    return show


def probe_handler(problems: Callable[[], list[str]]) -> Handler:
    """Returns the handler of a probe: `ok`, or 503 with one line per problem."""

    async def check(_request: web.Request) -> web.Response:
        found = [" ".join(line.split()) for line in problems()]
        return plain("\n".join(found or ["ok"]), status=503 if found else 200)

    return check


def reload_handler(reload: Callable[[], Awaitable[None]] | None) -> Handler:
    """Returns the handler of /-/reload: 400 with all problems of an invalid configuration, 403 if not enabled."""

    async def try_reload(_request: web.Request) -> web.Response:
        if reload is None:
            return plain("reload over HTTP is not enabled: set web_enable_lifecycle, or send SIGHUP", status=403)
        try:
            await reload()
        except ExporterError as error:
            return plain(str(error), status=400 if isinstance(error, SettingsError) else 500)
        return plain("the configuration is reloaded", status=200)

    return try_reload


def known_paths(app: web.Application) -> list[str]:
    """Returns the paths that accept GET."""
    routes = [route for route in app.router.routes() if route.method == "GET"]
    return sorted({route.resource.canonical for route in routes if route.resource is not None})


@web.middleware
async def name_known_paths(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answers an unknown path with 404 and the known paths."""
    try:
        return await handler(request)
    except web.HTTPNotFound:
        return plain(f"not found; the paths are {', '.join(known_paths(request.app))}", status=404)


async def add_headers(_request: web.Request, response: web.StreamResponse) -> None:
    """Adds the headers of every response."""
    response.headers.update(HEADERS)


def plain(text: str, status: int) -> web.Response:
    """Returns a plain-text response."""
    return web.Response(body=encoded(f"{text}\n"), status=status, content_type="text/plain", charset="utf-8")


def encoded(text: str) -> bytes:
    """Returns a text in UTF-8; characters that it cannot encode (lone surrogates from JSON) are escaped."""
    return text.encode("utf-8", "backslashreplace")
