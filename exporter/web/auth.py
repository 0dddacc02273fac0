"""Which requests are allowed: by rate limit, origin, client certificate and password. Probes are always allowed."""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import hmac
import secrets
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import bcrypt
from aiohttp import web

from exporter.web.config.model import REQUIRED
from exporter.web.tls import subject_alternative_names

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from aiohttp.typedefs import Handler, Middleware

    from exporter.web.config.file import WebSecurity
    from exporter.web.config.model import RateLimit

PROBES = frozenset({"/livez", "/readyz", "/healthz"})
REALM = 'Basic realm="ims-exporter", charset="UTF-8"'

MAX_WAITING_CHECKS = 16
"""Maximum number of password checks that wait for the thread; further requests are answered 503."""

MAX_PASSWORD_BYTES = 72
"""Maximum number of bytes that bcrypt uses; as in `htpasswd` and Go, the rest is ignored."""


def authorize(security: Callable[[], WebSecurity], passwords: PasswordChecker, bucket: TokenBucket) -> Middleware:
    """Returns the middleware that refuses every request that the web configuration does not allow."""

    @web.middleware
    async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.body_exists:
            return refusal(413, "request bodies are not accepted", closes=True)
        if is_probe(request):
            return await handler(request)
        current = security()
        # Cheap checks first. The rate limit also counts requests that fail later, so it slows down password guesses.
        refused = (
            _check_rate(bucket, current)
            or _check_origin(request)
            or _check_certificate(request, current)
            or await _check_password(request, current, passwords)
        )
        return refused or await handler(request)

    return check


def is_probe(request: web.Request) -> bool:
    """Returns whether the request is for a probe."""
    resource = request.match_info.route.resource
    return resource is not None and resource.canonical in PROBES


def refusal(status: int, text: str, *, closes: bool = False, **headers: str) -> web.Response:
    """Returns a refusal in plain text; underscores in the names of headers become hyphens."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    response = web.Response(text=f"{text}\n", status=status, headers=named)
    if closes:
        response.force_close()
    return response


def _check_rate(bucket: TokenBucket, security: WebSecurity) -> web.Response | None:
    limit = security.config.rate_limit
    if bucket.take(limit):
        return None
    retry_after = str(max(1, round(limit.interval)))
    return refusal(429, "too many requests; the web configuration sets rate_limit", Retry_After=retry_after)


def _check_origin(request: web.Request) -> web.Response | None:
    """Refuses requests that another site's page sends; reads are harmless, as the browser hides the response."""
    is_own = request.headers.get("Sec-Fetch-Site", "none") in {"none", "same-origin"}
    return None if is_own or request.method in {"GET", "HEAD"} else refusal(403, "requests of other sites are refused")


def _check_certificate(request: web.Request, security: WebSecurity) -> web.Response | None:
    """Refuses requests without a client certificate; one that does not verify has failed in the handshake already."""
    tls = security.config.tls_server_config
    if tls is None or tls.client_auth_type != REQUIRED:
        return None
    certificate = request.get_extra_info("peercert")
    if not certificate:
        return refusal(403, "a client certificate is required", closes=True)
    if tls.client_allowed_sans and not subject_alternative_names(certificate) & set(tls.client_allowed_sans):
        return refusal(403, "the client certificate has none of the names in client_allowed_sans", closes=True)
    return None


async def _check_password(
    request: web.Request, security: WebSecurity, passwords: PasswordChecker
) -> web.Response | None:
    users = security.config.basic_auth_users
    if not users:
        return None
    given = basic_credentials(request.headers.get("Authorization", ""))
    try:
        if given and await passwords.is_valid(users, *given):
            return None
    except TooManyChecksError:
        return refusal(503, "too many password checks are waiting; retry later", Retry_After="1")
    return refusal(401, "user name and password are required", WWW_Authenticate=REALM)


class TokenBucket:
    """A token bucket for all requests: one token more in each interval, up to the burst."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._limit: RateLimit | None = None
        self._tokens = 0.0
        self._counted_at = 0.0

    def take(self, limit: RateLimit) -> bool:
        """Takes a token and returns whether there was one; a limit that differs from the last one starts full."""
        if not limit.interval:
            return True
        now = self._clock()
        gained = (now - self._counted_at) / limit.interval if limit == self._limit else limit.burst
        self._tokens = min(float(limit.burst), self._tokens + gained)
        self._limit, self._counted_at = limit, now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True


class TooManyChecksError(Exception):
    """The maximum number of password checks is waiting already."""


def matches(password: bytes, hashed: str) -> bool:
    """Returns whether a bcrypt hash is that of the password."""
    return bcrypt.checkpw(password[:MAX_PASSWORD_BYTES], hashed.encode())


class PasswordChecker:
    """Checks passwords against bcrypt hashes, one at a time in a thread of its own, and remembers valid ones.

    Response times must not reveal which users exist. Say alice's hash has cost 10 (50 ms) and bob's cost 12 (200 ms).
    A password for mallory, who does not exist, is checked against one of their hashes, so it takes 50 or 200 ms like
    that of a real user. A keyed digest of the name `mallory` chooses which, always the same: if it were chosen at
    random, some requests for mallory would take 50 ms and others 200 ms, as no real user's requests do.

    bcrypt is slow by design, so the last valid password of each user is remembered as a keyed digest. It is valid for
    the same user, hash and password only: it ends when the hash in the configuration changes. An attacker cannot
    learn from the fast response, because only the valid password has it.
    """

    def __init__(self, check: Callable[[bytes, str], bool] = matches) -> None:
        self._check = check
        self._key = secrets.token_bytes()
        self._valid: dict[str, bytes] = {}
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="bcrypt")
        self._waiting = 0

    async def is_valid(self, users: Mapping[str, str], user: str, password: bytes) -> bool:
        """Returns whether this is the user's password; raises TooManyChecksError."""
        hashed = users.get(user)
        digest = self._digest(user, hashed or "", password)
        if hmac.compare_digest(self._valid.get(user, b""), digest):
            return hashed is not None
        has_matched = await self._run_check(password, hashed or self._decoy_hash(users, user))
        if hashed is None or not has_matched:
            return False
        self._valid[user] = digest
        return True

    def close(self) -> None:
        """Stops the thread; checks that wait are cancelled."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def _run_check(self, password: bytes, hashed: str) -> bool:
        if self._waiting >= MAX_WAITING_CHECKS:
            raise TooManyChecksError
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, self._check, password, hashed)
        finally:
            self._waiting -= 1

    def _decoy_hash(self, users: Mapping[str, str], user: str) -> str:
        number = int.from_bytes(self._digest(user, "", b"")[:8], "big")
        return sorted(users.values())[number % len(users)]

    def _digest(self, user: str, hashed: str, password: bytes) -> bytes:
        """Returns a keyed digest; the lengths keep user `ab` with password `c` apart from user `a` with `bc`."""
        parts = (user.encode("utf-8", "surrogateescape"), hashed.encode(), password)
        lengths = b"".join(len(part).to_bytes(8, "big") for part in parts)
        return hmac.digest(self._key, lengths + b"".join(parts), hashlib.sha256)


def basic_credentials(header: str) -> tuple[str, bytes] | None:
    """Returns user and password of an Authorization header; None if it is not valid basic authentication."""
    scheme, _, encoded = header.partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        user, colon, password = base64.b64decode(encoded.strip(), validate=True).partition(b":")
    except (binascii.Error, ValueError):
        return None
    return (user.decode("utf-8", "surrogateescape"), password) if colon else None
