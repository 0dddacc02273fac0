"""The clients of targets share the connections of an endpoint and the rate limit of an account."""

from __future__ import annotations

import asyncio

import pytest

from exporter.errors import SettingsError
from exporter.ims.clients import Clients
from exporter.jobs.snapshot import PollKey
from exporter.jobs.target import Target


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
