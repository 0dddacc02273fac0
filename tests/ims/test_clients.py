"""The clients of targets share the connections of an endpoint and the rate limit of an account."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

import pytest

from exporter.errors import SettingsError
from exporter.ims.clients import Clients
from exporter.jobs.snapshot import PollKey
from exporter.jobs.target import Target


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

            assert (first._http, first._slots) == (other_account._http, other_account._slots)  # noqa: SLF001 - to compare
            assert first._http is not other_endpoint._http  # noqa: SLF001 - to compare
            assert first._slots is not other_endpoint._slots  # noqa: SLF001 - to compare
            assert first._limiter is other_endpoint._limiter  # noqa: SLF001 - to compare
            assert first._limiter is not other_account._limiter  # noqa: SLF001 - to compare

    asyncio.run(scenario())


@pytest.mark.parametrize("proxy", ["socks5://localhost:1", "foo://user:canary0secret@localhost"])
def test_an_unusable_proxy(proxy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """An unusable proxy is a configuration error whose message does not show the proxy's password."""
    monkeypatch.setenv("HTTPS_PROXY", proxy)
    target = Target(PollKey("default", "cn-shanghai", "smart"), "https://ice.cn-shanghai.aliyuncs.com")

    async def scenario() -> None:
        Clients({}, timeout_seconds=10, max_requests_per_second=10).client(target)

    with pytest.raises(SettingsError) as caught:
        asyncio.run(scenario())

    assert "HTTPS_PROXY" in str(caught.value)
    assert "canary" not in str(caught.value)
