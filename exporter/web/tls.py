"""TLS of the server: checks certificate, key and the CA of clients, and makes the context for handshakes."""

from __future__ import annotations

import os
import re
import ssl
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING

from exporter.web.config.model import CIPHERS, CURVES, NO_CERTIFICATE

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from exporter.web.config.model import TlsServerConfig

VERSIONS = {"TLS12": ssl.TLSVersion.TLSv1_2, "TLS13": ssl.TLSVersion.TLSv1_3}
STRONG_CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"
"""OpenSSL's selector of the suites in `CIPHERS`."""
OPENSSL_REASONS = {
    "KEY_VALUES_MISMATCH": "the key does not belong to the certificate",
    "KEY_TYPE_MISMATCH": "the key does not belong to the certificate",
    "EE_KEY_TOO_SMALL": "the key is too short: RSA needs 2048 bits",
    "CA_KEY_TOO_SMALL": "the key of the CA is too short: RSA needs 2048 bits",
    "CA_MD_TOO_WEAK": "the signature is too weak: use SHA-256",
}


PEM_CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----")
VERSION_TAG, UTC_TIME_TAG = 0xA0, 0x17
MAX_NOTICE_SECONDS, NOTICE_SHARE = 14 * 86400, 0.1
"""How long before its end a certificate is warned about: 14 days, but at most a tenth of its life."""


@dataclass(frozen=True, slots=True)
class TlsMaterial:
    """Certificate chain, key and CA of clients in PEM format; empty if not configured."""

    cert: bytes = b""
    key: bytes = field(default=b"", repr=False)
    client_ca: bytes = b""


def chain_problem(material: TlsMaterial) -> str:
    """Returns why certificate and key cannot be used; empty if they can."""
    if b"-----BEGIN CERTIFICATE-----" not in material.cert:
        return "the certificate is not in PEM format"
    if b"ENCRYPTED" in material.key:
        return "the key is encrypted; store it without a passphrase, readable by the exporter only"
    if b"PRIVATE KEY-----" not in material.key:
        return "the key is not in PEM format"
    try:
        _load_chain(_bare_context(), material)
    except (ssl.SSLError, OSError) as error:
        return _reason(error)
    return ""


def client_ca_problem(material: TlsMaterial) -> str:
    """Returns why the CA of clients cannot be used; empty if it can."""
    if b"-----BEGIN CERTIFICATE-----" not in material.client_ca:
        return "is not a certificate in PEM format"
    try:
        _load_client_ca(_bare_context(), material)
    except (ssl.SSLError, ValueError) as error:
        return _reason(error)
    return ""


def server_context(tls: TlsServerConfig, material: TlsMaterial) -> ssl.SSLContext:
    """Returns the context for new handshakes; raises SSLError if OpenSSL does not support the configuration.

    The handshake verifies a client certificate if the client sends one. Whether it must send one is checked for each
    request instead, because probes need none. Sessions are not resumed: a session ticket would keep a client in whose
    certificate is not trusted any longer.
    """
    context = _bare_context()
    _load_chain(context, material)
    context.minimum_version = VERSIONS[tls.min_version]
    context.maximum_version = VERSIONS[tls.max_version]
    context.set_ciphers(":".join(CIPHERS[name] for name in tls.cipher_suites) or STRONG_CIPHERS)
    for name in tls.curve_preferences:
        context.set_ecdh_curve(CURVES[name])
    if not tls.prefer_server_cipher_suites:
        context.options &= ~ssl.OP_CIPHER_SERVER_PREFERENCE
    if tls.client_auth_type != NO_CERTIFICATE:
        _load_client_ca(context, material)
        context.verify_mode = ssl.CERT_OPTIONAL
    return context


