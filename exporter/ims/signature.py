"""The V3 signature of Alibaba Cloud (ACS3-HMAC-SHA256), as pure functions.

Source: Alibaba Cloud, "V3 request structure and signature"; for what it leaves open, the official Python SDK
(alibabacloud-tea-openapi).

A request is signed in three steps: `canonical_query` sorts and encodes the parameters (`A=1&B=x%20y`),
`canonical_request` joins method, path, query, headers and body hash line by line, and `signature` hashes that text and
signs algorithm and hash with the secret. `authorization` puts the result into the header.
"""

from __future__ import annotations

import hashlib
import hmac
from typing import TYPE_CHECKING
from urllib.parse import quote

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

ALGORITHM = "ACS3-HMAC-SHA256"
EMPTY_BODY_SHA256 = hashlib.sha256(b"").hexdigest()


def encode(text: str) -> str:
    """Returns `text` percent-encoded as UTF-8, except for unreserved characters (RFC 3986)."""
    return quote(text, safe="~", encoding="utf-8")


def canonical_query(parameters: Iterable[tuple[str, str]]) -> str:
    """Returns the parameters sorted by name and encoded, as they are sent and signed."""
    return "&".join(f"{encode(name)}={encode(value)}" for name, value in sorted(parameters))


def is_signed(name: str) -> bool:
    """Returns whether a header is part of the signature: host, content-type and all of x-acs-*."""
    return name in {"host", "content-type"} or name.startswith("x-acs-")


def canonical_request(method: str, path: str, query: str, headers: Mapping[str, str], body_sha256: str) -> str:
    """Returns the text whose hash is signed; `headers` are the signed ones, by lower-case name."""
    lines = "".join(f"{name}:{headers[name].strip()}\n" for name in sorted(headers))
    return "\n".join((method, path, query, lines, ";".join(sorted(headers)), body_sha256))


def signature(secret: str, canonical: str) -> str:
    """Returns the signature of a canonical request in hexadecimal."""
    hashed = hashlib.sha256(canonical.encode()).hexdigest()
    return hmac.new(secret.encode(), f"{ALGORITHM}\n{hashed}".encode(), hashlib.sha256).hexdigest()


def authorization(key_id: str, signed_headers: Iterable[str], signed: str) -> str:
    """Returns the value of the `Authorization` header."""
    return f"{ALGORITHM} Credential={key_id},SignedHeaders={';'.join(sorted(signed_headers))},Signature={signed}"
