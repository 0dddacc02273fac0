"""A client of the API on a transport of the test, which records the requests."""

from __future__ import annotations

import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import httpx
from alibabacloud_credentials.provider import StaticAKCredentialsProvider, StaticSTSCredentialsProvider

from exporter.ims.client import ImsClient, RetryBudget
from exporter.ims.credentials.source import CredentialSource
from exporter.ims.http import EndpointPool
from exporter.ims.rate_limit import AccountLimiter
from exporter.jobs.kinds import SMART

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine

    from exporter.ims.answers import Page

    Answer = httpx.Response
    Handler = Callable[[httpx.Request], Answer] | Callable[[httpx.Request], Coroutine[None, None, Answer]]

BASE_URL = "https://ice.cn-shanghai.aliyuncs.com"
SECRET = "canary0secret"
TOKEN = "canary0token"
NO_JOBS = {"RequestId": "r", "SmartJobList": []}


def source_of(key_id: str = "key-id", secret: str = SECRET, token: str = "") -> CredentialSource:
    """Returns a source of one key; with a token it is a temporary key."""
    return CredentialSource(
        lambda: (
            StaticSTSCredentialsProvider(access_key_id=key_id, access_key_secret=secret, security_token=token)
            if token
            else StaticAKCredentialsProvider(access_key_id=key_id, access_key_secret=secret)
        )
    )


def answer(status: int = 200, headers: dict[str, str] | None = None, **content: Any) -> httpx.Response:  # noqa: ANN401 - JSON
    """Returns an answer of the service, an empty page by default."""
    return httpx.Response(status, json=content or NO_JOBS, headers=headers)


def refusal(code: str, status: int = 400, retry_after: str = "") -> httpx.Response:
    """Returns an error answer of the service."""
    headers = {"Retry-After": retry_after} if retry_after else None
    return answer(status, headers, Code=code, Message="words", RequestId="r", HostId="h")


class Script:
    """Answers requests in order, then repeats the last answer; records the requests."""

    def __init__(self, *answers: httpx.Response | Exception) -> None:
        self.requests: list[httpx.Request] = []
        self.asked_at: list[float] = []
        self._answers = answers or (answer(),)

    def __call__(self, request: httpx.Request) -> httpx.Response:
        """Answers a request."""
        self.requests.append(request)
        self.asked_at.append(time.monotonic())
        given = self._answers[min(len(self.requests), len(self._answers)) - 1]
        if isinstance(given, Exception):
            raise given
        return httpx.Response(given.status_code, content=given.content, headers=given.headers)


@asynccontextmanager
async def client_of(
    handler: Handler,
    credentials: CredentialSource | None = None,
    *,
    observe: Callable[[str, str, float], None] = lambda *_: None,
    timeout_seconds: float = 10,
    calls_per_second: float = 1000,
) -> AsyncIterator[ImsClient]:
    """Yields a client whose requests the handler answers."""
    transport = httpx.MockTransport(handler)
    async with EndpointPool(BASE_URL, 60, transport) as pool:
        limiter = AccountLimiter(calls_per_second, monotonic=time.monotonic)
        source = credentials or source_of()
        yield ImsClient(SMART, pool, source, limiter, timeout_seconds=timeout_seconds, observe=observe)


async def list_with(handler: Handler, budget: RetryBudget | None = None, **options: Any) -> Page:  # noqa: ANN401 - for client_of
    """Makes one list call; without a budget it is not retried."""
    async with client_of(handler, **options) as client:
        return await client.list_jobs(size=10, budget=budget or RetryBudget(0))