def validity_warnings(material: TlsMaterial, now: float) -> Iterator[str]:
    """Yields a warning for each certificate that is not valid at a Unix time, or soon no longer."""
    for name, pem in (("certificate", material.cert), ("CA of clients", material.client_ca)):
        for starts_at, ends_at in map(validity, PEM_CERTIFICATE.findall(pem.decode("ascii", "ignore"))):
            until = f"{datetime.fromtimestamp(ends_at, UTC):%Y-%m-%dT%H:%M:%SZ}"
            notice = min(MAX_NOTICE_SECONDS, NOTICE_SHARE * (ends_at - starts_at))
            if now >= ends_at:
                yield f"the {name} expired at {until}, so that handshakes fail: renew it"
            elif now < starts_at:
                yield f"the {name} is valid only from {datetime.fromtimestamp(starts_at, UTC):%Y-%m-%dT%H:%M:%SZ}"
            elif ends_at - now < notice:
                yield f"the {name} expires at {until}: renew it"


def validity(pem: str) -> tuple[float, float]:
    """Returns the Unix times of a certificate's validity; raises ValueError if it cannot be read.

    The validity is the fourth element of the certificate's first sequence, or the fifth after a version:
    `SEQUENCE { SEQUENCE { [0] version, serial, algorithm, issuer, SEQUENCE { not before, not after }, ... } ... }`.
    """
    (_, certificate), *_ = _elements(ssl.PEM_cert_to_DER_cert(pem))
    (_, signed), *_ = _elements(certificate)
    parts = [part for part in _elements(signed) if part[0] != VERSION_TAG]
    starts_at, ends_at = (_timestamp(tag, text) for tag, text in _elements(parts[3][1]))
    return starts_at, ends_at


def _elements(der: bytes) -> list[tuple[int, bytes]]:
    """Returns tag and content of each element of a sequence in DER: tag, length, content, one after the other."""
    found: list[tuple[int, bytes]] = []
    rest = der
    while len(rest) > 1:
        tag, length, start = rest[0], rest[1], 2
        if length & 0x80:  # the length of the length
            start += length & 0x7F
            length = int.from_bytes(rest[2:start], "big")
        found.append((tag, rest[start : start + length]))
        rest = rest[start + length :]
    return found


def _timestamp(tag: int, text: bytes) -> float:
    """Returns the Unix time of a UTCTime (`991231235959Z`, years from 1950) or GeneralizedTime (with four digits)."""
    digits = text.decode("ascii").removesuffix("Z")
    if tag == UTC_TIME_TAG:
        digits = ("19" if digits >= "50" else "20") + digits
    return datetime.strptime(f"{digits}+0000", "%Y%m%d%H%M%S%z").timestamp()


def subject_alternative_names(certificate: Mapping[str, object] | None) -> set[str]:
    """Returns the DNS names, e-mail addresses, IP addresses and URIs of a certificate from `SSLSocket.getpeercert`."""
    given = (certificate or {}).get("subjectAltName", ())
    pairs = given if isinstance(given, tuple) else ()
    kinds = {"DNS", "email", "URI"}
    return {name for kind, name in pairs if kind in kinds} | {
        str(ip_address(name.strip())) for kind, name in pairs if kind == "IP Address" and _is_address(name.strip())
    }


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def _bare_context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_TICKET
    context.num_tickets = 0
    context.set_alpn_protocols(["http/1.1"])
    return context


def _load_chain(context: ssl.SSLContext, material: TlsMaterial) -> None:
    with _as_file(material.cert) as cert, _as_file(material.key) as key:
        # With an empty password OpenSSL refuses an encrypted key; without one it would ask on the terminal.
        context.load_cert_chain(cert, key, password="")


def _load_client_ca(context: ssl.SSLContext, material: TlsMaterial) -> None:
    context.load_verify_locations(cadata=material.client_ca.decode("ascii", "ignore"))
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # as in Go, an intermediate CA can be the root of trust


@contextmanager
def _as_file(content: bytes) -> Iterator[str]:
    """Yields a path to the content: in memory on Linux, in a file that only this user can read elsewhere."""
    if hasattr(os, "memfd_create"):
        with open(os.memfd_create("pem"), "wb", buffering=0) as file:  # noqa: PTH123 - a file descriptor
            file.write(content)
            yield f"/proc/self/fd/{file.fileno()}"
    else:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "pem"
            path.write_bytes(content)
            yield str(path)


def _reason(error: Exception) -> str:
    reason = str(getattr(error, "reason", "") or "it cannot be parsed")
    return OPENSSL_REASONS.get(reason, f"is damaged ({reason.lower().replace('_', ' ')})")
