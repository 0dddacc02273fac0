"""Which requests are allowed: by rate limit, origin, client certificate and password. Probes are always allowed."""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import hmac
import secrets
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address, ip_network
from typing import TYPE_CHECKING
from urllib.parse import urljoin, urlsplit

import bcrypt
from aiohttp import web

from exporter.web.config.model import REQUIRED
from exporter.web.tls import subject_alternative_names

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from aiohttp.typedefs import Handler, Middleware
    from multidict import CIMultiDictProxy

    from exporter.web.config.file import WebSecurity
    from exporter.web.config.model import RateLimit

PROBES = frozenset({"/livez", "/readyz", "/healthz"})
REALM = 'Basic realm="ims-exporter", charset="UTF-8"'

MAX_WAITING_CHECKS = 16
"""Maximum number of password checks that wait for the thread; beyond it, one request is answered 503."""

MAX_NETWORKS = 1000
"""Maximum number of networks whose wrong passwords are counted."""

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
    if request.method in {"GET", "HEAD"} or is_same_origin(request.headers):
        return None
    return refusal(403, "requests of other sites are refused")


def is_same_origin(headers: CIMultiDictProxy[str]) -> bool:
    """Returns whether a request is not from another site's page, by each of the headers that say so.

    Browsers that are too old for `Sec-Fetch-Site` still send `Origin`. A header that is there twice has passed
    something that adds headers, and is not to be trusted.
    """
    sites, origins, hosts = (headers.getall(name, []) for name in ("Sec-Fetch-Site", "Origin", "Host"))
    if max(len(sites), len(origins), len(hosts)) > 1 or not {*sites} <= {"none", "same-origin"}:
        return False
    if not origins:
        return True
    origin = authority(origins[0])
    return origin is not None and [origin] == [authority(f"//{host}", origins[0]) for host in hosts]


def authority(url: str, base: str = "") -> tuple[str, int] | None:
    """Returns host and port of a URL of HTTP, with the scheme of `base` if it has none; None if it is none."""
    try:
        parts = urlsplit(urljoin(base, url))
        port = {"http": 80, "https": 443}[parts.scheme] if parts.port is None else parts.port
    except (KeyError, ValueError):
        return None
    return (parts.hostname, port) if parts.hostname else None


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
        if given and await passwords.is_valid(users, *given, network_of(request.remote)):
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
    """More checks are waiting than the maximum, and this one gives way."""


def matches(password: bytes, hashed: str) -> bool:
    """Returns whether a bcrypt hash is that of the password."""
    return bcrypt.checkpw(password[:MAX_PASSWORD_BYTES], hashed.encode())


def network_of(address: str | None) -> str:
    """Returns the part of an address that one client cannot choose: an IPv4 address, or the /64 of an IPv6 address."""
    try:
        parsed = ip_address((address or "").partition("%")[0])
    except ValueError:
        return ""
    if isinstance(parsed, IPv6Address):
        return str(parsed.ipv4_mapped or ip_network((parsed, 64), strict=False))
    return str(parsed)


@dataclass(slots=True, eq=False)
class Check:
    """A password check that waits for its turn."""

    network: str
    password: bytes
    hashed: str
    is_match: asyncio.Future[bool]


