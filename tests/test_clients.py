"""Targets share what they can: an endpoint's connections, and an account's rate."""

from __future__ import annotations

import asyncio
import json

import pytest

from exporter import clients as module
from exporter.clients import Clients
from exporter.configuration import load_settings
from exporter.errors import SettingsError
from exporter.exposition import Instruments


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


def test_targets_of_one_key_share_its_source(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many targets have the same credentials, these are looked for once; others are others."""
    looked_for: list[object] = []
    monkeypatch.setattr(module, "credential_source", lambda choice, _: looked_for.append(choice))
    own = {"access_key_id_env": "ID", "access_key_secret_env": "SECRET"}
    targets = [{"account": f"account-{number}", "region_id": "cn-shanghai"} for number in range(3)]
    targets_given = json.dumps([*targets, {"account": "other", "region_id": "cn-beijing", "credentials": own}])
    settings = load_settings({}, {"IMS_EXPORTER_TARGETS": targets_given})

    async def scenario() -> None:
        clients = Clients(settings, {}, Instruments())
        for target in settings.polled_targets:
            clients.client(target)
        await clients.aclose()

    asyncio.run(scenario())

    assert len(looked_for) == 2
    assert looked_for[0] is None
