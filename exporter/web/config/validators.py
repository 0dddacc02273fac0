"""The rules for the web configuration file that go beyond a type; no message of theirs repeats a secret."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from exporter.config.validators import Place

CIPHERS = {
    "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256": "ECDHE-ECDSA-AES128-GCM-SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384": "ECDHE-ECDSA-AES256-GCM-SHA384",
    "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256": "ECDHE-ECDSA-CHACHA20-POLY1305",
    "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256": "ECDHE-RSA-AES128-GCM-SHA256",
    "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384": "ECDHE-RSA-AES256-GCM-SHA384",
    "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256": "ECDHE-RSA-CHACHA20-POLY1305",
}
"""The cipher suites of TLS 1.2 that may be chosen: Go's name, which the file has, and OpenSSL's."""

CURVES = {"CurveP256": "prime256v1", "CurveP384": "secp384r1", "CurveP521": "secp521r1", "X25519": "X25519"}
"""The curves: Go's name, which the file has, and OpenSSL's."""

HEADERS: Mapping[str, tuple[str, ...]] = {
    "Content-Security-Policy": (),
    "Strict-Transport-Security": (),
    "X-Content-Type-Options": ("nosniff",),
    "X-Frame-Options": ("deny", "sameorigin"),
    "X-XSS-Protection": (),
}
"""The headers that may be set, and their values where only some are allowed."""

NO_CERTIFICATE, IF_GIVEN, REQUIRED = "NoClientCert", "VerifyClientCertIfGiven", "RequireAndVerifyClientCert"
NOT_VERIFIED = {"RequestClientCert": IF_GIVEN, "RequireAnyClientCert": REQUIRED, "RequireClientCert": REQUIRED}
"""Ways to ask for a client certificate without verifying it, and what to use instead."""

LEAST_COST, MOST_COST = 10, 16
BCRYPT = re.compile(r"\$2[aby]\$([0-9]{2})\$[./A-Za-z0-9]{21}[.Oeu][./A-Za-z0-9]{31}")
"""The salt's last character holds two bits: with any other there, no password could be held against the hash."""
HASH_HINT = "make one by `htpasswd -nBC 12 USER`"
DURATION = re.compile(r"([0-9]+(?:\.[0-9]*)?|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h)")
LONGEST_DURATION = 64
"""Characters; the time to look through a text without units grows with the square of its length."""
SECONDS = {"ns": 1e-9, "us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}


def verified_auth_type(name: str) -> str:
    """Returns the way client certificates are asked for, if it can be had; raises ValueError."""
    if name in NOT_VERIFIED:
        raise ValueError(f"would take certificates that nobody verified; use {NOT_VERIFIED[name]}")
    if name not in {"", NO_CERTIFICATE, IF_GIVEN, REQUIRED}:
        raise ValueError(f"must be one of {NO_CERTIFICATE}, {IF_GIVEN}, {REQUIRED}")
    return name or NO_CERTIFICATE


def tls_version(name: str) -> str:
    """Returns the version's name if it is still safe; raises ValueError."""
    if name in {"TLS10", "TLS11"}:
        raise ValueError("is broken (RFC 8996); use TLS12 or TLS13")
    if name not in {"TLS12", "TLS13"}:
        raise ValueError("must be TLS12 or TLS13")
    return name


def cipher_suite(name: str) -> str:
    """Returns the suite's name if it is strong and can be chosen; raises ValueError."""
    if re.fullmatch(r"TLS_(AES|CHACHA20)_\w+", name):
        raise ValueError("is a suite of TLS 1.3, all of which are always on; leave it out")
    if name not in CIPHERS:
        weak = "is weak" if re.search("CBC|RC4|3DES|TLS_RSA", name) else "is not known"
        raise ValueError(f"{weak}; there is {', '.join(CIPHERS)}")
    return name


def curves(names: tuple[str, ...]) -> tuple[str, ...]:
    """Returns the curves if they can be set; raises ValueError."""
    if any(name not in CURVES for name in names):
        raise ValueError(f"must be of {', '.join(CURVES)}")
    if len(names) > 1:
        raise ValueError("Python's TLS takes one curve; name one, or leave the list out")
    return names


def no_http2(is_on: bool) -> bool:  # noqa: FBT001 - pydantic calls it
    """Returns the value if it is off; raises ValueError."""
    if is_on:
        raise ValueError("HTTP/2 is not spoken here; set it to false, or leave it out")
    return is_on


def response_headers(headers: dict[str, str]) -> dict[str, str]:
    """Returns the headers that are not blank; raises ValueError with a line for each that may not be set."""
    problems = [f"{name}: {text}" for name, value in headers.items() for text in _header_problems(name, value)]
    if problems:
        raise ValueError("\n".join(problems))
    return {name: value for name, value in headers.items() if value}


def _header_problems(name: str, value: str) -> Iterator[str]:
    if name not in HEADERS:
        yield f"cannot be set; there is {', '.join(HEADERS)}"
    elif value and HEADERS[name] and value not in HEADERS[name]:
        yield f"must be {' or '.join(HEADERS[name])}"
    if not value.isprintable():
        yield "must be one line of printable characters"


def bcrypt_hash(text: str) -> str:
    """Returns the hash if it is one by bcrypt, neither cheap to guess nor dear to check; raises ValueError."""
    found = BCRYPT.fullmatch(text)
    if found is None:
        raise ValueError(f"must be a bcrypt hash, not a password or another hash; {HASH_HINT}")
    if not LEAST_COST <= int(found[1]) <= MOST_COST:
        raise ValueError(f"its cost must be {LEAST_COST} to {MOST_COST}, not {int(found[1])}; {HASH_HINT}")
    return text


def user_names(users: dict[str, str]) -> dict[str, str]:
    """Returns the users if basic authentication can carry their names; raises ValueError."""
    if any(not name or ":" in name or not name.isprintable() for name in users):
        raise ValueError("a user name must be printable, not empty, and without a colon")
    return users


def duration_seconds(value: object) -> float:
    """Returns the seconds of a Go duration as `1s`, `500ms`, `1m30s` or `0`; raises ValueError."""
    text = str(value).strip()
    if text == "0":
        return 0.0
    parts = DURATION.findall(text) if len(text) <= LONGEST_DURATION else []
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise ValueError("must be a duration like 1s, 500ms or 1m30s")
    return sum(float(number) * SECONDS[unit.replace("µ", "u").replace("μ", "u")] for number, unit in parts)


def together(given: Mapping[str, object]) -> Iterator[tuple[Place, str]]:
    """Finds what does not fit together in the file, whatever else may be wrong in each place."""
    tls, limit = given.get("tls_server_config"), given.get("rate_limit")
    if isinstance(tls, dict):
        yield from ((("tls_server_config", name), text) for name, text in _tls_together(tls))
    if isinstance(limit, dict) and str(limit.get("interval", 0)) != "0" and not limit.get("burst"):
        yield ("rate_limit", "burst"), "must be 1 or more, or every request would be refused"


def _tls_together(tls: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    for inline in ("cert", "key", "client_ca"):
        if tls.get(inline) and tls.get(f"{inline}_file"):
            yield inline, f"cannot stand beside {inline}_file"
        if inline != "client_ca" and not tls.get(inline) and not tls.get(f"{inline}_file"):
            yield f"{inline}_file", "is missing, and there is no TLS without it"
    asked = str(tls.get("client_auth_type") or NO_CERTIFICATE)
    has_ca = bool(tls.get("client_ca") or tls.get("client_ca_file"))
    if asked in {IF_GIVEN, REQUIRED} and not has_ca:
        yield "client_ca_file", f"is missing, and {asked} needs it to verify client certificates"
    if asked == NO_CERTIFICATE and has_ca:
        yield "client_auth_type", f"is missing; a CA for clients needs {REQUIRED} or {IF_GIVEN}"
    if asked in {NO_CERTIFICATE, IF_GIVEN} and tls.get("client_allowed_sans"):
        yield "client_allowed_sans", f"needs client_auth_type {REQUIRED}"
    if (tls.get("min_version"), tls.get("max_version")) == ("TLS13", "TLS12"):
        yield "max_version", "must not be below min_version"
