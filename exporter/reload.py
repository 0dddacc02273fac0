"""Reading the configuration anew while running, and how the last time went."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import structlog

from exporter.errors import ExporterError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from exporter.config.settings import Settings


class Reload:
    """Loads the settings and puts them in force, one time after the other; a bad configuration changes nothing.

    `now` is the local clock in Unix seconds; the start counts as the first good time.
    """

    def __init__(
        self,
        load: Callable[[], Settings],
        apply: Callable[[Settings], Awaitable[None]],
        now: Callable[[], float],
    ) -> None:
        self.is_successful = True
        self.succeeded_at = now()
        self._load = load
        self._apply = apply
        self._now = now
        self._turn = asyncio.Lock()

    async def __call__(self) -> None:
        """Reloads, and logs how that went; raises ExporterError, SettingsError with every problem."""
        log = structlog.get_logger()
        async with self._turn:
            try:
                await self._apply(self._load())
            except ExporterError as error:
                self.is_successful = False
                hint = "the configuration before stays in force"
                log.error("reload", outcome="refused", error=str(error), hint=hint)  # noqa: TRY400 - no fault of ours
                raise
            self.is_successful = True
            self.succeeded_at = self._now()
            log.info("reload", outcome="ok")

    async def on(self, signal: asyncio.Event) -> None:
        """Reloads each time the event is set."""
        while True:
            await signal.wait()
            signal.clear()
            try:
                await self()
            except ExporterError:
                continue  # it is logged, and shown in the metrics
