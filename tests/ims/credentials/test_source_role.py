"""The source of a RAM role assumes it at STS (a fake one, over TLS) with the configured base key."""

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
from tests.support.fake_sts import FakeSts, fake_sts
from tests.support.logging_state import restored_logging

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
    """Runs a scenario with a fake STS whose certificate this process trusts."""

    async def run() -> None:
        async with fake_sts(folder) as sts:
            with pytest.MonkeyPatch.context() as patch:
                patch.setenv("SSL_CERT_FILE", str(sts.certificate))
                patch.setenv("NO_PROXY", "127.0.0.1")
                await scenario(sts)

    asyncio.run(run())


def test_assumes_the_role(tmp_path: Path) -> None:
    """One AssumeRole call with base key, role, session name and external id provides the key."""

    async def scenario(sts: FakeSts) -> None:
        source = source_of(sts, external_id="ext")

        keys = [await source.current(), await source.current()]

        assert keys == [AccessKey("STS.1", "secret-1", "token-1")] * 2
        (request,) = sts.requests
        expected = {
            "Action": "AssumeRole",
            "AccessKeyId": "id",
            "SecurityToken": "base-token",
            "RoleArn": ROLE,
            "RoleSessionName": "ims-exporter",
            "ExternalId": "ext",
        }
        assert {name: request.get(name) for name in expected} == expected
        assert GIVEN["PROD_SECRET"] not in request.values()

    with_sts(tmp_path, scenario)


def test_renews_the_key(tmp_path: Path) -> None:
    """A key that is about to expire, or that was forgotten, is replaced at the next call."""

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


def test_a_slow_answer_blocks_nothing(tmp_path: Path) -> None:
    """While two callers wait for the same key, the event loop runs, and STS gets one request."""

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
    """Returns, once cancelled, the longest pause of the event loop in seconds."""
    longest, before = 0.0, time.monotonic()
    try:
        while True:
            await asyncio.sleep(0.01)
            longest, before = max(longest, time.monotonic() - before), time.monotonic()
    except asyncio.CancelledError:
        return max(longest, time.monotonic() - before)


@pytest.mark.parametrize(
    ("status", "text", "code"),
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
def test_refusals_show_no_secret(tmp_path: Path, status: int, text: str, code: str) -> None:
    """A refusal has the code of STS; neither the error nor the log, library included, quotes the answer."""

    async def scenario(sts: FakeSts) -> None:
        sts.refusal = status, text
        with pytest.raises(CredentialsError, match=code) as refused:
            await source_of(sts).current()
        assert CANARY not in str(refused.value)

    stream = io.StringIO()
    with restored_logging():
        configure_logging("debug", "logfmt", stream)
        with_sts(tmp_path, scenario)

    assert CANARY not in stream.getvalue()


def test_a_timeout_shows_no_secret() -> None:
    """The error of a timeout names the endpoint, but not the signed URL with the base token."""
    with socket.create_server(("127.0.0.1", 0)) as silent, pytest.MonkeyPatch.context() as patch:
        patch.setattr(RamRoleArnCredentialsProvider, "DEFAULT_CONNECT_TIMEOUT", 50)
        sts = FakeSts(Path(), f"127.0.0.1:{silent.getsockname()[1]}")
        with pytest.raises(CredentialsError, match=sts.endpoint) as refused:
            asyncio.run(source_of(sts).current())

    assert "base-token" not in str(refused.value)


def test_an_untrusted_certificate(tmp_path: Path) -> None:
    """An endpoint without a trusted certificate gets no request."""

    async def scenario() -> None:
        async with fake_sts(tmp_path) as sts:
            with pytest.raises(CredentialsError, match="no credentials"):
                await source_of(sts).current()
            assert sts.requests == []

    asyncio.run(scenario())
