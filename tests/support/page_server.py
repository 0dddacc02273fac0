"""The real HTTP server with its pages in a thread, for a browser in the thread of the test."""

from __future__ import annotations

import asyncio
import threading
import time
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from exporter.web.connections import Limits
from exporter.web.server import base_url, make_app, serve
from tests.support.rendered_page import PAGE_SETTINGS
from tests.support.scenarios import exposition_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Sequence

    from exporter.jobs.snapshot import TargetView
    from exporter.web.pages.request import PageSettings

PATIENCE_SECONDS = 10.0


class PageServer:
    """Serves `views`, which a test may replace."""

    def __init__(
        self,
        views: Sequence[TargetView],
        settings: PageSettings,
        now: float,
        *,
        limits: Limits | None = None,
        reload: Callable[[], Awaitable[None]] | None = None,
        web_config_file: str = "",
    ) -> None:
        self.views = views
        self.url = ""
        self.address = ("", 0)
        self._limits = limits or Limits()
        self._reload = reload
        self._web_config_file = web_config_file
        self._settings = settings
        self._now = now
        self._loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()
        self._listens = threading.Event()

    async def run(self) -> None:
        """Serves until it is stopped."""
        app = make_app(
            exposition=exposition_of(*self.views),
            views=lambda: self.views,
            live=list,
            ready=list,
            page_settings=lambda: self._settings,
            now=lambda: self._now,
            reload=self._reload,
        )
        runner, self.address = await serve(app, "127.0.0.1", 0, self._web_config_file, self._limits)
        self.url = base_url(runner)
        self._listens.set()
        try:
            await self._stop.wait()
        finally:
            await runner.cleanup()

    @contextmanager
    def running(self) -> Iterator[PageServer]:
        """Runs the server in a thread."""
        thread = threading.Thread(target=lambda: self._loop.run_until_complete(self.run()))
        thread.start()
        try:
            assert self._listens.wait(PATIENCE_SECONDS)
            yield self
        finally:
            self._loop.call_soon_threadsafe(self._stop.set)
            thread.join()
            self._loop.close()


def page_server(views: Sequence[TargetView], *, refresh_seconds: float = 30, now: float | None = None) -> PageServer:
    """Returns a server of the views that is not running yet."""
    settings = replace(PAGE_SETTINGS, refresh_seconds=refresh_seconds)
    return PageServer(views, settings, time.time() if now is None else now)
