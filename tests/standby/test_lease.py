"""A lease has one holder, who gives it up before anybody else may take it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from lightkube import AsyncClient, KubeConfig

from exporter.errors import SettingsError
from exporter.standby.lease import Claim, claim_in_cluster
from tests.support.lease_server import LeaseServer

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

NAME, SECONDS = "ims", 15


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.seconds = 100.0

    def __call__(self) -> float:
        """Returns the time."""
        return self.seconds


def with_claims(folder: Path, check: Callable[[LeaseServer, Clock, Claim, Claim], Awaitable[None]]) -> None:
    """Runs a check with two claims to one lease, by one clock."""

    async def run() -> None:
        async with LeaseServer() as server:
            config, clock = KubeConfig.from_file(server.config(folder)), Clock()
            first, second = (
                Claim(AsyncClient(config=config, trust_env=False), NAME, name, SECONDS, clock)
                for name in ("ims-0_a", "ims-1_b")
            )
            try:
                await check(server, clock, first, second)
            finally:
                await first.close()
                await second.close()

    asyncio.run(run())


def test_one_holder(tmp_path: Path) -> None:
    """The first to come holds it, and the other is told who that is."""

    async def check(server: LeaseServer, _: Clock, first: Claim, second: Claim) -> None:
        assert await first.renew()
        assert not await second.renew()

        assert server.holder(NAME) == first.holder == second.holder == "ims-0_a"
        assert first.seconds_left == 10
        assert second.seconds_left <= 0

    with_claims(tmp_path, check)


def test_it_is_given_up_before_another_takes_it(tmp_path: Path) -> None:
    """Not renewed, it is no longer gone by after two thirds of its time, and another's only after all of it."""

    async def check(_: LeaseServer, clock: Clock, first: Claim, second: Claim) -> None:
        assert await first.renew()
        assert not await second.renew()

        clock.seconds += 10
        assert first.seconds_left <= 0
        assert not await second.renew()
        clock.seconds += 5
        assert not await second.renew()
        clock.seconds += 0.1
        assert await second.renew()
        assert not await first.renew()

    with_claims(tmp_path, check)


def test_renewed_it_never_runs_out(tmp_path: Path) -> None:
    """Each renewal makes the others wait anew, whatever their clocks say of the time in it."""

    async def check(server: LeaseServer, clock: Clock, first: Claim, second: Claim) -> None:
        for _ in range(5):
            assert await first.renew()
            assert not await second.renew()
            clock.seconds += 9

        assert first.seconds_left == 1
        assert server.leases[NAME]["spec"]["leaseTransitions"] == 0

    with_claims(tmp_path, check)


def test_of_two_at_once_one_is_faster(tmp_path: Path) -> None:
    """A write that another has overtaken is refused by its version, and is no renewal."""

    async def check(server: LeaseServer, clock: Clock, first: Claim, second: Claim) -> None:
        assert await first.renew()
        assert not await second.renew()
        clock.seconds += 16

        taken = await asyncio.gather(first.renew(), second.renew())

        assert sorted(taken) == [False, True]
        assert server.conflicts == 1

    with_claims(tmp_path, check)


def test_stolen(tmp_path: Path) -> None:
    """Once it names another holder, nothing is left of the time that was left."""

    async def check(server: LeaseServer, _: Clock, first: Claim, __: Claim) -> None:
        assert await first.renew()
        server.steal(NAME, "somebody")

        assert not await first.renew()
        assert first.seconds_left <= 0
        assert first.holder == "somebody"

    with_claims(tmp_path, check)


def test_released(tmp_path: Path) -> None:
    """Given back, it can be taken at once; what another holds is not given away."""

    async def check(server: LeaseServer, _: Clock, first: Claim, second: Claim) -> None:
        assert await first.renew()
        assert not await second.renew()
        await first.release()
        assert server.holder(NAME) == ""
        assert await second.renew()
        await first.release()

        assert server.holder(NAME) == "ims-1_b"
        assert server.leases[NAME]["spec"]["leaseTransitions"] == 1

    with_claims(tmp_path, check)


def test_deleted(tmp_path: Path) -> None:
    """A lease that somebody has deleted is made anew by its holder."""

    async def check(server: LeaseServer, _: Clock, first: Claim, second: Claim) -> None:
        assert await first.renew()
        server.leases.clear()

        assert await first.renew()
        assert not await second.renew()

    with_claims(tmp_path, check)


def test_without_a_cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there is no cluster, the message says what to do."""
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))

    with pytest.raises(SettingsError, match="set standby to ledger"):
        claim_in_cluster(NAME, "me", SECONDS)
