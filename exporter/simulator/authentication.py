"""Authentication of calls by their V3 signature, over exactly the bytes that came over the wire."""

from __future__ import annotations

import hashlib
import hmac
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, unquote

from exporter.ims import signature as v3
from exporter.jobs.kinds import KINDS
from exporter.simulator.answers import RefusedError
from exporter.simulator.job_store import wire_time

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

VERSION = "2020-11-09"
ACTIONS = frozenset(action for kind in KINDS.values() for action in kind.actions)
MAX_SKEW_SECONDS = 15 * 60
"""Maximum difference between the times of caller and service."""

_AUTHORIZATION = re.compile(
    re.escape(v3.ALGORITHM) + r" Credential=([^,]+),SignedHeaders=([^,]+),Signature=([0-9a-f]{64})"
)
_REQUIRED_HEADERS = (
    "host",
    "x-acs-action",
    "x-acs-version",
    "x-acs-date",
    "x-acs-signature-nonce",
    "x-acs-content-sha256",
)


@dataclass(frozen=True, slots=True)
class Key:
    """An access key and the actions it may call; a `token` makes it a temporary key."""

    key_id: str
    secret: str = field(repr=False)
    token: str = field(default="", repr=False)
    actions: frozenset[str] = ACTIONS


@dataclass(frozen=True, slots=True)
class Call:
    """A request as it came over the wire; `query` is not decoded, `headers` are by lower-case name."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def action(self) -> str:
        """The action; empty if the header is missing."""
        return self.headers.get("x-acs-action", "")


class Authenticator:
    """Accepts signed calls of known keys, each nonce once; refuses others with the error codes of the service.

    With `exact_query` the bytes of the query on the wire must be those that were signed. Without it the query is
    decoded first, as the service must do: the asynchronous client of the official SDK sends `:`, and signs `%3A`.
    """

    def __init__(
        self,
        keys: Mapping[str, Key],
        now: Callable[[], float],
        *,
        exact_query: bool = True,
        max_nonces: int = 100_000,
    ) -> None:
        self._exact_query = exact_query
        self._max_nonces = max_nonces
        self._keys = keys
        self._now = now
        self._nonces: dict[tuple[str, str], float] = {}

    def authenticate(self, call: Call) -> Key:
        """Returns the key that signed the call; raises RefusedError."""
        key_id, signed_headers, signature = _authorization(call)
        _check_headers(call)
        self._check_date(call.headers["x-acs-date"])
        key = self._key(key_id)
        _check_token(key, call.headers.get("x-acs-security-token", ""))
        query = wire_query(call.query) if self._exact_query else decoded_query(call.query)
        _check_signature(call, key, query, signed_headers, signature)
        self._use_nonce(key_id, call.headers["x-acs-signature-nonce"])
        if call.action not in key.actions:
            raise RefusedError(403, "NoPermission", f"You are not authorized to perform ice:{call.action}.")
        return key

    def _check_date(self, text: str) -> None:
        try:
            moment = datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
        except ValueError:
            raise RefusedError(400, "InvalidTimeStamp.Format", "x-acs-date is not a UTC time.") from None
        if abs(moment.timestamp() - self._now()) > MAX_SKEW_SECONDS:
            raise RefusedError(400, "InvalidTimeStamp.Expired", "Specified time stamp or date value is expired.")

    def _key(self, key_id: str) -> Key:
        if key_id not in self._keys:
            raise RefusedError(404, "InvalidAccessKeyId.NotFound", "Specified access key is not found.")
        return self._keys[key_id]

    def _use_nonce(self, key_id: str, nonce: str) -> None:
        now = self._now()
        self._forget_nonces(now)
        if (key_id, nonce) in self._nonces:
            raise RefusedError(400, "SignatureNonceUsed", "Specified signature nonce was used already.")
        self._nonces[key_id, nonce] = now

    def _forget_nonces(self, now: float) -> None:
        while self._nonces:
            oldest = next(iter(self._nonces))
            if len(self._nonces) < self._max_nonces and now - self._nonces[oldest] <= 2 * MAX_SKEW_SECONDS:
                return
            del self._nonces[oldest]


def wire_query(query: str) -> str:
    """Returns the parameters in the order in which they are signed, with the bytes that were sent."""
    pairs = [pair.partition("=")[::2] for pair in query.split("&") if pair]
    pairs.sort(key=lambda pair: (unquote(pair[0]), unquote(pair[1])))
    return "&".join(f"{name}={value}" for name, value in pairs)


def decoded_query(query: str) -> str:
    """Returns the parameters in the form in which they are signed, whatever their encoding on the wire."""
    return v3.canonical_query(parse_qsl(query, keep_blank_values=True))


def _authorization(call: Call) -> tuple[str, list[str], str]:
    match = _AUTHORIZATION.fullmatch(call.headers.get("authorization", ""))
    if match is None:
        raise RefusedError(400, "IncompleteSignature", "The request carries no complete V3 Authorization header.")
    return match[1], match[2].split(";"), match[3]


def _check_headers(call: Call) -> None:
    for name in _REQUIRED_HEADERS:
        if not call.headers.get(name):
            raise RefusedError(400, "MissingParameter", f"The header {name} is mandatory.")
    if call.headers["x-acs-version"] != VERSION:
        raise RefusedError(400, "InvalidVersion", "Specified parameter Version is not valid.")
    if call.action not in ACTIONS:
        raise RefusedError(404, "InvalidAction.NotFound", f"Specified api is not found: {call.action}.")


def _check_token(key: Key, token: str) -> None:
    if token and not key.token:
        raise RefusedError(
            400,
            "InvalidSecurityToken.MismatchWithAccessKey",
            "Specified SecurityToken is not of this AccessKey.",
        )
    if token != key.token:
        raise RefusedError(400, "InvalidSecurityToken.Expired", "Specified SecurityToken is expired.")


def _check_signature(call: Call, key: Key, query: str, signed_headers: list[str], signature: str) -> None:
    required = {name for name in call.headers if name == "host" or name.startswith("x-acs-")}
    if not required <= set(signed_headers) <= set(call.headers):
        raise RefusedError(400, "IncompleteSignature", "SignedHeaders must name host and all x-acs-* headers.")
    body_sha256 = hashlib.sha256(call.body).hexdigest()
    headers = {name: call.headers[name] for name in signed_headers}
    canonical = v3.canonical_request(call.method, call.path, query, headers, body_sha256)
    if call.headers["x-acs-content-sha256"] != body_sha256 or not hmac.compare_digest(
        v3.signature(key.secret, canonical), signature
    ):
        raise RefusedError(400, "SignatureDoesNotMatch", "Specified signature is not matched with our calculation.")


def sign_call(
    key: Key,
    host: str,
    parameters: Mapping[str, str],
    *,
    nonce: str,
    at: float,
    action: str = "ListSmartJobs",
    method: str = "GET",
    body: bytes = b"",
    changed: Mapping[str, str] | None = None,
) -> Call:
    """Returns a call signed at Unix time `at`; `changed` headers replace others first, empty ones remove them."""
    headers = {
        "host": host,
        "x-acs-action": action,
        "x-acs-version": VERSION,
        "x-acs-date": wire_time(at),
        "x-acs-signature-nonce": nonce,
        "x-acs-content-sha256": hashlib.sha256(body).hexdigest(),
        "x-acs-security-token": key.token,
        **(changed or {}),
    }
    headers = {name: value for name, value in headers.items() if value}
    query = v3.canonical_query(parameters.items())
    canonical = v3.canonical_request(method, "/", query, headers, hashlib.sha256(body).hexdigest())
    signed = v3.authorization(key.key_id, headers, v3.signature(key.secret, canonical))
    return Call(method, "/", query, {**headers, "authorization": signed}, body)
