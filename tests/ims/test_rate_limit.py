"""All callers of an account share its rate, which slows down when the service throttles."""

from __future__ import annotations

import asyncio
import time
from itertools import chain, pairwise
from typing import TYPE_CHECKING

import pytest

from exporter.ims.rate_limit import CALLS_TO_SPEED_UP, MAX_COST, AccountLimiter
from tests.support.time_skipping_loop import run_skipping_time

if TYPE_CHECKING:
    from collections.abc import Callable

PER_SECOND = 10


def limiter_of(
    per_second: float = PER_SECOND, observe_wait: Callable[[float], None] = lambda _: None
) -> AccountLimiter:
    """Returns a limiter on the leaping clock."""
    return AccountLimiter(per_second, observe_wait, monotonic=time.monotonic)


async def passed_at(limiter: AccountLimiter, calls: int, weight: int = 1) -> list[float]:
    """Makes calls one after the other; returns the seconds after which each was let through."""
    started = time.monotonic()
    moments = []
    for _ in range(calls):
        await limiter.acquire(weight)
        moments.append(time.monotonic() - started)
    return moments


async def seconds_of(limiter: AccountLimiter, calls: int, weight: int = 1) -> float:
    """Returns the seconds that a number of calls take after the first burst."""
    await passed_at(limiter, 2 * PER_SECOND)
    return (await passed_at(limiter, calls, weight))[-1]


def busiest_second(moments: list[float]) -> int:
    """Returns the maximum number of calls within one second."""
    return max(sum(start <= moment < start + 1 for moment in moments) for start in moments)


def test_heartbeats_during_a_long_wait() -> None:
    """A caller that waits for a slow, throttled account sends a heartbeat every few seconds."""
    limiter, heartbeats = limiter_of(0.1), list[float]()
    for _ in range(10):
        limiter.record_throttled()

    async def scenario() -> None:
        await limiter.acquire(weight=2, heartbeat=lambda: heartbeats.append(time.monotonic()))

    run_skipping_time(scenario)

    assert len(heartbeats) == 2 * MAX_COST
    assert max(after - before for before, after in pairwise(heartbeats)) < 11


@pytest.mark.parametrize("per_second", [0.1, 1, 2.5, 10, 100])
def test_rate_is_held(per_second: float) -> None:
    """Calls never exceed the rate plus the first burst, and they reach it."""

    async def scenario() -> list[float]:
        return await passed_at(limiter_of(per_second), 100)

    moments = run_skipping_time(scenario)

    burst = max(1.0, per_second / 4)
    expected = (100 - burst) / per_second
    assert moments[-1] == pytest.approx(expected, rel=0.1, abs=0.2)
    assert all(number <= burst + per_second * moment + 1 for number, moment in enumerate(moments, 1))


def test_no_burst_beyond_a_quarter() -> None:
    """No second has more calls than the rate plus a quarter, even after an idle hour."""

    async def scenario() -> list[float]:
        limiter = limiter_of()
        await passed_at(limiter, 30)
        await asyncio.sleep(3600)
        return await passed_at(limiter, 50)

    assert PER_SECOND <= busiest_second(run_skipping_time(scenario)) <= PER_SECOND * 1.25 + 1


def test_weight() -> None:
    """Calls of weight 2 pass at half the rate."""

    async def scenario() -> list[float]:
        return [await seconds_of(limiter_of(), 50), await seconds_of(limiter_of(), 50, weight=2)]

    light, heavy = run_skipping_time(scenario)

    assert light == pytest.approx(5, rel=0.1)
    assert heavy == pytest.approx(10, rel=0.1)


def test_users_share_the_rate() -> None:
    """Ten concurrent callers together get no more than one alone, and none of them starves."""

    async def scenario() -> list[list[float]]:
        limiter = limiter_of()
        return await asyncio.gather(*(passed_at(limiter, 10) for _ in range(10)))

    by_user = run_skipping_time(scenario)

    assert max(moments[-1] for moments in by_user) == pytest.approx(9.75, rel=0.1)
    assert min(moments[-1] for moments in by_user) > 8
    assert busiest_second(sorted(chain.from_iterable(by_user))) <= PER_SECOND * 1.25 + 1


@pytest.mark.parametrize(("times", "factor"), [(1, 2), (2, 4), (4, 16), (9, MAX_COST)])
def test_throttled_calls_slow_all_down(times: int, factor: int) -> None:
    """Each throttled call halves the rate, down to a sixteenth."""

    async def scenario() -> float:
        limiter = limiter_of()
        for _ in range(times):
            limiter.record_throttled()
        return await seconds_of(limiter, 20)

    assert run_skipping_time(scenario) == pytest.approx(2 * factor, rel=0.1)


def test_successful_calls_speed_up_again() -> None:
    """Every 20 consecutive successful calls double the rate, up to the full one; a throttled call resets the count."""

    async def scenario() -> list[float]:
        limiter = limiter_of()
        limiter.record_throttled()
        limiter.record_throttled()
        passes = (CALLS_TO_SPEED_UP, CALLS_TO_SPEED_UP - 1, 1, 10 * CALLS_TO_SPEED_UP)
        seconds = []
        for number in passes:
            for _ in range(number):
                limiter.record_success()
            seconds.append(await seconds_of(limiter, 20))
        for _ in range(CALLS_TO_SPEED_UP - 1):
            limiter.record_success()
        limiter.record_throttled()
        limiter.record_success()
        return [*seconds, await seconds_of(limiter, 20)]

    assert run_skipping_time(scenario) == pytest.approx([4, 4, 2, 2, 4], rel=0.1)


def test_retry_after() -> None:
    """Retry-After delays every later call, by the longest delay that was asked for."""

    async def scenario() -> list[float]:
        limiter = limiter_of()
        limiter.record_throttled(30)
        limiter.record_throttled(5)
        return await asyncio.gather(*(_passed_after(limiter) for _ in range(2)))

    assert run_skipping_time(scenario) == pytest.approx([30, 30], abs=1)


def test_waits_are_observed() -> None:
    """The limiter reports the seconds that each call waited."""
    waits: list[float] = []

    async def scenario() -> float:
        return (await passed_at(limiter_of(observe_wait=waits.append), 20))[-1]

    total = run_skipping_time(scenario)

    assert len(waits) == 20
    assert waits[0] == pytest.approx(0, abs=0.01)
    assert sum(waits) == pytest.approx(total, abs=0.01)


async def _passed_after(limiter: AccountLimiter) -> float:
    return (await passed_at(limiter, 1))[0]
