"""The source of a RAM role assumes it at STS (a fake one, over TLS) with the configured base key."""

from __future__ import annotations

import asyncio
import io
import json
import socket
import time
from contextlib import aclosing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from alibabacloud_credentials.provider import RamRoleArnCredentialsProvider

from exporter.errors import (
    ApiError,
    CredentialsError,
    NetworkError,
    ServerError,
    ThrottledError,
    TimedOutError,
)
from exporter.ims.clients import Clients
from exporter.ims.credentials.source import AccessKey, CredentialSource, credential_source
from exporter.ims.http import network_of
from exporter.jobs.snapshot import PollKey
from exporter.jobs.target import Credentials, Target
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


def source_of(sts: FakeSts, external_id: str = "", now: Callable[[], float] = time.time) -> CredentialSource:
    """Returns the source of a target that assumes a role, and trusts the fake STS."""
    choice = Credentials(
        access_key_id_env="PROD_ID",
        access_key_secret_env="PROD_SECRET",
        security_token_env="PROD_TOKEN",
        role_arn=ROLE,
        external_id=external_id,
        sts_endpoint=sts.endpoint,
    )
    trusted = {"SSL_CERT_FILE": str(sts.certificate)} if sts.certificate.is_file() else {}
    return credential_source(choice, GIVEN, network_of(trusted), now)


def with_sts(folder: Path, scenario: Callable[[FakeSts], Awaitable[None]]) -> None:
    """Runs a scenario with a fake STS."""

    async def run() -> None:
        async with fake_sts(folder) as sts:
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


@pytest.mark.parametrize(("valid_seconds", "renewed_after"), [(3600, 2700), (1200, 600), (60, 30)])
def test_renews_the_key(tmp_path: Path, valid_seconds: int, renewed_after: int) -> None:
    """A key is replaced 15 minutes before its end, or at half of a shorter life, and after it was forgotten."""

    async def scenario(sts: FakeSts) -> None:
        moment = started = time.time()
        source = source_of(sts, now=lambda: moment)
        sts.valid_seconds = valid_seconds
        seen = [await source.current()]
        for seconds in (renewed_after - 60, renewed_after + 60):
            moment = started + seconds
            seen.append(await source.current())
        source.forget(seen[-1])
        seen.append(await source.current())

        assert [key.key_id for key in seen] == ["STS.1", "STS.1", "STS.2", "STS.3"]

    # The library looks at its own clock, so it must find the key stale whenever this source asks for the next one.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("alibabacloud_credentials.provider.ram_role_arn._get_stale_time", lambda _: int(time.time()))
        with_sts(tmp_path, scenario)


PASSING = [
    ((503, '{"Code": "ServiceUnavailable", "RequestId": "r"}'), ServerError, "server"),
    ((400, '{"Code": "Throttling.User", "RequestId": "r"}'), ThrottledError, "throttled"),
    ((502, "<html>Bad Gateway</html>"), ServerError, "server"),
]


@pytest.mark.parametrize(("failure", "kind", "reason"), PASSING)
def test_a_failed_renewal(tmp_path: Path, failure: tuple[int, str], kind: type[ApiError], reason: str) -> None:
    """The last key remains in use until it expires, with an attempt each 30 seconds; then the error is that of STS."""

    async def scenario(sts: FakeSts) -> None:
        moment = started = time.time()
        source = source_of(sts, now=lambda: moment)
        await source.current()
        sts.refusal = failure
        used, calls = [], []
        for seconds in (2710, 2720, 2750, 3590):
            moment = started + seconds
            used.append((await source.current()).key_id)
            calls.append(len(sts.requests))
        moment = started + 3601
        with pytest.raises(kind, match="no credentials: AssumeRole at 127") as caught:
            await source.current()
        sts.refusal = None
        after = await source.current()

        assert used == ["STS.1"] * 4
        assert calls == [2, 2, 3, 4]
        assert caught.value.reason == reason
        assert "access key" not in caught.value.hint
        assert after.key_id == "STS.6"

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("alibabacloud_credentials.provider.ram_role_arn._get_stale_time", lambda _: int(time.time()))
        with_sts(tmp_path, scenario)


@pytest.mark.parametrize(
    ("code", "hint"),
    [("NoPermission", "sts:AssumeRole"), ("EntityNotExist.Role", "role_arn"), ("Odd", "check the access key")],
)
def test_a_refusal_says_what_to_do(tmp_path: Path, code: str, hint: str) -> None:
    """Only a refusal is an error of the credentials; its hint depends on the code of STS."""

    async def scenario(sts: FakeSts) -> None:
        sts.refusal = 403, json.dumps({"Code": code, "RequestId": "r"})
        with pytest.raises(CredentialsError, match=code) as caught:
            await source_of(sts).current()
        assert hint in caught.value.hint

    with_sts(tmp_path, scenario)


def test_targets_that_wait_for_a_failure(tmp_path: Path) -> None:
    """Twenty callers of a source whose STS hangs wait for one call, not for twenty in a row."""

    async def scenario(sts: FakeSts) -> None:
        sts.delay_seconds = 0.3
        sts.refusal = 503, "{}"
        source = source_of(sts)

        ends = await asyncio.gather(*(source.current() for _ in range(20)), return_exceptions=True)

        assert {type(end) for end in ends} == {ServerError}
        assert len(sts.requests) == 1

    with_sts(tmp_path, scenario)


def test_targets_of_one_role_share_a_session(tmp_path: Path) -> None:
    """Twenty targets with the same credentials cost one AssumeRole call."""

    async def scenario(sts: FakeSts) -> None:
        choice = Credentials(
            access_key_id_env="PROD_ID", access_key_secret_env="PROD_SECRET", role_arn=ROLE, sts_endpoint=sts.endpoint
        )
        environ = {**GIVEN, "SSL_CERT_FILE": str(sts.certificate)}
        async with aclosing(Clients(environ, timeout_seconds=10, max_requests_per_second=10)) as clients:
            targets = [
                Target(PollKey("prod", f"cn-{number}", "smart"), f"https://{number}.example", credentials=choice)
                for number in range(20)
            ]
            sources = [clients.client(target)._credentials for target in targets]  # noqa: SLF001 - to ask it
            keys = await asyncio.gather(*(source.current() for source in sources))

        assert {key.key_id for key in keys} == {"STS.1"}
        assert len(sts.requests) == 1

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
        with pytest.raises(TimedOutError, match=sts.endpoint) as refused:
            asyncio.run(source_of(sts).current())

    assert "base-token" not in str(refused.value)


def test_an_untrusted_certificate(tmp_path: Path) -> None:
    """An endpoint without a trusted certificate gets no request."""

    async def scenario() -> None:
        async with fake_sts(tmp_path) as sts:
            sts.certificate = tmp_path / "missing"
            with pytest.raises(NetworkError, match="CERTIFICATE_VERIFY_FAILED"):
                await source_of(sts).current()
            assert sts.requests == []

    asyncio.run(scenario())
