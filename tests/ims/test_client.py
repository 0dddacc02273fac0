"""A call goes over the wire as documented and signed, and whatever comes back is an answer or an error of ours."""

from __future__ import annotations

import asyncio
import gzip
import re
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from aiohttp import web

from exporter.errors import (
    ApiError,
    BadRequestError,
    BadResponseError,
    NetworkError,
    NotFoundError,
    TimedOutError,
)
from exporter.ims.client import MAX_BODY_BYTES, ImsClient, RetryBudget, sign
from exporter.ims.credentials.source import AccessKey
from exporter.ims.http import endpoint_pool, translated
from exporter.ims.rate_limit import AccountLimiter
from exporter.jobs.kinds import SMART
from exporter.simulator.authentication import Key
from exporter.simulator.faults import Fault
from exporter.simulator.server import DEMO_KEY, Simulator
from tests.support.api_client import SECRET, TOKEN, Script, answer, client_of, list_with, source_of
from tests.support.dead_endpoint import dead_endpoint
from tests.support.time_skipping_loop import run_skipping_time

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

NO_RETRIES = RetryBudget(0)
TEMPORARY = Key("STS.id", SECRET, token=f"{TOKEN}+/==")
PARAMETERS = [
    ({"size": 10}, "MaxResults=10&SortBy=CreationTime%3ADesc"),
    ({"size": 10, "job_type": "ASR"}, "JobType=ASR&MaxResults=10&SortBy=CreationTime%3ADesc"),
    ({"size": 10, "job_state": "Failed"}, "JobState=Failed&MaxResults=10&SortBy=CreationTime%3ADesc"),
    ({"size": 100, "token": "a+b/c="}, "MaxResults=100&NextToken=a%2Bb%2Fc%3D&SortBy=CreationTime%3ADesc"),
    ({"size": 50, "number": 2}, "PageNo=2&PageSize=50&SortBy=CreationTime%3ADesc"),
]


def with_simulator(
    scenario: Callable[[Simulator, ImsClient], Awaitable[None]], key: Key = DEMO_KEY, *, timeout_seconds: float = 30
) -> None:
    """Runs a scenario with a client of a real endpoint that verifies what is signed."""

    async def run() -> None:
        async with Simulator(keys=[DEMO_KEY, TEMPORARY]) as simulator, endpoint_pool(simulator.url, 30) as http:
            source = source_of(key.key_id, key.secret, key.token)
            await scenario(
                simulator, ImsClient(SMART, http, source, AccountLimiter(1000), timeout_seconds=timeout_seconds)
            )

    asyncio.run(run())


@pytest.mark.parametrize(("arguments", "query"), PARAMETERS)
def test_parameters_on_the_wire(arguments: dict[str, Any], query: str) -> None:
    """Each parameter stands in the query, sorted and encoded as it is signed; what is not given is left out."""
    script = Script()

    async def scenario() -> None:
        async with client_of(script) as client:
            await client.list_jobs(**arguments, budget=NO_RETRIES)

    asyncio.run(scenario())

    (request,) = script.requests
    assert (request.method, request.url.raw_path) == ("GET", f"/?{query}".encode())
    assert request.content == b""


def test_headers_on_the_wire() -> None:
    """A call names action, version, time, nonce and body, and signs all of them and the host."""
    script = Script(answer(State="Failed"))

    async def scenario() -> None:
        async with client_of(script, source_of(token=TOKEN)) as client:
            await client.get_job("a/b", budget=NO_RETRIES)

    asyncio.run(scenario())

    (request,) = script.requests
    headers = request.headers
    assert (request.method, request.url.raw_path) == ("POST", b"/?JobId=a%2Fb")
    assert (headers["x-acs-action"], headers["x-acs-version"]) == ("GetSmartHandleJob", "2020-11-09")
    assert headers["x-acs-security-token"] == TOKEN
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", headers["x-acs-date"])
    assert re.fullmatch("[0-9a-f]{32}", headers["x-acs-signature-nonce"])
    assert re.fullmatch(
        "ACS3-HMAC-SHA256 Credential=key-id,SignedHeaders=host;x-acs-action;x-acs-content-sha256;x-acs-date;"
        "x-acs-security-token;x-acs-signature-nonce;x-acs-version,Signature=[0-9a-f]{64}",
        headers["authorization"],
    )
    assert SECRET not in str(headers.raw)


