"""A Lease has one holder, which gives up before another process may acquire it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from lightkube import AsyncClient, KubeConfig

from exporter.errors import SettingsError
from exporter.standby.lease import LeaseLock, lease_in_cluster
from tests.support.lease_server import LeaseServer

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

NAME, SECONDS = "ims", 15


class Clock:
    """A clock that moves only when the test sets it."""

    def __init__(self) -> None:
        self.seconds = 100.0

    def __call__(self) -> float:
        """Returns the time."""
        return self.seconds


def with_locks(folder: Path, check: Callable[[LeaseServer, Clock, LeaseLock, LeaseLock], Awaitable[None]]) -> None:
    """Runs a check with two locks on one Lease, which share a clock."""

    async def run() -> None:
        async with LeaseServer() as server:
            config, clock = KubeConfig.from_file(server.config(folder)), Clock()
            first, second = (
                LeaseLock(AsyncClient(config=config, trust_env=False), NAME, name, SECONDS, clock)
                for name in ("ims-0_a", "ims-1_b")
            )
            try:
                await check(server, clock, first, second)
            finally:
                await first.close()
                await second.close()

    asyncio.run(run())


def test_one_holder(tmp_path: Path) -> None:
    """The first process acquires the Lease; the second one learns the name of the holder."""

    async def check(server: LeaseServer, _: Clock, first: LeaseLock, second: LeaseLock) -> None:
        assert await first.acquire_or_renew()
        assert not await second.acquire_or_renew()

        assert server.holder(NAME) == first.holder == second.holder == "ims-0_a"
        assert first.seconds_left == 10
        assert second.seconds_left <= 0

    with_locks(tmp_path, check)


def test_the_holder_gives_up_before_another_acquires(tmp_path: Path) -> None:
    """Without a renewal, the holder gives up after two thirds of the duration; another acquires after all of it."""

    async def check(_: LeaseServer, clock: Clock, first: LeaseLock, second: LeaseLock) -> None:
        assert await first.acquire_or_renew()
        assert not await second.acquire_or_renew()

        clock.seconds += 10
        assert first.seconds_left <= 0
        assert not await second.acquire_or_renew()
        clock.seconds += 5
        assert not await second.acquire_or_renew()
        clock.seconds += 0.1
        assert await second.acquire_or_renew()
        assert not await first.acquire_or_renew()

    with_locks(tmp_path, check)


def test_a_renewed_lease_never_expires(tmp_path: Path) -> None:
    """Each renewal restarts the wait of the others, regardless of the time in the Lease."""

    async def check(server: LeaseServer, clock: Clock, first: LeaseLock, second: LeaseLock) -> None:
        for _ in range(5):
            assert await first.acquire_or_renew()
            assert not await second.acquire_or_renew()
            clock.seconds += 9

        assert first.seconds_left == 1
        assert server.leases[NAME]["spec"]["leaseTransitions"] == 0

    with_locks(tmp_path, check)


def test_concurrent_writes(tmp_path: Path) -> None:
    """Of two concurrent writes, the server refuses the second by its version; it is not a renewal."""

    async def check(server: LeaseServer, clock: Clock, first: LeaseLock, second: LeaseLock) -> None:
        assert await first.acquire_or_renew()
        assert not await second.acquire_or_renew()
        clock.seconds += 16

        acquired = await asyncio.gather(first.acquire_or_renew(), second.acquire_or_renew())

        assert sorted(acquired) == [False, True]
        assert server.conflicts == 1

    with_locks(tmp_path, check)


def test_another_holder(tmp_path: Path) -> None:
    """A holder that finds another name in the Lease gives up at once."""

    async def check(server: LeaseServer, _: Clock, first: LeaseLock, __: LeaseLock) -> None:
        assert await first.acquire_or_renew()
        server.steal(NAME, "somebody")

        assert not await first.acquire_or_renew()
        assert first.seconds_left <= 0
        assert first.holder == "somebody"

    with_locks(tmp_path, check)


def test_release(tmp_path: Path) -> None:
    """A released Lease can be acquired at once; a process never releases the Lease of another."""

    async def check(server: LeaseServer, _: Clock, first: LeaseLock, second: LeaseLock) -> None:
        assert await first.acquire_or_renew()
        assert not await second.acquire_or_renew()
        await first.release()
        assert server.holder(NAME) == ""
        assert await second.acquire_or_renew()
        await first.release()

        assert server.holder(NAME) == "ims-1_b"
        assert server.leases[NAME]["spec"]["leaseTransitions"] == 1

    with_locks(tmp_path, check)


def test_a_deleted_lease(tmp_path: Path) -> None:
    """The holder creates a deleted Lease again."""

    async def check(server: LeaseServer, _: Clock, first: LeaseLock, second: LeaseLock) -> None:
        assert await first.acquire_or_renew()
        server.leases.clear()

        assert await first.acquire_or_renew()
        assert not await second.acquire_or_renew()

    with_locks(tmp_path, check)


def test_without_a_cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Outside of a cluster, the error says what to set."""
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))

    with pytest.raises(SettingsError, match="set standby to ledger"):
        lease_in_cluster(NAME, "me", SECONDS)
