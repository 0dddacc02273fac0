"""The IMS API client: signed calls, errors by decision, retries within a budget, a shared rate limit.

Calls go `_call` (retries) → `_attempt` (rate limit, connection, measurement) → `_exchange` (HTTP) → `sign` (signs
what is on the wire).
"""

from __future__ import annotations

import asyncio
import secrets
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

import httpx
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type, stop_after_attempt, stop_any
from tenacity.stop import stop_base
from tenacity.wait import wait_random_exponential

from exporter.errors import (
    ApiError,
    BadRequestError,
    BadResponseError,
    CredentialsError,
    ForbiddenError,
    ThrottledError,
    TransientError,
)
from exporter.ims import signature
from exporter.ims.answers import HTTP_ERRORS, JobDetails, Page, PageDecoder, parse_details, parse_error
from exporter.ims.connections import CallSlots
from exporter.ims.http import HEADERS, by_proxy, read_body, translated

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from exporter.ims.credentials.source import AccessKey, CredentialSource
    from exporter.ims.http import EndpointPool
    from exporter.ims.proxies import Proxy
    from exporter.ims.rate_limit import AccountLimiter
    from exporter.jobs.kinds import JobKind

API_VERSION = "2020-11-09"
MAX_BODY_BYTES = 4 * 1024 * 1024
"""Maximum size of an answer: a page of 100 jobs has 0.05 to 0.5 MiB."""
MAX_INLINE_BYTES = 256 * 1024
"""Maximum size of an answer that is decoded on the event loop; a larger one is decoded in a thread."""
ATTEMPTS = 5
LONGEST_PAUSE = 60.0


def sign(request: httpx.Request, key: AccessKey, now: float) -> None:
    """Signs one attempt of a call as it is sent: adds date, a new nonce, token and `Authorization`."""
    moment = datetime.fromtimestamp(now, UTC)
    request.headers["x-acs-date"] = moment.strftime("%Y-%m-%dT%H:%M:%SZ")
    request.headers["x-acs-signature-nonce"] = secrets.token_hex(16)
    request.headers["x-acs-content-sha256"] = signature.EMPTY_BODY_SHA256
    if key.security_token:
        request.headers["x-acs-security-token"] = key.security_token
    raw = ((name.lower().decode(), value.decode()) for name, value in request.headers.raw)
    signed = {name: value for name, value in raw if signature.is_signed(name)}
    canonical = signature.canonical_request(
        request.method, request.url.path, request.url.query.decode(), signed, signature.EMPTY_BODY_SHA256
    )
    request.headers["authorization"] = signature.authorization(
        key.key_id, signed, signature.signature(key.secret, canonical)
    )


class RetryBudget(stop_base):
    """The seconds that the calls of one poll may spend on second and further attempts, all together.

    `heartbeat` is called while they wait and after each attempt: the poll is alive.
    """

    def __init__(self, seconds: float, heartbeat: Callable[[], None] = lambda: None) -> None:
        self._left = seconds
        self.heartbeat = heartbeat

    def __call__(self, retry_state: RetryCallState) -> bool:
        """Says whether the attempt coming up would start beyond the budget."""
        return (retry_state.seconds_since_start or 0.0) + retry_state.upcoming_sleep > self._left

    def charge(self, seconds: float) -> None:
        """Takes what a retried call has spent."""
        self._left -= seconds


def retry_pause(state: RetryCallState) -> float:
    """Returns the seconds to wait before the next attempt: random, growing, never less than the service asks."""
    error = state.outcome.exception() if state.outcome else None
    asked = error.retry_after if isinstance(error, ApiError) else 0.0
    return max(asked, wait_random_exponential(multiplier=0.5, max=10)(state))


@dataclass(frozen=True, slots=True)
class _Call:
    """One call of the service, however often it is tried."""

    method: str
    action: str
    parameters: Mapping[str, str]
    weight: int
    """Calls of the rate limit that it takes."""
    heartbeat: Callable[[], None]