class CheckQueue:
    """Runs password checks one at a time; clients whose passwords were wrong wait for those whose were not.

    Whoever guesses passwords must not keep the owner of the right one out. Say a check takes 250 ms, a guesser at
    192.0.2.1 sends 17 guesses a second, and Prometheus at 192.0.2.7 has not sent its password since the restart. 16
    guesses wait and one runs when Prometheus comes. The queue is full, so one of the guesses gives way. When the
    running check ends, 192.0.2.1 has at least one failure and 192.0.2.7 has none: Prometheus is next.
    """

    def __init__(self, check: Callable[[bytes, str], bool]) -> None:
        self._check = check
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="bcrypt")
        self._waiting: list[Check] = []
        self.failures: dict[str, int] = {}
        """Wrong passwords of each network since its last right one; the network that failed last comes last."""
        self._running: asyncio.Task[None] | None = None

    async def run(self, network: str, password: bytes, hashed: str) -> bool:
        """Returns whether the hash is that of the password; raises TooManyChecksError."""
        check = Check(network, password, hashed, asyncio.get_running_loop().create_future())
        self._waiting.append(check)
        if len(self._waiting) > MAX_WAITING_CHECKS:
            self._dismiss()
        if self._running is None or self._running.done():
            self._running = asyncio.create_task(self._run_all())
        try:
            return await check.is_match
        finally:
            if check in self._waiting:  # the client has gone
                self._waiting.remove(check)

    def record(self, network: str, *, is_valid: bool) -> None:
        """Counts a wrong password of a network; a right one ends the count."""
        failures = self.failures.pop(network, 0)
        if not is_valid:
            self.failures[network] = failures + 1
            if len(self.failures) > MAX_NETWORKS:
                del self.failures[next(iter(self.failures))]

    def close(self) -> None:
        """Stops the thread; checks that wait are cancelled."""
        if self._running is not None:
            self._running.cancel()
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _dismiss(self) -> None:
        """Dismisses a check of the network with most failures, or else with most checks: at random, not the newest."""
        waiting = Counter(check.network for check in self._waiting)
        ranks = [(self.failures.get(check.network, 0), waiting[check.network]) for check in self._waiting]
        candidates = [check for check, rank in zip(self._waiting, ranks, strict=True) if rank == max(ranks)]
        dismissed = secrets.choice(candidates)
        self._waiting.remove(dismissed)
        dismissed.is_match.set_exception(TooManyChecksError())

    async def _run_all(self) -> None:
        loop = asyncio.get_running_loop()
        while self._waiting:
            check = min(self._waiting, key=lambda check: self.failures.get(check.network, 0))  # the first of equals
            self._waiting.remove(check)
            is_match = await loop.run_in_executor(self._thread, self._check, check.password, check.hashed)
            if not is_match:
                self.record(check.network, is_valid=False)
            if not check.is_match.done():
                check.is_match.set_result(is_match)


class PasswordChecker:
    """Checks passwords against bcrypt hashes, and remembers valid ones.

    Response times must not reveal which users exist. Say alice's hash has cost 10 (50 ms) and bob's cost 12 (200 ms).
    A password for mallory, who does not exist, is checked against one of their hashes, so it takes 50 or 200 ms like
    that of a real user. A keyed digest of the name `mallory` chooses which, always the same: if it were chosen at
    random, some requests for mallory would take 50 ms and others 200 ms, as no real user's requests do.

    bcrypt is slow by design, so the last valid password of each user is remembered as a keyed digest. It is valid for
    the same user, hash and password only: it ends when the hash in the configuration changes. An attacker cannot
    learn from the fast response, because only the valid password has it.
    """

    def __init__(self, check: Callable[[bytes, str], bool] = matches) -> None:
        self._key = secrets.token_bytes()
        self._valid: dict[str, bytes] = {}
        self._queue = CheckQueue(check)

    async def is_valid(self, users: Mapping[str, str], user: str, password: bytes, network: str = "") -> bool:
        """Returns whether this is the user's password, sent from a network; raises TooManyChecksError."""
        hashed = users.get(user)
        digest = self._digest(user, hashed or "", password)
        if hmac.compare_digest(self._valid.get(user, b""), digest):
            return hashed is not None
        has_matched = await self._queue.run(network, password, hashed or self._decoy_hash(users, user))
        if hashed is None or not has_matched:
            return False
        self._queue.record(network, is_valid=True)
        self._valid[user] = digest
        return True

    def close(self) -> None:
        """Stops the checks; those that wait are cancelled."""
        self._queue.close()

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
