"""One process at a time is the leader, and it knows in time when it is not."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from exporter.config.load import load_settings
from exporter.errors import LeadershipLostError, LedgerInUseError, SettingsError
from exporter.metrics.exposition import TEXT
from exporter.standby.ledger_lock import LedgerLock
from exporter.standby.standby import exclusive_ledger, lead, leadership_of, standby_exposition, standby_text
from exporter.web.client_errors import HandshakeFailures
from tests.support.exporter_process import parsed
from tests.support.lease_server import LeaseServer

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from exporter.standby.standby import Leadership


def leadership(folder: Path, **settings: object) -> Leadership:
    """Returns the leadership of a process with these settings."""
    flags = {"region_id": "cn-shanghai", "ledger_path": str(folder / "ledger.db"), "lease_seconds": "3", **settings}
    return leadership_of(load_settings(flags, {}))


def with_leases(folder: Path, monkeypatch: pytest.MonkeyPatch, check: Callable[[LeaseServer], Awaitable[None]]) -> None:
    """Runs a check with a Kubernetes API server."""

    async def run() -> None:
        async with LeaseServer() as server:
            monkeypatch.setenv("KUBECONFIG", str(server.config(folder)))
            await check(server)

    asyncio.run(run())


def test_metrics_of_a_standby(tmp_path: Path) -> None:
    """A standby exposes metrics of its process only: series of jobs would duplicate those of the leader."""
    flags = {"region_id": "cn-shanghai", "ledger_path": str(tmp_path / "ledger.db"), "standby": "ledger"}
    settings = load_settings({**flags, "shards": "3", "shard": "2"}, {})
    scrape = parsed(standby_exposition(settings, leadership_of(settings), HandshakeFailures()).page(TEXT).decode())

    assert scrape.total("ims_exporter_build_info") == 1
    assert scrape.total("ims_exporter_active") == 0
    assert (scrape.total("ims_exporter_shard"), scrape.total("ims_exporter_shards")) == (2, 3)
    assert {name for name in scrape.names() if any("account" in dict(key) for key in scrape.values[name])} == set()


def test_takes_over(tmp_path: Path) -> None:
    """A standby waits until the lock is free, holds it as the leader, and releases it at the end."""
    path = str(tmp_path / "ledger.db")
    flags = {"region_id": "cn-shanghai", "ledger_path": path, "listen_address": "127.0.0.1:0", "standby": "ledger"}
    lock, stop = LedgerLock(path), asyncio.Event()

    async def wait_and_lead() -> None:
        async with lead(load_settings(flags, {}), stop) as term:
            assert not lock.acquire("another")
            stop.set()
            await term.until_over()

    async def run() -> None:
        assert lock.acquire("another")
        leading = asyncio.create_task(wait_and_lead())
        await asyncio.wait([leading], timeout=0.1)
        assert not leading.done()
        lock.release()
        await leading

    asyncio.run(run())
    assert lock.acquire("another")
    lock.release()


def test_no_standby(tmp_path: Path) -> None:
    """Without standby, a process leads until it stops, and a second process on the same ledger is refused."""
    stop = asyncio.Event()
    stop.set()

    async def run() -> None:
        settings = load_settings({"region_id": "cn-shanghai", "ledger_path": str(tmp_path / "ledger.db")}, {})
        for _ in range(2):
            async with lead(settings, stop) as term:
                with pytest.raises(LedgerInUseError, match="in use by"):
                    await lead(settings, stop).__aenter__()
                await term.until_over()

    asyncio.run(run())


@pytest.mark.parametrize("place", [":memory:", "missing/ledger.db"])
def test_no_lock_is_no_error(place: str, tmp_path: Path) -> None:
    """A ledger in memory needs no lock; that its folder is missing is for the ledger itself to report."""
    path = place if place == ":memory:" else str(tmp_path / place)

    with exclusive_ledger(path), exclusive_ledger(path):
        pass


def test_memory_cannot_be_shared(tmp_path: Path) -> None:
    """A ledger in memory cannot have a standby."""
    with pytest.raises(SettingsError, match="set ledger_path"):
        leadership(tmp_path, standby="ledger", ledger_path=":memory:")


def test_leadership_by_the_lock(tmp_path: Path) -> None:
    """With `standby: ledger` the lock's holder is the leader; after the release another process is."""

    async def check() -> None:
        first, second = leadership(tmp_path, standby="ledger"), leadership(tmp_path, standby="ledger")
        assert await first.acquire()
        assert not await second.acquire()
        assert second.holder == first.holder
        await first.release()
        assert await second.acquire()
        await second.release()

    asyncio.run(check())


def test_leadership_by_lease_and_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With `standby: lease` the Lease's holder becomes the leader once it has the lock too, and releases both."""

    async def check(server: LeaseServer) -> None:
        lock = LedgerLock(str(tmp_path / "ledger.db"))
        assert lock.acquire("a frozen process")
        ours = leadership(tmp_path, standby="lease", lease_name="ims", shards="2", shard="1")

        assert not await ours.acquire()
        assert server.holder("ims-1")
        assert standby_text(ours).endswith("takes over when a frozen process ends")
        lock.release()
        assert await ours.acquire()
        await ours.release()
        assert server.holder("ims-1") == ""
        assert lock.acquire("the next")
        lock.release()

    with_leases(tmp_path, monkeypatch, check)


def test_lost_leadership(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A leader that finds another name in the Lease ends at its next renewal, and does not release the Lease."""

    async def check(server: LeaseServer) -> None:
        ours = leadership(tmp_path, standby="lease", lease_name="ims")
        assert await ours.acquire()
        server.steal("ims", "somebody")

        with pytest.raises(LeadershipLostError, match="somebody holds it"):
            await ours.hold()
        await ours.release()
        assert server.holder("ims") == "somebody"

    with_leases(tmp_path, monkeypatch, check)


def test_an_outage_of_the_api_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without an answer of the API server no process becomes the leader, and acquire and release raise nothing."""

    async def check(server: LeaseServer) -> None:
        ours = leadership(tmp_path, standby="lease", lease_name="ims")
        server.outage = "refuse"
        assert not await ours.acquire()
        assert ours.failures == 1
        assert "cannot take over" in standby_text(ours)
        server.outage = ""
        assert await ours.acquire()
        assert (ours.failures, ours.problem) == (1, "")
        server.outage = "refuse"
        await ours.release()
        lock = LedgerLock(str(tmp_path / "ledger.db"))
        assert lock.acquire("the next")
        lock.release()

    with_leases(tmp_path, monkeypatch, check)
