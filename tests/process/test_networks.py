"""In networks of their own: behind a proxy, with the metadata service of ECS, with STS, and without IPv6."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.exporter_process import environment
from tests.support.network_namespace import run_isolated
from tests.support.proxied_world import METADATA, PROXY_PORT

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.process

CANARY = "canary0/?#secret"
PROXY = f"http://user:{CANARY}@127.0.0.1:{PROXY_PORT}"
ROLE = "acs:ram::1234567890123456:role/ims-reader"
KEYS = ("ALIBABA_CLOUD_", "NO_PROXY", "IMS_EXPORTER_")


def checked(folder: Path, **variables: str) -> dict[str, Any]:
    """Runs `check` in a network with metadata service, STS, IMS and a proxy; returns how it ended and who was asked."""
    inherited = {name: text for name, text in environment(folder).items() if not name.startswith(KEYS)}
    output = run_isolated("tests.support.proxied_world", folder, {**inherited, **variables}, addresses=[METADATA])
    found: dict[str, Any] = json.loads(output)
    assert found["code"] == 0, found["output"]
    assert "canary" not in found["output"]
    return found


@pytest.mark.parametrize("names", [("HTTP_PROXY", "HTTPS_PROXY"), ("all_proxy",)], ids=["two", "all"])
def test_all_calls_but_metadata_go_by_the_proxy(tmp_path: Path, names: tuple[str, ...]) -> None:
    """IMS and STS are called by the proxy, with its password; the metadata service is called directly."""
    found = checked(tmp_path, ROLE=ROLE, **dict.fromkeys(names, PROXY))

    assert found["asked"] == ["IMS", "STS"]
    assert found["authorizations"] == ["Basic dXNlcjpjYW5hcnkwLz8jc2VjcmV0"]
    assert found["sts_calls"] == 1


@pytest.mark.parametrize("no_proxy", ["127.0.0.0/8", "127.0.0.1", "*", "fd00::/8,[::1],127.0.0.0/8"])
def test_no_proxy_holds_for_all_calls(tmp_path: Path, no_proxy: str) -> None:
    """What NO_PROXY names is called directly, IMS and STS alike."""
    found = checked(tmp_path, ROLE=ROLE, HTTP_PROXY=PROXY, HTTPS_PROXY=PROXY, NO_PROXY=no_proxy)

    assert found["asked"] == []
    assert found["sts_calls"] == 1
    assert found["ims_calls"] > 0


def test_an_empty_name_of_the_instance_role(tmp_path: Path) -> None:
    """An empty ALIBABA_CLOUD_ECS_METADATA means the role that the instance has."""
    assert checked(tmp_path, ALIBABA_CLOUD_ECS_METADATA="")["ims_calls"] > 0


@pytest.mark.parametrize(("address", "url"), [("localhost:9912", "http://127.0.0.1:9912"), (":9912", ":9912")])
def test_without_ipv6(tmp_path: Path, address: str, url: str) -> None:
    """Where IPv6 is off, `localhost` and every address are served by IPv4, and `health` finds the exporter."""
    variables = {**environment(tmp_path), "ADDRESS": address}
    output = run_isolated("tests.support.without_ipv6", tmp_path, variables, has_ipv6=False)
    found = json.loads(output.splitlines()[-1])

    assert found["url"].endswith(url)
    assert found["health"] == 0
