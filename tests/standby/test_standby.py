"""What a process shows while it stands by, and when it stops to."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import aiohttp
import pytest

from exporter.config.load import load_settings
from exporter.errors import LedgerInUseError
from exporter.standby.lock import LedgerLock
from exporter.standby.standby import alone, in_turn, make_standby_app
from exporter.web.pages.routes import PAGES
from exporter.web.server import base_url, serve
from tests.support.exporter_process import parsed

if TYPE_CHECKING:
    from pathlib import Path


async def answer(method: str, path: str) -> tuple[int, str]:
    """Returns status and text of what is answered while `ims-0` is at work."""
    runner, _ = await serve(make_standby_app(lambda: "ims-0"), "127.0.0.1", 0)
    try:
        async with aiohttp.ClientSession() as session, session.request(method, f"{base_url(runner)}{path}") as found:
            return found.status, await found.text()
    finally:
        await runner.cleanup()


def test_metrics() -> None:
    """Its metrics are those of the process: no series of a job or a target, which would stand beside the real ones."""
    status, text = asyncio.run(answer("GET", "/metrics"))
    scrape = parsed(text)

    assert status == 200
    assert scrape.total("ims_exporter_build_info") == 1
    assert {name for name in scrape.names() if any("account" in dict(key) for key in scrape.values[name])} == set()


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/healthz"])
def test_probes(path: str) -> None:
    """Nothing is wrong with a process that stands by."""
    assert asyncio.run(answer("GET", path)) == (200, "ok\n")


@pytest.mark.parametrize(("method", "path"), [*(("GET", path) for path in PAGES), ("POST", "/-/reload")])
def test_pages(method: str, path: str) -> None:
    """Everything else says that it is not to be had here, and who is at work."""
    assert asyncio.run(answer(method, path)) == (503, "this exporter stands by, and takes over when ims-0 ends\n")


def test_takes_over(tmp_path: Path) -> None:
    """It waits as long as the lock is held, has it in its turn, and gives it back."""
    path = str(tmp_path / "ledger.db")
    flags = {"region_id": "cn-shanghai", "ledger_path": path, "listen_address": "127.0.0.1:0", "standby": "ledger"}
    lock, stop = LedgerLock(path), asyncio.Event()

    async def its_turn() -> None:
        async with in_turn(load_settings(flags, {}), stop) as over:
            assert not lock.take("another")
            stop.set()
            await over()

    async def run() -> None:
        assert lock.take("another")
        turn = asyncio.create_task(its_turn())
        await asyncio.wait([turn], timeout=0.1)
        assert not turn.done()
        lock.release()
        await turn

    asyncio.run(run())
    assert lock.take("another")
    lock.release()


def test_no_standby(tmp_path: Path) -> None:
    """Where nobody stands by, the turn lasts until the process is told to stop, and nobody else's begins meanwhile."""
    stop = asyncio.Event()
    stop.set()

    async def run() -> None:
        settings = load_settings({"region_id": "cn-shanghai", "ledger_path": str(tmp_path / "ledger.db")}, {})
        for _ in range(2):
            async with in_turn(settings, stop) as over:
                with pytest.raises(LedgerInUseError, match="in use by"):
                    await in_turn(settings, stop).__aenter__()
                await over()

    asyncio.run(run())


@pytest.mark.parametrize("place", [":memory:", "missing/ledger.db"])
def test_no_lock_is_no_error(place: str, tmp_path: Path) -> None:
    """A ledger in memory needs no lock; of a folder that is not there the ledger itself tells."""
    path = place if place == ":memory:" else str(tmp_path / place)

    with alone(path), alone(path):
        pass
