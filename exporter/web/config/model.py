"""The sections and keys of the web configuration file, and the rules for their values.

Certificates, keys and hashes are secrets: no message repeats a value.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from exporter.config.problems import Place

CIPHERS = {
    "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256": "ECDHE-ECDSA-AES128-GCM-SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384": "ECDHE-ECDSA-AES256-GCM-SHA384",
    "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256": "ECDHE-ECDSA-CHACHA20-POLY1305",
    "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256": "ECDHE-RSA-AES128-GCM-SHA256",
    "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384": "ECDHE-RSA-AES256-GCM-SHA384",
    "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256": "ECDHE-RSA-CHACHA20-POLY1305",
}
"""The permitted cipher suites of TLS 1.2: Go's name, as in the file, and OpenSSL's."""

CURVES = {"CurveP256": "prime256v1", "CurveP384": "secp384r1", "CurveP521": "secp521r1", "X25519": "X25519"}
"""The permitted curves: Go's name, as in the file, and OpenSSL's."""

HEADERS: Mapping[str, tuple[str, ...]] = {
    "Content-Security-Policy": (),
    "Strict-Transport-Security": (),
    "X-Content-Type-Options": ("nosniff",),
    "X-Frame-Options": ("deny", "sameorigin"),
    "X-XSS-Protection": (),
}
"""The permitted headers and their permitted values; an empty tuple means any value."""

NO_CERTIFICATE, IF_GIVEN, REQUIRED = "NoClientCert", "VerifyClientCertIfGiven", "RequireAndVerifyClientCert"
VERIFIED_INSTEAD = {"RequestClientCert": IF_GIVEN, "RequireAnyClientCert": REQUIRED, "RequireClientCert": REQUIRED}
"""Values of client_auth_type that verify nothing, and the value to use instead."""

MIN_COST, MAX_COST = 10, 16
BCRYPT = re.compile(r"\$2[aby]\$([0-9]{2})\$[./A-Za-z0-9]{21}[.Oeu][./A-Za-z0-9]{31}")
"""A bcrypt hash. The last character of the salt holds two bits only; with another one no password would match."""
HASH_HINT = "make one by `htpasswd -nBC 12 USER`"
DURATION = re.compile(r"([0-9]+(?:\.[0-9]*)?|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h)")
MAX_DURATION_CHARACTERS = 64
"""Maximum length of a duration: the search in a long text without units takes quadratic time."""
SECONDS = {"ns": 1e-9, "us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}


def verified_auth_type(name: str) -> str:
    """Returns the value of client_auth_type if it verifies certificates or ignores them; raises ValueError."""
    if name in VERIFIED_INSTEAD:
        raise ValueError(f"would accept unverified certificates; use {VERIFIED_INSTEAD[name]}")
    if name not in {"", NO_CERTIFICATE, IF_GIVEN, REQUIRED}:
        raise ValueError(f"must be one of {NO_CERTIFICATE}, {IF_GIVEN}, {REQUIRED}")
    return name or NO_CERTIFICATE


def tls_version(name: str) -> str:
    """Returns the name of a TLS version that is still safe; raises ValueError."""
    if name in {"TLS10", "TLS11"}:
        raise ValueError("is broken (RFC 8996); use TLS12 or TLS13")
    if name not in {"TLS12", "TLS13"}:
        raise ValueError("must be TLS12 or TLS13")
    return name


def cipher_suite(name: str) -> str:
    """Returns the name of a strong cipher suite of TLS 1.2; raises ValueError."""
    if re.fullmatch(r"TLS_(AES|CHACHA20)_\w+", name):
        raise ValueError("is a suite of TLS 1.3, which are always enabled; omit it")
    if name not in CIPHERS:
        weak = "is weak" if re.search("CBC|RC4|3DES|TLS_RSA", name) else "is unknown"
        raise ValueError(f"{weak}; choose from {', '.join(CIPHERS)}")
    return name


def curves(names: tuple[str, ...]) -> tuple[str, ...]:
    """Returns the names of permitted curves, at most one; raises ValueError."""
    if any(name not in CURVES for name in names):
        raise ValueError(f"must be one of {', '.join(CURVES)}")
    if len(names) > 1:
        raise ValueError("Python's TLS supports one curve only; name one, or omit the list")
    return names


def no_http2(is_on: bool) -> bool:  # noqa: FBT001 - pydantic calls it
    """Returns the value if it is off; raises ValueError."""
    if is_on:
        raise ValueError("HTTP/2 is not supported; set it to false, or omit it")
    return is_on


def response_headers(headers: dict[str, str]) -> dict[str, str]:
    """Returns the headers that are not blank; raises ValueError with one line per header that is not permitted."""
    problems = [f"{name}: {text}" for name, value in headers.items() for text in _header_problems(name, value)]
    if problems:
        raise ValueError("\n".join(problems))
    return {name: value for name, value in headers.items() if value}


def _header_problems(name: str, value: str) -> Iterator[str]:
    if name not in HEADERS:
        yield f"cannot be set; choose from {', '.join(HEADERS)}"
    elif value and HEADERS[name] and value not in HEADERS[name]:
        yield f"must be {' or '.join(HEADERS[name])}"
    if not value.isprintable():
        yield "must be one line of printable characters"


def bcrypt_hash(text: str) -> str:
    """Returns a bcrypt hash whose cost is neither cheap to guess nor expensive to check; raises ValueError."""
    found = BCRYPT.fullmatch(text)
    if found is None:
        raise ValueError(f"must be a bcrypt hash, not a password or another hash; {HASH_HINT}")
    if not MIN_COST <= int(found[1]) <= MAX_COST:
        raise ValueError(f"its cost must be {MIN_COST} to {MAX_COST}, not {int(found[1])}; {HASH_HINT}")
    return text


def user_names(users: dict[str, str]) -> dict[str, str]:
    """Returns the users if basic authentication can transmit their names; raises ValueError."""
    if any(not name or ":" in name or not name.isprintable() for name in users):
        raise ValueError("a user name must be printable, not empty, and without a colon")
    return users


def duration_seconds(value: object) -> float:
    """Returns the seconds of a Go duration such as `1s`, `500ms`, `1m30s` or `0`; raises ValueError."""
    text = str(value).strip()
    if text == "0":
        return 0.0
    parts = DURATION.findall(text) if len(text) <= MAX_DURATION_CHARACTERS else []
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise ValueError("must be a duration like 1s, 500ms or 1m30s")
    return sum(float(number) * SECONDS[unit.replace("µ", "u").replace("μ", "u")] for number, unit in parts)


STRICT = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True, allow_inf_nan=False)
TlsVersion = Annotated[str, AfterValidator(tls_version)]


class TlsServerConfig(BaseModel):
    """TLS of the server; paths are relative to the folder of the file."""

    model_config = STRICT

    cert_file: str = Field(default="", examples=["server.crt"])
    key_file: str = Field(default="", examples=["server.key"])
    client_ca_file: str = Field(default="", examples=["clients.crt"])
    cert: str = ""
    key: str = Field(default="", repr=False)
    client_ca: str = ""
    client_auth_type: Annotated[str, AfterValidator(verified_auth_type)] = NO_CERTIFICATE
    client_allowed_sans: tuple[str, ...] = ()
    min_version: TlsVersion = "TLS12"
    max_version: TlsVersion = "TLS13"
    cipher_suites: tuple[Annotated[str, AfterValidator(cipher_suite)], ...] = ()
    prefer_server_cipher_suites: bool = True
    curve_preferences: Annotated[tuple[str, ...], AfterValidator(curves)] = ()


class HttpServerConfig(BaseModel):
    """The HTTP version, and headers of every response."""

    model_config = STRICT

    http2: Annotated[bool, AfterValidator(no_http2)] = False
    headers: Annotated[dict[str, str], AfterValidator(response_headers)] = {}


class RateLimit(BaseModel):
    """A token bucket for all requests; an interval of 0 seconds means no limit."""

    model_config = STRICT

    interval: Annotated[float, BeforeValidator(duration_seconds)] = 0.0
    burst: Annotated[int, Field(ge=0, le=2**63 - 1)] = 0


class WebConfig(BaseModel):
    """The whole file."""

    model_config = STRICT

    tls_server_config: TlsServerConfig | None = None
    http_server_config: HttpServerConfig = HttpServerConfig()
    basic_auth_users: Annotated[
        dict[str, Annotated[str, AfterValidator(bcrypt_hash)]], AfterValidator(user_names), Field(repr=False)
    ] = {}
    rate_limit: RateLimit = RateLimit()


def conflicts(given: Mapping[str, object]) -> Iterator[tuple[Place, str]]:
    """Yields the place and text of every conflict between keys.

    It works on the raw mapping, because a validator of the model would run only if every key is valid by itself, and
    all problems are to be reported together.
    """
    tls, limit = given.get("tls_server_config"), given.get("rate_limit")
    if isinstance(tls, dict):
        yield from ((("tls_server_config", name), text) for name, is_broken, text in _tls_rules(tls) if is_broken)
    if isinstance(limit, dict) and _is_limiting(limit.get("interval", 0)) and not limit.get("burst"):
        yield ("rate_limit", "burst"), "must be 1 or more, or every request would be refused"


def _is_limiting(interval: object) -> bool:
    """Returns whether an interval of a rate limit is one: `0`, `0s` or `0ms` means no limit."""
    try:
        return duration_seconds(interval) > 0
    except ValueError:
        return False  # reported as such


def _tls_rules(tls: Mapping[str, object]) -> Iterator[tuple[str, bool, str]]:
    """Yields for each rule the key at fault, whether the rule is broken, and the text."""
    parts = ("cert", "key", "client_ca")
    inline = {part: bool(tls.get(part)) for part in parts}
    in_file = {part: bool(tls.get(f"{part}_file")) for part in parts}
    has_ca = inline["client_ca"] or in_file["client_ca"]
    auth_type = str(tls.get("client_auth_type") or NO_CERTIFICATE)
    versions = (tls.get("min_version"), tls.get("max_version"))

    for part in parts:
        yield part, inline[part] and in_file[part], f"cannot be used together with {part}_file"
    for part in ("cert", "key"):
        yield f"{part}_file", not (inline[part] or in_file[part]), "is missing, and TLS needs it"
    yield (
        "client_ca_file",
        auth_type in {IF_GIVEN, REQUIRED} and not has_ca,
        f"is missing, and {auth_type} needs it to verify client certificates",
    )
    yield (
        "client_auth_type",
        auth_type == NO_CERTIFICATE and has_ca,
        f"is missing; a CA for clients needs {REQUIRED} or {IF_GIVEN}",
    )
    yield (
        "client_allowed_sans",
        auth_type in {NO_CERTIFICATE, IF_GIVEN} and bool(tls.get("client_allowed_sans")),
        f"needs client_auth_type {REQUIRED}",
    )
    yield "max_version", versions == ("TLS13", "TLS12"), "must not be below min_version"
