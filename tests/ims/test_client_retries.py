"""What is worth repeating is repeated, within bounds; a leaping clock takes the waiting out of it."""

from __future__ import annotations

import asyncio
import traceback
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from alibabacloud_credentials.provider import StaticAKCredentialsProvider

from exporter.errors import (
    ApiError,
    CredentialsError,
    ServerError,
    ThrottledError,
    TimedOutError,
    TransientError,
)
from exporter.ims.client import ATTEMPTS, LONGEST_PAUSE, RetryBudget
from exporter.ims.credentials.source import CredentialSource
from tests.support.api_client import SECRET, TOKEN, Script, answer, client_of, list_with, refusal, source_of
from tests.support.time_skipping_loop import run_skipping_time

if TYPE_CHECKING:
    from exporter.ims.answers import Page

TRANSIENT = [
    refusal("Throttling.User", 400),
    refusal("Throttling", 429),
    refusal("ServiceUnavailable", 503),
    refusal("InternalError", 500),
    httpx.Response(502, text="<html>Bad Gateway</html>"),
    httpx.ConnectError("refused"),
    httpx.ReadTimeout("late"),
    httpx.RemoteProtocolError("cut"),
]
PERMANENT = [
    refusal("SignatureDoesNotMatch"),
    refusal("InvalidAccessKeyId.NotFound", 404),
    refusal("InvalidSecurityToken.Expired"),
    refusal("InvalidTimeStamp.Expired"),
    refusal("SignatureNonceUsed"),
    refusal("NoPermission", 403),
    refusal("Forbidden.RAM", 403),
    refusal("InvalidParameter"),
    httpx.Response(200, text="<html>login</html>"),
    httpx.Response(404, text="<html>not found</html>"),
    httpx.UnsupportedProtocol("gopher"),
]


def name_of(given: httpx.Response | Exception) -> str:
    """Returns a name for an answer."""
    return type(given).__name__ if isinstance(given, Exception) else given.text[:40]


def call(script: Script, budget: RetryBudget | None = None, **options: Any) -> Page:  # noqa: ANN401 - for client_of
    """Makes one call with a minute for its repetitions."""
    return run_skipping_time(lambda: list_with(script, budget or RetryBudget(60), **options))


def pauses(script: Script) -> list[float]:
    """Returns the seconds between the requests."""
    return [after - before for before, after in zip(script.asked_at, script.asked_at[1:], strict=False)]


@pytest.mark.parametrize("given", TRANSIENT, ids=name_of)
def test_transient_errors_are_repeated(given: httpx.Response | Exception) -> None:
    """The call succeeds once the service does, after a pause, with a fresh nonce each time."""
    script = Script(given, given, answer())

    assert call(script).jobs == ()

    assert len(script.requests) == 3
    assert len({request.headers["x-acs-signature-nonce"] for request in script.requests}) == 3
    assert all(pause > 0 for pause in pauses(script))


@pytest.mark.parametrize("given", TRANSIENT, ids=name_of)
def test_five_attempts_at_most(given: httpx.Response | Exception) -> None:
    """A service that stays bad is left alone after five attempts, and its last error is raised."""
    script = Script(given)

    with pytest.raises(TransientError):
        call(script)

    assert len(script.requests) == ATTEMPTS == 5
    assert sum(pauses(script)) < 30


@pytest.mark.parametrize("given", PERMANENT, ids=name_of)
def test_permanent_errors_are_not_repeated(given: httpx.Response | Exception) -> None:
    """An error that would only come again is raised at once."""
    script = Script(given, answer())

    with pytest.raises(ApiError) as caught:
        call(script)

    assert len(script.requests) == 1
    assert not isinstance(caught.value, TransientError)


def test_pauses_are_random_and_grow() -> None:
    """No two clients knock in step, and a service that stays bad is asked less and less often."""
    scripts = [Script(refusal("InternalError", 500)) for _ in range(20)]
    for script in scripts:
        with pytest.raises(ServerError):
            call(script)

    by_turn = list(zip(*map(pauses, scripts), strict=True))

    assert [max(turn) <= longest + 0.1 for turn, longest in zip(by_turn, (0.5, 1, 2, 4), strict=True)] == [True] * 4
    assert len({round(pause, 6) for pause in by_turn[0]}) == len(scripts)
    assert sum(by_turn[3]) > sum(by_turn[0])


