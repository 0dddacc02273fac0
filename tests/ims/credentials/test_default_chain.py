"""Alibaba Cloud's default chain: the same places in the same order, a clear word where there is nothing, no threads."""

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

from exporter.ims.credentials.default_chain import NoCredentialsError, places
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
def alone(tmp_path: Path) -> dict[str, str]:
    """Gives an environment that leads to an empty home, and to no ECS."""
    return {"HOME": str(tmp_path), "ALIBABA_CLOUD_ECS_METADATA_DISABLED": "true"}


def key_of(environ: dict[str, str], choice: Credentials | None = None) -> AccessKey:
    """Returns the key that the chain comes to."""
    return asyncio.run(credential_source(choice, environ).current())


def refusal_of(environ: dict[str, str], choice: Credentials | None = None) -> NoCredentialsError:
    """Returns the error of a chain that comes to nothing."""
    with pytest.raises(NoCredentialsError) as refused:
        key_of(environ, choice)
    return refused.value


def written(folder: Path, name: str, text: str) -> Path:
    """Returns the path of a file with this text, its folders made."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_the_first_place_wins(alone: dict[str, str], tmp_path: Path) -> None:
    """Variables come before the profile of the `aliyun` command, and that before the credentials file."""
    written(tmp_path, ".alibabacloud/credentials.ini", INI)
    from_ini = key_of(alone).key_id
    written(tmp_path, ".aliyun/config.json", json.dumps(CLI))
    from_cli = key_of(alone).key_id
    token = {"ALIBABA_CLOUD_SECURITY_TOKEN": "t"}

    assert (from_ini, from_cli) == ("from-ini", "from-cli")
    assert key_of({**alone, **VARIABLES}) == AccessKey("id", "s")
    assert key_of({**alone, **VARIABLES, **token}) == AccessKey("id", "s", "t")


def test_named_credentials_file(alone: dict[str, str], tmp_path: Path) -> None:
    """The file and its section may be named by variables."""
    path = written(tmp_path, "keys.ini", INI.replace("default", "prod"))

    key = key_of({**alone, "ALIBABA_CLOUD_CREDENTIALS_FILE": str(path), "ALIBABA_CLOUD_PROFILE": "prod"})

    assert key.key_id == "from-ini"


def test_the_order_is_that_of_the_library(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """With everything set up, the places are those of the library's own chain."""
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
    ours = [place.provider() for place in places(environ) if place.provider]

    assert [type(each) for each in ours[1:]] == [type(each) for each in theirs[1:]]
    assert isinstance(ours[0], library.StaticAKCredentialsProvider)  # the library reads the variables at its import
    assert isinstance(theirs[0], library.EnvironmentVariableCredentialsProvider)


def test_nothing_anywhere(alone: dict[str, str], tmp_path: Path) -> None:
    """Where there is nothing, every place is named with what it lacks, and the hint says what to do."""
    error = refusal_of(alone)

    assert error.places == (
        "ALIBABA_CLOUD_ACCESS_KEY_ID and ALIBABA_CLOUD_ACCESS_KEY_SECRET are not set",
        "OIDC (RRSA) is not set up",
        f"there is no {tmp_path}/.aliyun/config.json",
        f"there is no {tmp_path}/.alibabacloud/credentials.ini",
        "the RAM role of the ECS instance is switched off (ALIBABA_CLOUD_ECS_METADATA_DISABLED)",
    )
    assert str(error) == f"no credentials were found: {', '.join(error.places)}"
    assert "set ALIBABA_CLOUD_ACCESS_KEY_ID and" in error.hint
    assert error.code == "NoCredentials"


@pytest.mark.parametrize(
    ("environ", "told"),
    [
        ({"ALIBABA_CLOUD_ACCESS_KEY_ID": CANARY}, "ALIBABA_CLOUD_ACCESS_KEY_SECRET is not set"),
        ({"ALIBABA_CLOUD_OIDC_TOKEN_FILE": "/x"}, "OIDC (RRSA) lacks ALIBABA_CLOUD_OIDC_PROVIDER_ARN and "),
        (OIDC, "OIDC (RRSA) failed ([Errno 2] No such file or directory: '/missing/token')"),
        ({"ALIBABA_CLOUD_CREDENTIALS_FILE": "/missing.ini"}, "there is no /missing.ini"),
        ({"ALIBABA_CLOUD_CLI_PROFILE_DISABLED": "true"}, "switched off (ALIBABA_CLOUD_CLI_PROFILE_DISABLED)"),
        ({"ALIBABA_CLOUD_CREDENTIALS_URI": "http://127.0.0.1:9/"}, "ALIBABA_CLOUD_CREDENTIALS_URI failed ("),
    ],
)
def test_what_somebody_has_begun(alone: dict[str, str], environ: dict[str, str], told: str) -> None:
    """A place that is set up by half, or fails, says what is the matter with it."""
    error = refusal_of({**alone, **environ})

    assert told in str(error)
    assert CANARY not in str(error)


@pytest.mark.parametrize("name", [".aliyun/config.json", ".alibabacloud/credentials.ini"])
@pytest.mark.parametrize("text", [f"{{{CANARY}", f"[default]\n{CANARY}\n", f'{{"current": "{CANARY}"', "{}", ""])
def test_broken_files(alone: dict[str, str], tmp_path: Path, name: str, text: str) -> None:
    """A file that holds no key is named, and none of its lines is quoted."""
    path = written(tmp_path, name, text)

    error = refusal_of(alone)

    assert f"{path} failed (" in str(error)
    assert CANARY not in str(error)


def test_the_base_of_a_role(alone: dict[str, str]) -> None:
    """A role that is to be assumed with the chain's key tells of the chain, where that comes to nothing."""
    choice = Credentials(role_arn="acs:ram::1:role/x", profile="default")

    assert "OIDC (RRSA) is not set up" in refusal_of(alone, choice).places


@asynccontextmanager
async def metadata(answers: dict[str, str]) -> AsyncIterator[str]:
    """Gives the URL of a proxy behind which an ECS instance's metadata are, by the end of their path."""

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
    """The role's key comes from the instance's metadata, and no thread is left that would outlive its source."""
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
    """Metadata that are not there are an absence; a role that was named is one that fails."""

    async def scenario(environ: dict[str, str]) -> str:
        async with metadata({}) as proxy:
            monkeypatch.setenv("HTTP_PROXY", proxy)
            with pytest.raises(NoCredentialsError) as refused:
                await credential_source(None, {"HOME": str(tmp_path), **environ}).current()
            return refused.value.places[-1]

    assert asyncio.run(scenario({})) == "no RAM role of an ECS instance answers"
    named = asyncio.run(scenario({"ALIBABA_CLOUD_ECS_METADATA": "reader"}))
    assert named.startswith("the RAM role reader of the ECS instance failed (")


def test_metadata_that_never_answer(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Where nobody answers for an ECS instance, the chain comes to its end within seconds."""
    with socket.create_server(("127.0.0.1", 0)) as mute:
        monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{mute.getsockname()[1]}")
        started = time.monotonic()
        refusal_of({"HOME": str(tmp_path)})

    assert time.monotonic() - started < 5
