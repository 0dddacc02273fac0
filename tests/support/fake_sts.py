"""A fake of Alibaba Cloud's STS over TLS, with a self-signed certificate that OpenSSL is set to trust."""

from __future__ import annotations

import asyncio
import ssl
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from typing import TYPE_CHECKING

from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from exporter.simulator.job_store import wire_time

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

HOST = "127.0.0.1"


@dataclass(slots=True)
class FakeSts:
    """Returns the keys `STS.1`, `STS.2` ... for any role; records what it was asked in `requests`."""

    certificate: Path
    endpoint: str = ""
    requests: list[dict[str, str]] = field(default_factory=list)
    valid_seconds: int = 3600
    delay_seconds: float = 0.0
    refusal: tuple[int, str] | None = None
    """Status and body of an error to answer with, if set."""

    async def assume_role(self, request: web.Request) -> web.Response:
        """Answers AssumeRole."""
        self.requests.append(dict(request.query))
        await asyncio.sleep(self.delay_seconds)
        if self.refusal:
            status, text = self.refusal
            return web.Response(status=status, text=text)
        return web.json_response({"Credentials": self._keys(len(self.requests))})

    def _keys(self, number: int) -> dict[str, str]:
        return {
            "AccessKeyId": f"STS.{number}",
            "AccessKeySecret": f"secret-{number}",
            "SecurityToken": f"token-{number}",
            "Expiration": wire_time(time.time() + self.valid_seconds),
        }


@asynccontextmanager
async def fake_sts(folder: Path) -> AsyncIterator[FakeSts]:
    """Serves on loopback; a process trusts it if `SSL_CERT_FILE` is its certificate."""
    sts = FakeSts(folder / "sts.pem")
    sts.certificate.write_bytes(_self_signed())
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(sts.certificate)
    app = web.Application()
    app.router.add_get("/", sts.assume_role)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, HOST, 0, ssl_context=context).start()
        sts.endpoint = f"{HOST}:{runner.addresses[0][1]}"
        yield sts
    finally:
        await runner.cleanup()


def _self_signed() -> bytes:
    """Returns a key and its certificate for loopback, valid for an hour."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "fake STS")])
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address(HOST))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    secret = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return secret + certificate.public_bytes(pem)