@pytest.mark.parametrize(
    ("header", "at_least", "at_most"),
    [("7", 7, 8), ("0", 0, 1), ("", 0, 1), ("soon", 0, 1), ("-5", 0, 1), ("1e9", 0, 1), ("9999999", 0, 1)],
)
def test_retry_after(header: str, at_least: float, at_most: float) -> None:
    """The service is not asked again before the seconds that it wants; nonsense asks for nothing."""
    script = Script(answer(429, {"Retry-After": header}, Code="Throttling"), answer())

    call(script)

    assert at_least <= pauses(script)[0] <= at_most


@pytest.mark.parametrize(("seconds", "attempts"), [(0, 1), (29, 1), (31, 2), (65, 3), (1000, 5)])
def test_budget(seconds: float, attempts: int) -> None:
    """An attempt that would start beyond the budget is not made."""
    script = Script(refusal("Throttling", retry_after="30"))

    with pytest.raises(ThrottledError):
        call(script, RetryBudget(seconds))

    assert len(script.requests) == attempts


def test_budget_is_shared() -> None:
    """What the repetitions of one call have used up is gone for the next; a call that needed none costs nothing."""
    throttled = refusal("Throttling", retry_after="30")
    script = Script(answer(), throttled, answer(), throttled, answer(), throttled)

    async def slow_at_first(request: httpx.Request) -> httpx.Response:
        await asyncio.sleep(0 if script.requests else 9)
        return script(request)

    async def scenario() -> None:
        budget = RetryBudget(65)
        async with client_of(slow_at_first) as client:
            for _ in range(3):
                await client.list_jobs(size=10, budget=budget)
                await asyncio.sleep(100)
            with pytest.raises(ThrottledError):
                await client.list_jobs(size=10, budget=budget)

    run_skipping_time(scenario)

    assert len(script.requests) == 6


def test_throttling_holds_back_other_calls() -> None:
    """While the service wants to be left alone, no other call of the account is made either, for a minute at most."""
    script = Script(refusal("Throttling", retry_after="999"), answer(State="Failed"))

    async def scenario() -> None:
        async with client_of(script) as client:
            with pytest.raises(ThrottledError):
                await client.list_jobs(size=10, budget=RetryBudget(0))
            await client.get_job("a", budget=RetryBudget(0))

    run_skipping_time(scenario)

    assert pauses(script) == pytest.approx([LONGEST_PAUSE], abs=0.5)


def test_good_calls_speed_up_again() -> None:
    """A throttled account is called at half the speed, until twenty calls have gone well."""
    script = Script(refusal("Throttling"), answer())

    async def scenario() -> None:
        async with client_of(script, calls_per_second=10) as client:
            for _ in range(70):
                await client.list_jobs(size=10, budget=RetryBudget(60))

    run_skipping_time(scenario)

    assert sum(pauses(script)[10:15]) == pytest.approx(1, rel=0.2)
    assert sum(pauses(script)[-10:]) == pytest.approx(1, rel=0.2)


def rotating(*key_ids: str) -> CredentialSource:
    """Returns a source that gives the next key each time it is made to look anew."""
    following = iter(key_ids)
    return CredentialSource(
        lambda: StaticAKCredentialsProvider(access_key_id=next(following), access_key_secret=SECRET)
    )


@pytest.mark.parametrize(
    "code", ["InvalidAccessKeyId.NotFound", "SignatureDoesNotMatch", "InvalidSecurityToken.Expired"]
)
def test_a_rotated_key_is_picked_up(code: str) -> None:
    """A key refused in mid-use is looked up anew; if it has changed, the call is made with the new one at once."""
    script = Script(answer(), refusal(code), answer())

    async def scenario() -> None:
        async with client_of(script, rotating("old", "new")) as client:
            for _ in range(2):
                await client.list_jobs(size=10, budget=RetryBudget(0))

    run_skipping_time(scenario)

    used = [request.headers["authorization"].partition("Credential=")[2][:3] for request in script.requests]
    assert used == ["old", "old", "new"]


