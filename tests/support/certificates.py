"""Certificates for one test: a CA and the certificates that it signs, as PEM files."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from ipaddress import ip_address
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

if TYPE_CHECKING:
    from pathlib import Path

    from cryptography.hazmat.primitives.asymmetric.types import CertificateIssuerPrivateKeyTypes

LIFE = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Files:
    """Paths of a certificate and its key."""

    cert: Path
    key: Path


class Authority:
    """A CA that writes its certificate, and those that it signs, to a folder."""

    def __init__(self, folder: Path, name: str = "ca", validity: tuple[datetime, datetime] | None = None) -> None:
        self.folder = folder
        self.name = name
        now = datetime.now(UTC)
        self._not_before, self._not_after = validity or (now - LIFE, now + LIFE)
        self._key = ec.generate_private_key(ec.SECP256R1())

    @cached_property
    def cert(self) -> Path:
        """The file with the CA's own certificate."""
        certificate = (
            self._builder(self.name, self._key)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .sign(self._key, SHA256())
        )
        return self._written(f"{self.name}.crt", certificate.public_bytes(Encoding.PEM))

    def server(self, name: str = "server", *, rsa_bits: int = 0) -> Files:
        """Signs a certificate for a server on the loopback."""
        key = rsa.generate_private_key(65537, rsa_bits) if rsa_bits else ec.generate_private_key(ec.SECP256R1())
        names = [x509.DNSName("localhost"), x509.IPAddress(ip_address("127.0.0.1"))]
        return self._signed(name, key, names, ExtendedKeyUsageOID.SERVER_AUTH)

    def client(self, name: str = "client", dns: str = "prometheus.example") -> Files:
        """Signs a certificate for a client."""
        key = ec.generate_private_key(ec.SECP256R1())
        names = [x509.DNSName(dns), x509.IPAddress(ip_address("2001:db8::1"))]
        return self._signed(name, key, names, ExtendedKeyUsageOID.CLIENT_AUTH)

    def _signed(
        self,
        name: str,
        key: CertificateIssuerPrivateKeyTypes,
        names: list[x509.GeneralName],
        usage: x509.ObjectIdentifier,
    ) -> Files:
        certificate = (
            self._builder(name, key)
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
            .sign(self._key, SHA256())
        )
        pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        private = self._written(f"{name}.key", pem)
        private.chmod(0o600)
        return Files(self._written(f"{name}.crt", certificate.public_bytes(Encoding.PEM)), private)

    def _builder(self, name: str, key: CertificateIssuerPrivateKeyTypes) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
            .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, self.name)]))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(self._not_before)
            .not_valid_after(self._not_after)
        )

    def _written(self, name: str, content: bytes) -> Path:
        path = self.folder / name
        path.write_bytes(content)
        return path
