"""One process at a time has its turn, and knows in time when it is over."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from exporter.config.load import load_settings
from exporter.errors import SettingsError
from exporter.standby.lock import LedgerLock
from exporter.standby.turn import TurnLostError, turn_of
from tests.support.lease_server import LeaseServer

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from exporter.standby.turn import Turn


def turn(folder: Path, **settings: object) -> Turn:
    """Returns the turn of a process with these settings."""
    flags = {"region_id": "cn-shanghai", "ledger_path": str(folder / "ledger.db"), "lease_seconds": "3", **settings}
    return turn_of(load_settings(flags, {}))


def with_leases(folder: Path, monkeypatch: pytest.MonkeyPatch, check: Callable[[LeaseServer], Awaitable[None]]) -> None:
    """Runs a check beside an API server."""

    async def run() -> None:
        async with LeaseServer() as server:
            monkeypatch.setenv("KUBECONFIG", str(server.config(folder)))
            await check(server)

    asyncio.run(run())


def test_memory_cannot_be_shared(tmp_path: Path) -> None:
    """A ledger in memory has no turns."""
    with pytest.raises(SettingsError, match="set ledger_path"):
        turn(tmp_path, standby="ledger", ledger_path=":memory:")


def test_by_the_lock(tmp_path: Path) -> None:
    """The lock makes the turn; given back, it is the next one's."""

    async def check() -> None:
        first, second = turn(tmp_path, standby="ledger"), turn(tmp_path, standby="ledger")
        assert await first.take()
        assert not await second.take()
        assert second.holder == first.holder
        await first.release()
        assert await second.take()
        await second.release()

    asyncio.run(check())


def test_by_the_lease_and_the_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever holds the lease waits for the lock, and gives back both."""

    async def check(server: LeaseServer) -> None:
        lock = LedgerLock(str(tmp_path / "ledger.db"))
        assert lock.take("one that is frozen")
        ours = turn(tmp_path, standby="lease", lease_name="ims", shards="2", shard="1")

        assert not await ours.take()
        assert server.holder("ims-1") == ours.holder
        lock.release()
        assert await ours.take()
        await ours.release()
        assert server.holder("ims-1") == ""
        assert lock.take("the next")
        lock.release()

    with_leases(tmp_path, monkeypatch, check)


def test_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A lease with another's name in it is lost at the next renewal, and not given back."""

    async def check(server: LeaseServer) -> None:
        ours = turn(tmp_path, standby="lease", lease_name="ims")
        assert await ours.take()
        server.steal("ims", "somebody")

        with pytest.raises(TurnLostError, match="somebody holds it"):
            await ours.keep()
        await ours.release()
        assert server.holder("ims") == "somebody"

    with_leases(tmp_path, monkeypatch, check)


def test_an_outage_is_no_turn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As long as the API server does not answer it is nobody's turn, and nothing breaks."""

    async def check(server: LeaseServer) -> None:
        ours = turn(tmp_path, standby="lease", lease_name="ims")
        server.outage = "refuse"
        assert not await ours.take()
        server.outage = ""
        assert await ours.take()
        server.outage = "refuse"
        await ours.release()
        lock = LedgerLock(str(tmp_path / "ledger.db"))
        assert lock.take("the next")
        lock.release()

    with_leases(tmp_path, monkeypatch, check)