def test_a_refused_key_is_not_tried_again() -> None:
    """Where there is no other key, the refusal is final; where the new one is refused too, it is as well."""
    same, both = Script(refusal("SignatureDoesNotMatch")), Script(refusal("SignatureDoesNotMatch"))

    for script, source in ((same, rotating("old", "old")), (both, rotating("old", "new", "newer"))):
        with pytest.raises(CredentialsError):
            call(script, credentials=source)

    assert (len(same.requests), len(both.requests)) == (1, 2)


def test_every_attempt_is_told() -> None:
    """Action, code and seconds of each attempt are told, waits for the limiter left out; failures by their code."""
    told: list[tuple[str, str, float]] = []
    script = Script(refusal("Throttling.User"), httpx.ConnectError("x"), httpx.ReadTimeout("x"), answer())

    call(script, observe=lambda *attempt: told.append(attempt))

    assert [attempt[:2] for attempt in told] == [
        ("ListSmartJobs", "Throttling.User"),
        ("ListSmartJobs", "ConnectError"),
        ("ListSmartJobs", "Timeout"),
        ("ListSmartJobs", "OK"),
    ]
    assert all(0 <= seconds < 0.5 for _, _, seconds in told)


def test_a_call_that_is_cut_short_is_not_told_as_good() -> None:
    """An attempt that is cancelled has neither failed nor succeeded."""
    told: list[str] = []

    async def never(_: httpx.Request) -> httpx.Response:
        await asyncio.Event().wait()
        raise AssertionError

    async def scenario() -> None:
        async with client_of(never, observe=lambda _action, code, _seconds: told.append(code)) as client:
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(client.list_jobs(size=10, budget=RetryBudget(0)), 1)

    run_skipping_time(scenario)

    assert told == ["Interrupted"]


def test_every_attempt_is_a_heartbeat() -> None:
    """Each attempt of a call calls `heartbeat`, so that the poll does not look hung."""
    heartbeats: list[int] = []
    script = Script(refusal("Throttling"), httpx.ReadTimeout("x"), answer())

    call(script, RetryBudget(60, heartbeat=lambda: heartbeats.append(len(script.requests))))

    assert set(heartbeats) == {0, 1, 2, 3}


def test_an_answer_that_is_none_is_told_as_it_came() -> None:
    """A call that fails only in the reading was a good exchange."""
    told: list[str] = []

    with pytest.raises(ApiError):
        call(Script(httpx.Response(200, text="<html>")), observe=lambda _action, code, _seconds: told.append(code))

    assert told == ["OK"]


@pytest.mark.parametrize("given", [*TRANSIENT, *PERMANENT], ids=name_of)
def test_no_error_tells_a_secret(given: httpx.Response | Exception) -> None:
    """Neither message nor trace of any error holds the secret or the token."""
    with pytest.raises(ApiError) as caught:
        call(Script(given), RetryBudget(0), credentials=source_of(token=TOKEN))

    told = repr(caught.value) + "".join(traceback.format_exception(caught.value))
    assert SECRET not in told
    assert TOKEN not in told


def test_a_source_of_keys_that_fails_for_a_while() -> None:
    """If the service that issues the keys fails, the call is retried within its budget, and made with the key."""
    failures = iter([ServerError("STS fails"), TimedOutError("STS hangs"), None])
    script = Script()

    class Source:
        """Fails twice, then has a key."""

        async def get_credentials_async(self) -> object:
            """Returns the key."""
            if failure := next(failures):
                raise failure
            return StaticAKCredentialsProvider(access_key_id="id", access_key_secret=SECRET).get_credentials()

    async def scenario(budget: float) -> None:
        async with client_of(script, CredentialSource(Source)) as client:
            await client.list_jobs(size=10, budget=RetryBudget(budget))

    with pytest.raises(ServerError):
        run_skipping_time(lambda: scenario(0))
    run_skipping_time(lambda: scenario(60))

    assert len(script.requests) == 1
