"""Targets share what they can: an endpoint's connections, and an account's rate."""

from __future__ import annotations

import asyncio

import pytest

from exporter.config.load import load_settings
from exporter.errors import SettingsError
from exporter.ims.clients import Clients
from exporter.metrics.exposition import Instruments


@pytest.mark.parametrize("proxy", ["socks5://localhost:1", "foo://user:canary0secret@localhost"])
def test_a_proxy_that_cannot_be_used(proxy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is a problem of the configuration, told without the proxy's password."""
    monkeypatch.setenv("HTTPS_PROXY", proxy)
    settings = load_settings({"region_id": "cn-shanghai"}, {})

    async def scenario() -> None:
        Clients(settings, {}, Instruments()).client(settings.polled_targets[0])

    with pytest.raises(SettingsError) as caught:
        asyncio.run(scenario())

    assert "HTTPS_PROXY" in str(caught.value)
    assert "canary" not in str(caught.value)