@pytest.mark.parametrize("key", [DEMO_KEY, TEMPORARY], ids=lambda key: key.key_id)
def test_both_forms_of_paging(key: Key) -> None:
    """By token and by number, with a plain and with a temporary key, every job is seen once, newest first."""

    async def scenario(simulator: Simulator, client: ImsClient) -> None:
        created = [simulator.jobs.create("ASR", state="Failed", created_at=1000 + number) for number in range(25)]
        by_token, token = [], ""
        for _ in range(3):
            page = await client.list_jobs(size=10, token=token, budget=NO_RETRIES)
            by_token += [job.job_id for job in page.jobs]
            token = page.next_token
        by_number = [
            job.job_id
            for number in (1, 2, 3)
            for job in (await client.list_jobs(number=number, size=10, budget=NO_RETRIES)).jobs
        ]

        assert by_token == by_number == created[::-1]
        assert token == ""

    with_simulator(scenario, key)


def test_one_job() -> None:
    """A job is told with its reason; one that is not there is NotFoundError; a wrong filter is BadRequestError."""

    async def scenario(simulator: Simulator, client: ImsClient) -> None:
        job_id = simulator.jobs.create("ASR", state="Failed", error=("Code", "words"))

        job = await client.get_job(job_id, budget=NO_RETRIES)
        with pytest.raises(NotFoundError):
            await client.get_job("nobody", budget=NO_RETRIES)
        with pytest.raises(BadRequestError):
            await client.list_jobs(size=10, job_state="Nowhere", budget=NO_RETRIES)

        assert (job.job_state, job.error_code, job.error_message) == ("Failed", "Code", "words")

    with_simulator(scenario)


def test_each_attempt_is_signed_anew() -> None:
    """Date and nonce are those of the attempt, not of the call."""
    signed = []
    for moment in (1_700_000_000.0, 1_700_000_060.0):
        request = httpx.Request("GET", "https://endpoint/?a=b")
        sign(request, AccessKey("key-id", SECRET), moment)
        signed.append(request.headers)

    first, second = signed
    assert (first["x-acs-date"], second["x-acs-date"]) == ("2023-11-14T22:13:20Z", "2023-11-14T22:14:20Z")
    assert first["x-acs-signature-nonce"] != second["x-acs-signature-nonce"]
    assert first["authorization"] != second["authorization"]


def all_kinds(kind: type[Exception]) -> Iterator[type[Exception]]:
    """Yields an error class and all below it."""
    yield kind
    for below in kind.__subclasses__():
        yield from all_kinds(below)


@pytest.mark.parametrize(
    "kind",
    [kind for top in (httpx.HTTPError, httpx.StreamError, httpx.InvalidURL) for kind in all_kinds(top)],
    ids=lambda kind: kind.__name__,
)
def test_every_error_of_httpx_is_translated(kind: type[Exception]) -> None:
    """No error of httpx gets through, those to come included; each has a code for the metrics."""
    error = kind.__new__(kind, "words")

    with pytest.raises(ApiError) as caught, translated():
        raise error

    assert re.fullmatch("[A-Za-z]+", caught.value.code)
    assert type(caught.value) is not ApiError


@pytest.mark.parametrize(
    ("fault", "kind", "code"),
    [
        (Fault("reset"), NetworkError, "NetworkError"),
        (Fault("cut"), NetworkError, "NetworkError"),
        (Fault("hang"), TimedOutError, "Timeout"),
        (Fault("garbage"), BadResponseError, "BadResponse"),
        (Fault("garbage", status=502), ApiError, "Http502"),
        (Fault("garbage", status=204, body=""), BadResponseError, "BadResponse"),
    ],
    ids=lambda value: getattr(value, "kind", ""),
)
def test_faults_of_the_wire(fault: Fault, kind: type[ApiError], code: str) -> None:
    """What can happen to a real connection ends in an error of ours."""

    async def scenario(simulator: Simulator, client: ImsClient) -> None:
        simulator.faults.add(fault)
        with pytest.raises(kind) as caught:
            await client.list_jobs(size=10, budget=NO_RETRIES)
        assert caught.value.code == code

    with_simulator(scenario, timeout_seconds=0.5 if kind is TimedOutError else 30)


