"""The HTTP calls of the credentials library: to STS, to the metadata of an ECS instance, to a credentials URI.

All providers of the library send their requests by one function, `TeaCore.async_do_action`. It is replaced here: the
library's own one takes proxies from the environment without heeding NO_PROXY, loads the CA certificates for each call,
reads answers of any size, and returns errors as one text that holds secrets.
"""

from __future__ import annotations

import json
import re
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

import httpx
from Tea.core import TeaCore
from Tea.response import TeaResponse

from exporter.errors import (
    ApiError,
    ClockSkewError,
    CredentialsError,
    ServerError,
    ThrottledError,
    TimedOutError,
    TransientError,
)
from exporter.ims.answers import HTTP_ERRORS, parse_error
from exporter.ims.http import Network, by_proxy, read_body, translated

if TYPE_CHECKING:
    from collections.abc import Iterator

    from Tea.request import TeaRequest

METADATA_HOST = "100.100.100.200"
"""The metadata service of ECS. It is on the machine itself: no proxy may see the keys that it returns."""
MAX_ANSWER_BYTES = 64 * 1024
NO_CREDENTIALS = "NoCredentials"
"""Code of an error without a call of IMS, because there was no key to sign it with."""
DEFAULT_TIMEOUT = 5000

OWN_CODES = {"Timeout", "ConnectError", "ProxyError", "NetworkError", "StreamError", "BodyTooLarge", "BadEncoding"}
"""The codes of errors whose text is ours or httpx's, and quotes nothing."""

CODE = re.compile(r"[A-Za-z0-9_.]{1,64}")
"""What an error code looks like; anything else may repeat what was sent."""

HINT_OF_CODE = {
    "NoPermission": "allow sts:AssumeRole on the role to the caller, and name the caller in the role's trust policy",
    "EntityNotExist": "check role_arn: the role does not exist",
    "AuthenticationFail": "check the OIDC provider and its trust policy, and that the token file is current",
    "InvalidTimeStamp": ClockSkewError.hint,
}
"""What to do about a refusal, by the beginning of the error code of STS."""
HINTS: tuple[tuple[type[ApiError], str], ...] = (
    (ThrottledError, "the quota of STS is shared by the whole account: it passes by itself"),
    (ServerError, "the service that issues the keys is at fault; wait until it recovers"),
    (TimedOutError, "check the network path to this host"),
    (TransientError, "check the host's name, DNS, the proxy and firewalls"),
    (ClockSkewError, ClockSkewError.hint),
)


@dataclass(slots=True)
class Exchange:
    """The calls of one fetch of a key."""

    network: Network
    expires_at: float | None = None
    """When the key in the last answer expires, Unix seconds; None if no answer had a key with an end."""
    failure: ApiError | None = None
    """The error of the last call, if it failed: the library may return an old key all the same."""

    async def send(self, request: TeaRequest, options: dict[str, Any]) -> TeaResponse:
        """Sends a request of the library; raises ApiError for every answer but a good one."""
        request.port = request.port or 80  # the library's word for the default port of the scheme
        url = TeaCore.compose_url(request)
        host = httpx.URL(url).netloc.decode()
        is_local = httpx.URL(url).host == METADATA_HOST
        proxy = None if is_local else self.network.proxies.for_url(url)
        action = request.query.get("Action", "the key")
        connect, read = (int(options.get(name) or DEFAULT_TIMEOUT) / 1000 for name in ("connectTimeout", "readTimeout"))
        try:
            with translated(proxy):
                async with (
                    self.network.client(proxy, httpx.Timeout(read, connect=connect)) as client,
                    client.stream(request.method, url, headers=request.headers, content=request.body or None) as answer,
                ):
                    body = await read_body(answer, MAX_ANSWER_BYTES)
            if answer.status_code >= HTTP_ERRORS:
                error = parse_error(answer.status_code, body)
                raise error if error.code != f"Http{answer.status_code}" else by_proxy(error, proxy)
        except ApiError as error:
            self.failure = refused(error, f"{action} at {host}")
            raise self.failure from None
        self.failure = None
        self.expires_at = _expiration(body) or self.expires_at
        response = TeaResponse()
        response.status_code, response.body, response.headers = answer.status_code, body, dict(answer.headers)
        return response


def refused(error: ApiError, what: str) -> ApiError:
    """Returns the error of a fetch: what passes by itself as it is, and every refusal as a CredentialsError.

    The message has the code of the answer, not its text, which may repeat what was sent.
    """
    passes = isinstance(error, TransientError | ClockSkewError)
    kind = type(error) if passes else CredentialsError
    code = error.code if CODE.fullmatch(error.code) else "an odd answer"
    detail = str(error) if error.code in OWN_CODES else code
    found = kind(f"no credentials: {what} failed ({detail})", code=NO_CREDENTIALS, retry_after=error.retry_after)
    by_code = next((hint for code, hint in HINT_OF_CODE.items() if error.code.startswith(code)), "")
    by_class = next((hint for kind_, hint in HINTS if isinstance(error, kind_)), "")
    found.hint = by_code or (error.hint if ", by the proxy " in str(error) else by_class) or CredentialsError.hint
    return found


ACTIVE: ContextVar[Exchange] = ContextVar("exchange")


@contextmanager
def exchanging(network: Network) -> Iterator[Exchange]:
    """Sends the calls that the library makes within by this network, and yields what they brought."""
    exchange = Exchange(network)
    reset = ACTIVE.set(exchange)
    try:
        yield exchange
    finally:
        ACTIVE.reset(reset)


async def _send(request: TeaRequest, runtime_option: dict[str, Any] | None = None) -> TeaResponse:
    return await ACTIVE.get().send(request, runtime_option or {})


TeaCore.async_do_action = staticmethod(_send)


def _expiration(body: bytes) -> float | None:
    """Returns the time in `Expiration` of an answer, or of an object in it."""
    try:
        answer = json.loads(body)
    except (ValueError, RecursionError):
        return None
    for found in (answer, *answer.values()) if isinstance(answer, dict) else ():
        text = found.get("Expiration") if isinstance(found, dict) else None
        if isinstance(text, str):
            try:
                moment = datetime.fromisoformat(text)
            except ValueError:
                continue
            return moment.timestamp() if moment.tzinfo else None
    return None
