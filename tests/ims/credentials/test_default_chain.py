"""The default chain asks the sources of the official library in its order, explains failures, and starts no thread."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest
from aiohttp import web
from alibabacloud_credentials import provider as library
from alibabacloud_credentials.utils import auth_util

from exporter.ims.credentials.default_chain import NoCredentialsError, chain_links
from exporter.ims.credentials.source import AccessKey, credential_source
from exporter.jobs.target import Credentials

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

# The library still calls datetime.utcnow().
pytestmark = pytest.mark.filterwarnings("ignore:.*utcnow:DeprecationWarning")

CANARY = "canary0secret"
VARIABLES = {"ALIBABA_CLOUD_ACCESS_KEY_ID": "id", "ALIBABA_CLOUD_ACCESS_KEY_SECRET": "s"}
OIDC = {
    "ALIBABA_CLOUD_OIDC_TOKEN_FILE": "/missing/token",
    "ALIBABA_CLOUD_OIDC_PROVIDER_ARN": "acs:ram::1:oidc-provider/x",
    "ALIBABA_CLOUD_ROLE_ARN": "acs:ram::1:role/x",
}
INI = "[default]\ntype = access_key\naccess_key_id = from-ini\naccess_key_secret = s\n"
CLI = {"current": "x", "profiles": [{"name": "x", "mode": "AK", "access_key_id": "from-cli", "access_key_secret": "s"}]}


@pytest.fixture
def empty(tmp_path: Path) -> dict[str, str]:
    """Provides an environment with an empty home and without ECS metadata."""
    return {"HOME": str(tmp_path), "ALIBABA_CLOUD_ECS_METADATA_DISABLED": "true"}


def key_of(environ: dict[str, str], choice: Credentials | None = None) -> AccessKey:
    """Returns the key that the chain finds."""
    return asyncio.run(credential_source(choice, environ).current())


def refusal_of(environ: dict[str, str], choice: Credentials | None = None) -> NoCredentialsError:
    """Returns the error of a chain that finds no key."""
    with pytest.raises(NoCredentialsError) as refused:
        key_of(environ, choice)
    return refused.value


def written(folder: Path, name: str, text: str) -> Path:
    """Writes a file with this text, creates its folders, and returns its path."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_the_first_source_wins(empty: dict[str, str], tmp_path: Path) -> None:
    """Variables precede the profile of the `aliyun` command, which precedes the credentials file."""
    written(tmp_path, ".alibabacloud/credentials.ini", INI)
    from_ini = key_of(empty).key_id
    written(tmp_path, ".aliyun/config.json", json.dumps(CLI))
    from_cli = key_of(empty).key_id
    token = {"ALIBABA_CLOUD_SECURITY_TOKEN": "t"}

    assert (from_ini, from_cli) == ("from-ini", "from-cli")
    assert key_of({**empty, **VARIABLES}) == AccessKey("id", "s")
    assert key_of({**empty, **VARIABLES, **token}) == AccessKey("id", "s", "t")


def test_named_credentials_file(empty: dict[str, str], tmp_path: Path) -> None:
    """Variables can name the credentials file and its section."""
    path = written(tmp_path, "keys.ini", INI.replace("default", "prod"))

    key = key_of({**empty, "ALIBABA_CLOUD_CREDENTIALS_FILE": str(path), "ALIBABA_CLOUD_PROFILE": "prod"})

    assert key.key_id == "from-ini"