def test_nobody_there() -> None:
    """An endpoint that does not listen is a NetworkError, a URL that is none a BadRequestError."""

    async def call(url: str) -> None:
        async with endpoint_pool(url, 5) as http:
            client = ImsClient(SMART, http, source_of(), AccountLimiter(1000), timeout_seconds=5)
            await client.list_jobs(size=10, budget=NO_RETRIES)

    with dead_endpoint() as url, pytest.raises(NetworkError):
        asyncio.run(call(url))
    with pytest.raises(BadRequestError):
        asyncio.run(call("ftp://127.0.0.1"))


def test_nothing_is_kept_from_call_to_call() -> None:
    """A cookie that an answer sets is not sent with the next call, nor anything else of the first one."""
    script = Script(answer(headers={"Set-Cookie": "a=b; Path=/"}, SmartJobList=[], State="Failed"))

    async def scenario() -> None:
        async with client_of(script) as client:
            await client.list_jobs(size=10, job_type="ASR", budget=NO_RETRIES)
            await client.get_job("a", budget=NO_RETRIES)

    asyncio.run(scenario())

    first, second = script.requests
    assert "cookie" not in second.headers
    assert (first.headers["x-acs-action"], second.headers["x-acs-action"]) == ("ListSmartJobs", "GetSmartHandleJob")
    assert (first.url.raw_path, second.url.raw_path) == (
        b"/?JobType=ASR&MaxResults=10&SortBy=CreationTime%3ADesc",
        b"/?JobId=a",
    )


def test_redirects_are_not_followed() -> None:
    """A redirect, which would carry the signed headers elsewhere, is an error."""
    visited = []

    async def redirect(request: web.Request) -> web.Response:
        visited.append(request.path)
        return web.Response(status=302, headers={"Location": "/elsewhere"})

    async def scenario() -> None:
        app = web.Application()
        app.router.add_get("/{path:.*}", redirect)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        async with endpoint_pool(url, 5) as http:
            client = ImsClient(SMART, http, source_of(), AccountLimiter(1000), timeout_seconds=5)
            with pytest.raises(BadResponseError, match="302"):
                await client.list_jobs(size=10, budget=RetryBudget(60))
        await runner.cleanup()

    asyncio.run(scenario())

    assert visited == ["/"]


def test_size_of_an_answer_is_capped() -> None:
    """An answer that unpacks to more than the cap is refused before it is whole."""
    packed = gzip.compress(b" " * (MAX_BODY_BYTES + 1), compresslevel=1)

    async def body() -> AsyncIterator[bytes]:
        yield packed

    with pytest.raises(BadResponseError) as caught:
        asyncio.run(list_with(lambda _: httpx.Response(200, content=body(), headers={"content-encoding": "gzip"})))

    assert caught.value.code == "BodyTooLarge"


def test_a_trickling_answer_times_out() -> None:
    """The timeout is for the attempt as a whole, so that a byte a second does not keep it alive."""

    async def trickle() -> AsyncIterator[bytes]:
        while True:
            await asyncio.sleep(1)
            yield b" "

    async def scenario() -> float:
        started = asyncio.get_running_loop().time()
        with pytest.raises(TimedOutError):
            await list_with(lambda _: httpx.Response(200, content=trickle()), timeout_seconds=5)
        return asyncio.get_running_loop().time() - started

    assert run_skipping_time(scenario) == pytest.approx(5, abs=0.5)


@pytest.mark.parametrize(
    ("date", "expected"),
    [
        ("Tue, 14 Nov 2023 22:13:20 GMT", 1_700_000_000),
        ("Tue, 14 Nov 2023 22:13:20 +0100", 1_699_996_400),
        *((text, None) for text in ("", "soon", "0", "Tue, 99 Nov 2023 22:13:20 GMT", "1 Jan 99999 0:0:0 +9999")),
    ],
)
def test_clock_of_the_service(date: str, expected: int | None) -> None:
    """The Date header tells the service's clock; nonsense tells nothing."""
    page = asyncio.run(list_with(Script(answer(headers={"Date": date}))))

    assert page.server_time == expected
    assert asyncio.run(list_with(Script())).server_time is None
