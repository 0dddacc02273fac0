"""The clients of targets share the connections of an endpoint and the rate limit of an account."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import TYPE_CHECKING

import pytest

from exporter.errors import SettingsError
from exporter.ims.clients import Clients
from exporter.jobs.snapshot import PollKey
from exporter.jobs.target import Target

if TYPE_CHECKING:
    from pathlib import Path


def test_what_clients_share() -> None:
    """Clients share connections if their endpoint is the same, and the rate limit if their account is the same."""
    targets = (
        Target(PollKey("prod", "cn-a", "smart"), "https://a.example"),
        Target(PollKey("prod", "cn-b", "smart"), "https://b.example"),
        Target(PollKey("test", "cn-a", "smart"), "https://a.example"),
    )

    async def scenario() -> None:
        async with aclosing(Clients({}, timeout_seconds=10, max_requests_per_second=10)) as clients:
            first, other_endpoint, other_account = (clients.client(target) for target in targets)

            assert (first._pool, first._slots) == (other_account._pool, other_account._slots)  # noqa: SLF001 - to compare
            assert first._pool is not other_endpoint._pool  # noqa: SLF001 - to compare
            assert first._slots is not other_endpoint._slots  # noqa: SLF001 - to compare
            assert first._limiter is other_endpoint._limiter  # noqa: SLF001 - to compare
            assert first._limiter is not other_account._limiter  # noqa: SLF001 - to compare

    asyncio.run(scenario())


def test_an_unusable_environment(tmp_path: Path) -> None:
    """An unusable proxy or CA file is a configuration error that names the variable."""
    missing = tmp_path / "missing.pem"

    for environ in ({"HTTPS_PROXY": "socks5://user:canary0secret@localhost"}, {"SSL_CERT_FILE": str(missing)}):
        with pytest.raises(SettingsError) as caught:
            Clients(environ, timeout_seconds=10, max_requests_per_second=10)

        assert next(iter(environ)) in str(caught.value)
        assert "canary" not in str(caught.value)


def test_one_store_of_certificates() -> None:
    """All endpoints share the CA certificates, which are loaded once."""

    async def scenario() -> int:
        async with aclosing(Clients({}, timeout_seconds=10, max_requests_per_second=10)) as clients:
            for number in range(5):
                clients.client(Target(PollKey("prod", f"cn-{number}", "smart"), f"https://{number}.example"))
            pools = [pool for pool, _ in clients._pools.values()]  # noqa: SLF001 - to compare
            return len({id(pool._transport._pool._ssl_context) for pool in pools})  # type: ignore[attr-defined] # noqa: SLF001

    assert asyncio.run(scenario()) == 1