def test_the_order_equals_the_librarys(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """With every source set up, the links are those of the library's own chain."""
    environ = {"HOME": str(tmp_path), **VARIABLES, **OIDC, "ALIBABA_CLOUD_CREDENTIALS_URI": "http://127.0.0.1:1/"}
    written(tmp_path, ".alibabacloud/credentials.ini", INI)
    written(tmp_path, ".aliyun/config.json", json.dumps(CLI))
    for name in ("enable_oidc_credential", "environment_oidc_token_file"):
        monkeypatch.setattr(auth_util, name, "x")
    for name in ("environment_role_arn", "environment_oidc_provider_arn", "environment_credentials_uri"):
        monkeypatch.setattr(auth_util, name, "x")
    monkeypatch.setattr(auth_util, "environment_ecs_metadata_disabled", "false")
    monkeypatch.setattr("alibabacloud_credentials.provider.ecs_ram_role.BackgroundScheduler.start", lambda _: None)
    monkeypatch.setattr("alibabacloud_credentials.provider.ecs_ram_role.atexit.register", lambda *_, **__: None)

    theirs = library.DefaultCredentialsProvider()._DefaultCredentialsProvider__providers_chain  # noqa: SLF001 - to compare
    ours = [link.provider() for link in chain_links(environ) if link.provider]

    assert [type(each) for each in ours[1:]] == [type(each) for each in theirs[1:]]
    assert isinstance(ours[0], library.StaticAKCredentialsProvider)  # the library reads the variables at its import
    assert isinstance(theirs[0], library.EnvironmentVariableCredentialsProvider)


def test_no_source_has_credentials(empty: dict[str, str], tmp_path: Path) -> None:
    """Without credentials, the error names every source and what it lacks, and the hint says what to do."""
    error = refusal_of(empty)

    assert error.reasons == (
        "ALIBABA_CLOUD_ACCESS_KEY_ID and ALIBABA_CLOUD_ACCESS_KEY_SECRET are not set",
        "OIDC (RRSA) is not set up",
        f"there is no {tmp_path}/.aliyun/config.json",
        f"there is no {tmp_path}/.alibabacloud/credentials.ini",
        "the RAM role of the ECS instance is switched off (ALIBABA_CLOUD_ECS_METADATA_DISABLED)",
    )
    assert str(error) == f"no credentials were found: {', '.join(error.reasons)}"
    assert "set ALIBABA_CLOUD_ACCESS_KEY_ID and" in error.hint
    assert error.code == "NoCredentials"


@pytest.mark.parametrize(
    ("environ", "reason"),
    [
        ({"ALIBABA_CLOUD_ACCESS_KEY_ID": CANARY}, "ALIBABA_CLOUD_ACCESS_KEY_SECRET is not set"),
        ({"ALIBABA_CLOUD_OIDC_TOKEN_FILE": "/x"}, "OIDC (RRSA) lacks ALIBABA_CLOUD_OIDC_PROVIDER_ARN and "),
        (OIDC, "OIDC (RRSA) failed ([Errno 2] No such file or directory: '/missing/token')"),
        ({"ALIBABA_CLOUD_CREDENTIALS_FILE": "/missing.ini"}, "there is no /missing.ini"),
        ({"ALIBABA_CLOUD_CLI_PROFILE_DISABLED": "true"}, "switched off (ALIBABA_CLOUD_CLI_PROFILE_DISABLED)"),
        ({"ALIBABA_CLOUD_CREDENTIALS_URI": "http://127.0.0.1:9/"}, "ALIBABA_CLOUD_CREDENTIALS_URI failed ("),
    ],
)
def test_incomplete_sources(empty: dict[str, str], environ: dict[str, str], reason: str) -> None:
    """The error names what is missing in a source that is incomplete, and why a source failed."""
    error = refusal_of({**empty, **environ})

    assert reason in str(error)
    assert CANARY not in str(error)


@pytest.mark.parametrize("name", [".aliyun/config.json", ".alibabacloud/credentials.ini"])
@pytest.mark.parametrize("text", [f"{{{CANARY}", f"[default]\n{CANARY}\n", f'{{"current": "{CANARY}"', "{}", ""])
def test_broken_files(empty: dict[str, str], tmp_path: Path, name: str, text: str) -> None:
    """The error names a file without a key, and quotes none of its lines."""
    path = written(tmp_path, name, text)

    error = refusal_of(empty)

    assert f"{path} failed (" in str(error)
    assert CANARY not in str(error)


def test_the_base_of_a_role(empty: dict[str, str]) -> None:
    """If the base key of a role comes from an empty chain, the error is that of the chain."""
    choice = Credentials(role_arn="acs:ram::1:role/x", profile="default")

    assert "OIDC (RRSA) is not set up" in refusal_of(empty, choice).reasons


@asynccontextmanager
async def metadata(answers: dict[str, str]) -> AsyncIterator[str]:
    """Serves the metadata of an ECS instance, by the last part of the path; yields the URL of the proxy to use."""

    async def answer(request: web.Request) -> web.Response:
        text = answers.get(request.path.rpartition("/")[2])
        return web.Response(status=404 if text is None else 200, text=text)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@pytest.mark.parametrize("role", ["", "reader"])
def test_role_of_an_ecs_instance(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, role: str) -> None:
    """The role's key comes from the instance's metadata, and no thread outlives the source."""
    key = {"AccessKeyId": "STS.1", "AccessKeySecret": "s", "SecurityToken": "t", "Code": "Success"}
    answers = {"token": "x", "": "reader", "reader": json.dumps({**key, "Expiration": "2999-01-01T00:00:00Z"})}
    environ = {"HOME": str(tmp_path), **({"ALIBABA_CLOUD_ECS_METADATA": role} if role else {})}
    before = set(threading.enumerate())

    async def scenario() -> list[AccessKey]:
        async with metadata(answers) as proxy:
            monkeypatch.setenv("HTTP_PROXY", proxy)
            source = credential_source(None, environ)
            first = await source.current()
            source.forget()
            return [first, await source.current()]

    assert asyncio.run(scenario()) == [AccessKey("STS.1", "s", "t")] * 2
    assert [thread for thread in set(threading.enumerate()) - before if thread.name == "APScheduler"] == []


def test_no_ecs_instance(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Missing metadata are an absent source, but a failed one if a role was named."""

    async def scenario(environ: dict[str, str]) -> str:
        async with metadata({}) as proxy:
            monkeypatch.setenv("HTTP_PROXY", proxy)
            with pytest.raises(NoCredentialsError) as refused:
                await credential_source(None, {"HOME": str(tmp_path), **environ}).current()
            return refused.value.reasons[-1]

    assert asyncio.run(scenario({})) == "no RAM role of an ECS instance answers"
    named = asyncio.run(scenario({"ALIBABA_CLOUD_ECS_METADATA": "reader"}))
    assert named.startswith("the RAM role reader of the ECS instance failed (")


def test_metadata_without_an_answer(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """If the metadata service never answers, the chain ends within seconds."""
    with socket.create_server(("127.0.0.1", 0)) as mute:
        monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{mute.getsockname()[1]}")
        started = time.monotonic()
        refusal_of({"HOME": str(tmp_path)})

    assert time.monotonic() - started < 5
