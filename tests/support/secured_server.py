"""The HTTP server with a web configuration file, and its clients."""

from __future__ import annotations

import ssl
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import httpx

from exporter.jobs.snapshot import TargetView
from exporter.web.connections import Limits
from exporter.web.server import base_url, make_app, serve
from tests.support.rendered_page import PAGE_SETTINGS
from tests.support.scenarios import BUSY, KEY, NOW, UP, exposition_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from aiohttp import web

    from exporter.web.client_errors import HandshakeFailures
    from tests.support.certificates import Files

VIEWS = (TargetView(KEY, BUSY, UP),)
PASSWORD = "correct horse"
HASH = "$2b$10$er7R3vGe5wGj0swOJqenu.923GMINXj38i6uHf.F8Rc9P7aYX7PPa"
"""The hash of PASSWORD."""


def secured_app() -> web.Application:
    """Returns the application with one busy target."""
    return make_app(
        exposition=exposition_of(*VIEWS),
        views=lambda: VIEWS,
        live=list,
        ready=list,
        page_settings=lambda: PAGE_SETTINGS,
        now=lambda: NOW,
    )


@asynccontextmanager
async def secured(
    text: str,
    folder: Path,
    limits: Limits = Limits(),  # noqa: B008 - frozen
    failures: HandshakeFailures | None = None,
) -> AsyncIterator[str]:
    """Serves with a web configuration of this text in the folder; yields the base URL."""
    path = folder / "web.yml"
    path.write_text(text)
    runner, _ = await serve(secured_app(), "127.0.0.1", 0, str(path), limits, failures=failures)
    try:
        yield base_url(runner)
    finally:
        await runner.cleanup()


def client(ca: Path, own: Files | None = None, password: str = "") -> httpx.AsyncClient:
    """Returns a client that trusts the CA, with a certificate and a password of its own if given."""
    context = ssl.create_default_context(cafile=str(ca))
    if own is not None:
        context.load_cert_chain(own.cert, own.key)
    auth = ("alice", password) if password else None
    return httpx.AsyncClient(verify=context, auth=auth, trust_env=False, timeout=10)
