"""Standing by: a process waits until it is its turn, and ends when the turn is lost."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import TYPE_CHECKING

import structlog
from aiohttp import web

from exporter import __version__
from exporter.errors import LedgerError, LedgerInUseError
from exporter.metrics.exposition import Collector, Instruments, make_registry
from exporter.metrics.table import Process
from exporter.standby.turn import ledger_lock, process_name, turn_of
from exporter.web.pages.routes import PAGES
from exporter.web.server import add_headers, base_url, metrics, name_known_paths, plain, probe, serve

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

    from exporter.config.settings import Settings
    from exporter.metrics.exposition import Registry
    from exporter.standby.turn import Turn


@asynccontextmanager
async def in_turn(settings: Settings, stop: asyncio.Event) -> AsyncIterator[Callable[[], Awaitable[object]]]:
    """Stands by until it is this process's turn or `stop` is set, and gives what to wait for then.

    That returns when `stop` is set, and raises TurnLostError when the turn is lost. When the block is left, it is
    another's turn. Raises ExporterError at the start.
    """
    if settings.standby == "none":
        with alone(settings.ledger_path):
            yield stop.wait
        return
    turn = turn_of(settings)
    try:
        is_ours = await stand_by(turn, settings, stop)
        keeping = asyncio.create_task(turn.keep() if is_ours else stop.wait())
        try:
            yield lambda: _first(stop, keeping)
        finally:
            keeping.cancel()
            await asyncio.gather(keeping, return_exceptions=True)
    finally:
        await turn.release()


@contextmanager
def alone(ledger_path: str) -> Iterator[None]:
    """Keeps other exporters off a ledger, where the system can; raises LedgerInUseError if there is one already."""
    lock = ledger_lock(ledger_path)
    try:
        is_ours = lock is None or lock.take(process_name())
    except LedgerError:
        is_ours = True  # a folder that cannot be written to, or a file system without locks: the ledger tells more
    if lock is not None and not is_ours:
        raise LedgerInUseError(f"the ledger {ledger_path} is in use by {lock.holder}")
    try:
        yield
    finally:
        if lock is not None:
            lock.release()


async def stand_by(turn: Turn, settings: Settings, stop: asyncio.Event) -> bool:
    """Serves what a process that stands by has to show, until it is its turn or `stop` is set; says which."""
    if await turn.take():
        return True
    log = structlog.get_logger()
    runner, _ = await serve(make_standby_app(lambda: turn.holder), *settings.listen_pair, settings.web_config_file)
    try:
        log.info("standing_by", url=base_url(runner), version=__version__, holder=turn.holder)
        while not stop.is_set():
            with suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), turn.retry_seconds)
            if not stop.is_set() and await turn.take():
                log.info("taking_over")
                return True
    finally:
        await runner.cleanup()
    return False


def make_standby_app(holder: Callable[[], str]) -> web.Application:
    """Returns what answers while the process stands by: its own metrics, good probes, and that it does."""

    async def tell(_request: web.Request) -> web.Response:
        who = holder() or "another process"
        return plain(f"this exporter stands by, and takes over when {who} ends", status=503)

    app = web.Application(middlewares=[name_known_paths])
    app.on_response_prepare.append(add_headers)
    for path in PAGES:
        app.router.add_get(path, tell)
    app.router.add_get("/metrics", metrics(_registry()))
    for path in ("/livez", "/readyz", "/healthz"):
        app.router.add_get(path, probe(list))
    app.router.add_post("/-/reload", tell)
    return app


def _registry() -> Registry:
    started = time.time()
    collector = Collector(
        views=list,
        process=lambda: Process(ledger_size_bytes=0, reload_successful=True, reloaded_at=started, version=__version__),
        instruments=Instruments(),
        now=time.time,
        stale_after_seconds=lambda: 0.0,
    )
    return make_registry(collector)


async def _first(stop: asyncio.Event, keeping: asyncio.Task[object]) -> None:
    """Returns when the event is set; raises what ends the task before."""
    stopping = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait([stopping, keeping], return_when=asyncio.FIRST_COMPLETED)
        if keeping.done():
            keeping.result()
    finally:
        stopping.cancel()
