"""The gate before every path but the probes: how often, with which certificate, and by which password."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web

from exporter.web.config.validators import REQUIRED
from exporter.web.passwords import TooManyChecksError, basic_credentials
from exporter.web.tls import subject_alternative_names

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from aiohttp.typedefs import Handler, Middleware

    from exporter.web.config.file import WebSecurity
    from exporter.web.passwords import Passwords
    from exporter.web.token_bucket import Bucket

    HeaderAdder = Callable[[web.Request, web.StreamResponse], Awaitable[None]]

PROBES = frozenset({"/livez", "/readyz", "/healthz"})
REALM = 'Basic realm="ims-exporter", charset="UTF-8"'


def gate(security: Callable[[], WebSecurity], passwords: Passwords, bucket: Bucket) -> Middleware:
    """Returns the middleware that lets a request pass, or says why not."""

    @web.middleware
    async def admit(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.body_exists:
            return refused(413, "send no body; nothing here takes one", closes=True)
        if is_probe(request):
            return await handler(request)
        now = security()
        refusal = (
            _hasty(bucket, now)
            or _foreign(request)
            or _uncertified(request, now)
            or await _unknown(request, now, passwords)
        )
        return refusal or await handler(request)

    return admit


def is_probe(request: web.Request) -> bool:
    """Says whether the request is routed to a probe."""
    resource = request.match_info.route.resource
    return resource is not None and resource.canonical in PROBES


def refused(status: int, text: str, *, closes: bool = False, **headers: str) -> web.Response:
    """Returns a refusal in plain text."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    response = web.Response(text=f"{text}\n", status=status, headers=named)
    if closes:
        response.force_close()
    return response


def _hasty(bucket: Bucket, now: WebSecurity) -> web.Response | None:
    if bucket.takes(now.config.rate_limit):
        return None
    seconds = max(1, round(now.config.rate_limit.interval))
    return refused(429, "too many requests; the web configuration sets rate_limit", Retry_After=str(seconds))


def _foreign(request: web.Request) -> web.Response | None:
    """Refuses what another site makes a browser send; reading is harmless, as the browser keeps the answer."""
    is_own = request.headers.get("Sec-Fetch-Site", "none") in {"none", "same-origin"}
    return None if is_own or request.method in {"GET", "HEAD"} else refused(403, "not from another site")


def _uncertified(request: web.Request, now: WebSecurity) -> web.Response | None:
    tls = now.config.tls_server_config
    if tls is None or tls.client_auth_type != REQUIRED:
        return None
    certificate = request.get_extra_info("peercert")
    if not certificate:
        return refused(403, "a client certificate is needed", closes=True)
    if tls.client_allowed_sans and not subject_alternative_names(certificate) & set(tls.client_allowed_sans):
        return refused(403, "the client certificate has none of the names in client_allowed_sans", closes=True)
    return None


async def _unknown(request: web.Request, now: WebSecurity, passwords: Passwords) -> web.Response | None:
    users = now.config.basic_auth_users
    if not users:
        return None
    given = basic_credentials(request.headers.get("Authorization", ""))
    try:
        if given and await passwords.are_right(users, *given):
            return None
    except TooManyChecksError:
        return refused(503, "too many passwords are being checked; come back", Retry_After="1")
    return refused(401, "user and password are needed", WWW_Authenticate=REALM)


def add_configured_headers(security: Callable[[], WebSecurity]) -> HeaderAdder:
    """Returns the signal handler that adds the headers of http_server_config to every answer."""

    async def add(_request: web.Request, response: web.StreamResponse) -> None:
        response.headers.update(security().config.http_server_config.headers)

    return add
