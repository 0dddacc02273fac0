"""A call signed as the gate wants it, or nearly so: for tests and trials without a client."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from exporter.ims import signature as v3
from exporter.simulator.answers import wire_time
from exporter.simulator.gate import VERSION, Call, Key

if TYPE_CHECKING:
    from collections.abc import Mapping


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
    """Returns a call signed at Unix time `at`; `changed` headers are set before that, left out if empty."""
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
