"""The real server on a loopback port, in a thread of its own, and what it logs as its own errors."""

from __future__ import annotations

import asyncio
import logging
import threading
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from exporter.errors import SettingsError
from exporter.snapshot import TargetKey, TargetView
from exporter.web import make_app, serve
from exporter.web_connections import Limits
from tests.scenarios import BUSY, DOWN, FAILED, KEY, NOW, UP, registry_of
from tests.seenpage import SITE

if TYPE_CHECKING:
    from collections.abc import Iterator

PATIENCE_SECONDS = 10.0
LIMITS = Limits(head_seconds=2, answer_seconds=2, idle_seconds=2)
VIEWS = (
    TargetView(KEY, replace(BUSY, failed_jobs=(FAILED, replace(FAILED, job_id="<u>'\"&", error_message="<i>"))), UP),
    TargetView(TargetKey("<u>", "b"), None, DOWN),
)


class Errors(logging.Handler):
    """Keeps what is logged as an error, by whomever."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.kept: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keeps a record."""
        self.kept.append(self.format(record))


class FuzzedServer:
    """Serves until it is stopped; `errors` must stay empty."""

    def __init__(self, *, refuses_reloads: bool = False) -> None:
        self.errors = Errors()
        self.address = ("", 0)
        self._loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()
        self._listens = threading.Event()
        self._refuses_reloads = refuses_reloads

    async def _reload(self) -> None:
        if self._refuses_reloads:
            raise SettingsError("the configuration has a problem:\n  shard: must be a number")

    async def _run(self) -> None:
        app = make_app(
            registry=registry_of(*VIEWS),
            views=lambda: VIEWS,
            live=list,
            ready=list,
            site=lambda: SITE,
            now=lambda: NOW,
            reload=self._reload,
        )
        runner, self.address = await serve(app, "127.0.0.1", 0, limits=LIMITS)
        self._listens.set()
        try:
            await self._stop.wait()
        finally:
            await runner.cleanup()

    @contextmanager
    def running(self) -> Iterator[FuzzedServer]:
        """Runs the server beside whoever asks it."""
        thread = threading.Thread(target=lambda: self._loop.run_until_complete(self._run()))
        logging.root.addHandler(self.errors)
        thread.start()
        try:
            assert self._listens.wait(PATIENCE_SECONDS)
            yield self
        finally:
            self._loop.call_soon_threadsafe(self._stop.set)
            thread.join()
            self._loop.close()
            logging.root.removeHandler(self.errors)
