"""An account's rate is held by all who call for it together, and yields when the service throttles."""

from __future__ import annotations

import asyncio
import time
from itertools import chain, pairwise
from typing import TYPE_CHECKING

import pytest

from exporter.ims.rate_limit import CALM_CALLS, SLOWEST, AccountLimiter
from tests.support.leapingclock import run_leaping

if TYPE_CHECKING:
    from collections.abc import Callable

PER_SECOND = 10


def limiter_of(per_second: float = PER_SECOND, waited: Callable[[float], None] = lambda _: None) -> AccountLimiter:
    """Returns a limiter on the leaping clock."""
    return AccountLimiter(per_second, waited, monotonic=time.monotonic)


async def passed_at(limiter: AccountLimiter, calls: int, weight: int = 1) -> list[float]:
    """Returns when each of so many calls, one after the other, was let pass, from now."""
    started = time.monotonic()
    moments = []
    for _ in range(calls):
        await limiter.acquire(weight)
        moments.append(time.monotonic() - started)
    return moments


async def seconds_of(limiter: AccountLimiter, calls: int, weight: int = 1) -> float:
    """Returns how long so many calls take once the first burst is used up."""
    await passed_at(limiter, 2 * PER_SECOND)
    return (await passed_at(limiter, calls, weight))[-1]


def busiest_second(moments: list[float]) -> int:
    """Returns the most calls that passed within any second."""
    return max(sum(start <= moment < start + 1 for moment in moments) for start in moments)


def test_a_long_wait_gives_signs_of_life() -> None:
    """However slow a throttled account is, whoever waits for it is seen to wait, every few seconds."""
    limiter, beats = limiter_of(0.1), list[float]()
    for _ in range(10):
        limiter.throttled()

    async def scenario() -> None:
        await limiter.acquire(weight=2, beat=lambda: beats.append(time.monotonic()))

    run_leaping(scenario)

    assert len(beats) == 2 * SLOWEST
    assert max(after - before for before, after in pairwise(beats)) < 11


@pytest.mark.parametrize("per_second", [0.1, 1, 2.5, 10, 100])
def test_rate_is_held(per_second: float) -> None:
    """Over any time the calls stay within the rate and the first burst, and they reach it."""

    async def scenario() -> list[float]:
        return await passed_at(limiter_of(per_second), 100)

    moments = run_leaping(scenario)

    burst = max(1.0, per_second / 4)
    expected = (100 - burst) / per_second
    assert moments[-1] == pytest.approx(expected, rel=0.1, abs=0.2)
    assert all(number <= burst + per_second * moment + 1 for number, moment in enumerate(moments, 1))


def test_no_burst_beyond_a_quarter() -> None:
    """No second sees more calls than the rate and a quarter, also after an idle hour."""

    async def scenario() -> list[float]:
        limiter = limiter_of()
        await passed_at(limiter, 30)
        await asyncio.sleep(3600)
        return await passed_at(limiter, 50)

    assert PER_SECOND <= busiest_second(run_leaping(scenario)) <= PER_SECOND * 1.25 + 1


def test_weight() -> None:
    """Calls of weight 2 pass at half the rate."""

    async def scenario() -> list[float]:
        return [await seconds_of(limiter_of(), 50), await seconds_of(limiter_of(), 50, weight=2)]

    light, heavy = run_leaping(scenario)

    assert light == pytest.approx(5, rel=0.1)
    assert heavy == pytest.approx(10, rel=0.1)


def test_users_share_the_rate() -> None:
    """Ten users at once get no more together than one alone, and nobody starves."""

    async def scenario() -> list[list[float]]:
        limiter = limiter_of()
        return await asyncio.gather(*(passed_at(limiter, 10) for _ in range(10)))

    by_user = run_leaping(scenario)

    assert max(moments[-1] for moments in by_user) == pytest.approx(9.75, rel=0.1)
    assert min(moments[-1] for moments in by_user) > 8
    assert busiest_second(sorted(chain.from_iterable(by_user))) <= PER_SECOND * 1.25 + 1


@pytest.mark.parametrize(("times", "factor"), [(1, 2), (2, 4), (4, 16), (9, SLOWEST)])
def test_throttled_calls_slow_all_down(times: int, factor: int) -> None:
    """Each throttled call halves the speed, down to a sixteenth."""

    async def scenario() -> float:
        limiter = limiter_of()
        for _ in range(times):
            limiter.throttled()
        return await seconds_of(limiter, 20)

    assert run_leaping(scenario) == pytest.approx(2 * factor, rel=0.1)


def test_calm_calls_speed_up_again() -> None:
    """Every twenty good calls running double the speed, up to the full one; a throttled call starts the count anew."""

    async def scenario() -> list[float]:
        limiter = limiter_of()
        limiter.throttled()
        limiter.throttled()
        passes = (CALM_CALLS, CALM_CALLS - 1, 1, 10 * CALM_CALLS)
        seconds = []
        for number in passes:
            for _ in range(number):
                limiter.passed()
            seconds.append(await seconds_of(limiter, 20))
        for _ in range(CALM_CALLS - 1):
            limiter.passed()
        limiter.throttled()
        limiter.passed()
        return [*seconds, await seconds_of(limiter, 20)]

    assert run_leaping(scenario) == pytest.approx([4, 4, 2, 2, 4], rel=0.1)


def test_pause_asked_for() -> None:
    """Retry-After holds back every later call, for the longest time asked for."""

    async def scenario() -> list[float]:
        limiter = limiter_of()
        limiter.throttled(30)
        limiter.throttled(5)
        return await asyncio.gather(*(_passed_after(limiter) for _ in range(2)))

    assert run_leaping(scenario) == pytest.approx([30, 30], abs=1)


def test_waits_are_told() -> None:
    """The seconds that calls had to wait are told, one by one."""
    waits: list[float] = []

    async def scenario() -> float:
        return (await passed_at(limiter_of(waited=waits.append), 20))[-1]

    total = run_leaping(scenario)

    assert len(waits) == 20
    assert waits[0] == pytest.approx(0, abs=0.01)
    assert sum(waits) == pytest.approx(total, abs=0.01)


async def _passed_after(limiter: AccountLimiter) -> float:
    return (await passed_at(limiter, 1))[0]
