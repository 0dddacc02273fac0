"""A RAM role is assumed at a stand-in for STS, over TLS, with the keys of the settings."""

from __future__ import annotations

import asyncio
import io
import json
import socket
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from alibabacloud_credentials.provider import RamRoleArnCredentialsProvider

from exporter.errors import CredentialsError
from exporter.ims.credentials.source import AccessKey, CredentialSource, credential_source
from exporter.jobs.target import Credentials
from exporter.logs import configure_logging
from tests.support.fakests import FakeSts, fake_sts
from tests.support.quietlogs import as_before

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

# The library still calls datetime.utcnow().
pytestmark = pytest.mark.filterwarnings("ignore:.*utcnow:DeprecationWarning")

CANARY = "canary0secret"
ROLE = "acs:ram::1234567890123456:role/ims-reader"
GIVEN = {"PROD_ID": "id", "PROD_SECRET": "secret", "PROD_TOKEN": "base-token"}


def source_of(sts: FakeSts, external_id: str = "") -> CredentialSource:
    """Returns the source of a target that assumes a role."""
    choice = Credentials(
        access_key_id_env="PROD_ID",
        access_key_secret_env="PROD_SECRET",
        security_token_env="PROD_TOKEN",
        role_arn=ROLE,
        external_id=external_id,
        sts_endpoint=sts.endpoint,
    )
    return credential_source(choice, GIVEN)


def with_sts(folder: Path, scenario: Callable[[FakeSts], Awaitable[None]]) -> None:
    """Runs a scenario beside an STS that this process trusts."""

    async def run() -> None:
        async with fake_sts(folder) as sts:
            with pytest.MonkeyPatch.context() as patch:
                patch.setenv("SSL_CERT_FILE", str(sts.certificate))
                patch.setenv("NO_PROXY", "127.0.0.1")
                await scenario(sts)

    asyncio.run(run())


def test_assumes_the_role(tmp_path: Path) -> None:
    """The role's key signs; it was asked for with the base key, the role, a session name and the external id, once."""

    async def scenario(sts: FakeSts) -> None:
        source = source_of(sts, external_id="ext")

        keys = [await source.current(), await source.current()]

        assert keys == [AccessKey("STS.1", "secret-1", "token-1")] * 2
        (asked,) = sts.requests
        expected = {
            "Action": "AssumeRole",
            "AccessKeyId": "id",
            "SecurityToken": "base-token",
            "RoleArn": ROLE,
            "RoleSessionName": "ims-exporter",
            "ExternalId": "ext",
        }
        assert {name: asked.get(name) for name in expected} == expected
        assert GIVEN["PROD_SECRET"] not in asked.values()

    with_sts(tmp_path, scenario)


def test_renews_the_key(tmp_path: Path) -> None:
    """A key about to expire is replaced at the next call, and so is one that was forgotten."""

    async def scenario(sts: FakeSts) -> None:
        source = source_of(sts)
        sts.valid_seconds = 60
        seen = [await source.current()]
        sts.valid_seconds = 3600
        seen += [await source.current(), await source.current()]
        source.forget()
        seen.append(await source.current())

        assert [key.key_id for key in seen] == ["STS.1", "STS.2", "STS.2", "STS.3"]

    with_sts(tmp_path, scenario)


def test_a_slow_answer_holds_up_nobody(tmp_path: Path) -> None:
    """While two callers wait for the same key, the loop goes on, and STS is asked once."""

    async def scenario(sts: FakeSts) -> None:
        sts.delay_seconds = 0.2
        source = source_of(sts)
        longest = asyncio.create_task(longest_pause())

        keys = await asyncio.gather(source.current(), source.current())

        longest.cancel()
        assert keys[0] == keys[1]
        assert len(sts.requests) == 1
        assert await longest < 1.0

    with_sts(tmp_path, scenario)


async def longest_pause() -> float:
    """Returns, when cancelled, the longest time for which the loop did not come round."""
    longest, before = 0.0, time.monotonic()
    try:
        while True:
            await asyncio.sleep(0.01)
            longest, before = max(longest, time.monotonic() - before), time.monotonic()
    except asyncio.CancelledError:
        return max(longest, time.monotonic() - before)


@pytest.mark.parametrize(
    ("status", "text", "told"),
    [
        (403, json.dumps({"Code": "NoPermission", "Message": CANARY}), "NoPermission"),
        (
            400,
            json.dumps({"Code": "SignatureDoesNotMatch", "Message": f"SecurityToken={CANARY}"}),
            "SignatureDoesNotMatch",
        ),
        (200, json.dumps({"Credentials": {"AccessKeyId": "x", "AccessKeySecret": CANARY}}), "ram_role_arn"),
        (200, f"<html>{CANARY}</html>", "no credentials"),
    ],
)
def test_refusals_tell_no_secret(tmp_path: Path, status: int, text: str, told: str) -> None:
    """A refusal is an error with STS's code; neither it nor the log, the library's lines too, quotes the answer."""

    async def scenario(sts: FakeSts) -> None:
        sts.refusal = status, text
        with pytest.raises(CredentialsError, match=told) as refused:
            await source_of(sts).current()
        assert CANARY not in str(refused.value)

    stream = io.StringIO()
    with as_before():
        configure_logging("debug", "logfmt", stream)
        with_sts(tmp_path, scenario)

    assert CANARY not in stream.getvalue()


def test_a_timeout_tells_no_secret() -> None:
    """An STS that does not answer is named, but not the signed URL, which carries the base token."""
    with socket.create_server(("127.0.0.1", 0)) as mute, pytest.MonkeyPatch.context() as patch:
        patch.setattr(RamRoleArnCredentialsProvider, "DEFAULT_CONNECT_TIMEOUT", 50)
        sts = FakeSts(Path(), f"127.0.0.1:{mute.getsockname()[1]}")
        with pytest.raises(CredentialsError, match=sts.endpoint) as refused:
            asyncio.run(source_of(sts).current())

    assert "base-token" not in str(refused.value)


def test_a_certificate_nobody_vouches_for(tmp_path: Path) -> None:
    """No key is taken from an endpoint whose certificate is not trusted."""

    async def scenario() -> None:
        async with fake_sts(tmp_path) as sts:
            with pytest.raises(CredentialsError, match="no credentials"):
                await source_of(sts).current()
            assert sts.requests == []

    asyncio.run(scenario())