class ImsClient:
    """Calls IMS for one job kind of a target.

    `pool` holds the endpoint's connections, with as many `slots` as it has connections (both shared by its targets),
    `limiter` the account's. `proxy` is that of the pool, for messages.
    `observe` receives action, code and seconds of every attempt.
    """

    def __init__(
        self,
        kind: JobKind,
        pool: EndpointPool,
        credentials: CredentialSource,
        limiter: AccountLimiter,
        *,
        timeout_seconds: float,
        slots: CallSlots | None = None,
        proxy: Proxy | None = None,
        observe: Callable[[str, str, float], None] = lambda *_: None,
    ) -> None:
        self.kind = kind
        self._decoder = PageDecoder(kind)
        self._pool = pool
        self._slots = slots or CallSlots()
        self._headers = {action: headers(action) for action in kind.actions}
        self._credentials = credentials
        self._limiter = limiter
        self._timeout = timeout_seconds
        self._proxy = proxy
        self._observe = observe

    async def list_jobs(
        self,
        *,
        job_type: str = "",
        job_state: str = "",
        size: int,
        token: str = "",
        number: int = 0,
        budget: RetryBudget,
        weight: int = 1,
    ) -> Page:
        """Returns one page of the list, newest job first; raises ApiError.

        `job_type` and `job_state` filter the list, in the service's own words. `size` is the maximum number of jobs.
        The page is the one that `token` leads to (`next_token` of the page before), or that has this `number`, from 1.
        """
        filters, paging = self.kind.filters, self.kind.paging
        order, newest_first = self.kind.newest_first
        parameters = {
            filters.state: job_state,
            filters.job_type: job_type,
            order: newest_first,
            **({paging.number: str(number), paging.number_size: str(size)} if number else {paging.size: str(size)}),
            paging.token: token,
        }
        body, server_time = await self._call(
            _Call(self.kind.method, self.kind.action, parameters, weight, budget.heartbeat), budget
        )
        try:
            if len(body) > MAX_INLINE_BYTES:
                return await asyncio.to_thread(self._decoder.decode, body, server_time)
            return self._decoder.decode(body, server_time)
        except BadResponseError as error:
            refused = error.with_traceback(None)
            # The frames and causes of the error hold the answer, and the error lives until the next garbage collection.
            refused.__cause__ = refused.__context__ = None
        finally:
            del body
        raise refused

    async def get_job(self, job_id: str, *, budget: RetryBudget) -> JobDetails:
        """Returns one job with the reason of its failure.

        Raises NotFoundError for a job that the service does not know, and ApiError. The kind must have a details call.
        """
        details = self.kind.details
        if details is None:
            raise BadRequestError(f"{self.kind.title} have no details call", code="NoDetailsCall")
        body, _ = await self._call(
            _Call(details.method, details.action, {details.job_id: job_id}, 1, budget.heartbeat), budget
        )
        return parse_details(body, self.kind, details)

    async def _call(self, call: _Call, budget: RetryBudget) -> tuple[bytes, int | None]:
        """Makes the first attempt, and repeats it within the budget after a passing error."""
        started = time.monotonic()
        try:
            return await self._attempt_with_current_key(call)
        except TransientError as error:
            failed = [error]

        async def attempt() -> tuple[bytes, int | None]:
            if failed:
                raise failed.pop()  # the attempt made above, so that the pause before the next one goes by its error
            return await self._attempt_with_current_key(call)

        retrying = AsyncRetrying(
            retry=retry_if_exception_type(TransientError),
            stop=stop_any(stop_after_attempt(ATTEMPTS), budget),
            wait=retry_pause,
            reraise=True,
        )
        try:
            return await retrying(attempt)
        finally:
            if retrying.statistics.get("attempt_number", 1) > 1:
                budget.charge(time.monotonic() - started)

    async def _attempt_with_current_key(self, call: _Call) -> tuple[bytes, int | None]:
        """Makes one attempt, and one more if the key was refused and has been rotated since."""
        key = await self._credentials.current()
        try:
            return await self._attempt(call, key)
        except CredentialsError:
            self._credentials.forget(key)
            following = await self._credentials.current()
            if following == key:
                raise
            return await self._attempt(call, following)

    async def _attempt(self, call: _Call, key: AccessKey) -> tuple[bytes, int | None]:
        """Makes one attempt once the rate limit and a connection allow it; the waits are not part of its time."""
        await self._limiter.acquire(call.weight, call.heartbeat)
        async with self._slots.acquire(for_survey=call.weight > 1, heartbeat=call.heartbeat):
            started = time.monotonic()
            code = "Interrupted"
            try:
                answer = await self._exchange(call, key)
                code = "OK"
            except ApiError as error:
                code = error.code
                if isinstance(error, ThrottledError):
                    self._limiter.record_throttled(min(error.retry_after, LONGEST_PAUSE))
                raise
            finally:
                self._observe(call.action, code, time.monotonic() - started)
                call.heartbeat()
            self._limiter.record_success()
            return answer

    async def _exchange(self, call: _Call, key: AccessKey) -> tuple[bytes, int | None]:
        query = signature.canonical_query((name, value) for name, value in call.parameters.items() if value)
        with translated(self._proxy):
            request = self._pool.request(call.method, query, self._headers[call.action])
            sign(request, key, time.time())
            async with asyncio.timeout(self._timeout):
                response = await self._pool.send(request)
                try:
                    body = await read_body(response, MAX_BODY_BYTES)
                finally:
                    await response.aclose()
        if response.status_code >= HTTP_ERRORS:
            error = parse_error(response.status_code, body, _retry_after(response), self._credentials.redact)
            if isinstance(error, ForbiddenError):
                error.name_action(call.action)
            raise error if error.code != f"Http{response.status_code}" else by_proxy(error, self._proxy)
        if not response.is_success:
            message = f"HTTP status {response.status_code} instead of an answer"
            raise by_proxy(BadResponseError(message, code=f"Http{response.status_code}"), self._proxy)
        return body, _server_time(response)


def headers(action: str) -> httpx.Headers:
    """Returns the headers that all requests of an action have in common."""
    return httpx.Headers(
        {**HEADERS, "accept": "application/json", "x-acs-action": action, "x-acs-version": API_VERSION}
    )


def _server_time(response: httpx.Response) -> int | None:
    try:
        return int(parsedate_to_datetime(response.headers["date"]).timestamp())
    except (KeyError, ValueError, OverflowError):
        return None


def _retry_after(response: httpx.Response) -> float:
    text = response.headers.get("retry-after", "")
    return float(text) if text.isascii() and text.isdigit() and len(text) < 7 else 0.0  # noqa: PLR2004 - days
