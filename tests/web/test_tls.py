"""TLS is strong by default, and names are read from client certificates."""

from __future__ import annotations

import asyncio
import ssl
from typing import TYPE_CHECKING

import httpx
import pytest

from exporter.web.config.file import load_web_config
from exporter.web.tls import subject_alternative_names
from tests.support.certificates import Authority
from tests.support.secured_server import secured

if TYPE_CHECKING:
    from pathlib import Path

TLS = "tls_server_config:\n  cert_file: server.crt\n  key_file: server.key\n"


def test_subject_alternative_names() -> None:
    """DNS names, e-mail addresses, URIs and IP addresses (in short form) count as names; the subject does not."""
    names = (
        ("DNS", "a.example"),
        ("email", "b@example"),
        ("URI", "spiffe://c"),
        ("IP Address", "2001:DB8:0:0:0:0:0:1"),
        ("IP Address", "<invalid>"),
        ("DirName", "d"),
    )

    found = subject_alternative_names({"subject": ((("commonName", "e"),),), "subjectAltName": names})

    assert found == {"a.example", "b@example", "spiffe://c", "2001:db8::1"}
    assert subject_alternative_names(None) == set()


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_min_version(version: ssl.TLSVersion, tmp_path: Path) -> None:
    """min_version refuses older versions of TLS."""
    authority = Authority(tmp_path)
    authority.server()

    async def succeeds() -> bool:
        context = ssl.create_default_context(cafile=str(authority.cert))
        context.maximum_version = version
        async with (
            secured(f"{TLS}  min_version: TLS13\n", tmp_path) as url,
            httpx.AsyncClient(verify=context, trust_env=False) as client,
        ):
            try:
                return (await client.get(f"{url}/livez")).status_code == 200
            except httpx.TransportError:
                return False

    assert asyncio.run(succeeds()) == (version is ssl.TLSVersion.TLSv1_3)


def test_strong_defaults(tmp_path: Path) -> None:
    """By default TLS 1.2 is the minimum, with forward secrecy and authenticated encryption only."""
    Authority(tmp_path).server()
    (tmp_path / "web.yml").write_text(TLS)

    context = load_web_config(str(tmp_path / "web.yml")).context

    assert context is not None
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2
    names = {each["name"] for each in context.get_ciphers() if each["protocol"] != "TLSv1.3"}
    assert all(name.startswith("ECDHE") and ("GCM" in name or "POLY1305" in name) for name in names)
