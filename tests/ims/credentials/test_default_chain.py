"""The default chain asks the sources of the official library in its order, explains failures, and starts no thread."""

from __future__ import annotations

import asyncio
import io
import json
import threading
from typing import TYPE_CHECKING

import httpx
import pytest
from alibabacloud_credentials import provider as library
from alibabacloud_credentials.utils import auth_util

from exporter.errors import NetworkError
from exporter.ims.credentials.default_chain import NoCredentialsError, chain_links
from exporter.ims.credentials.source import AccessKey, credential_source
from exporter.ims.http import Network
from exporter.ims.proxies import Proxies, Proxy, proxies_of
from exporter.jobs.target import Credentials
from exporter.logs import configure_logging
from tests.support.dead_endpoint import dead_endpoint
from tests.support.logging_state import restored_logging

if TYPE_CHECKING:
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

    assert [isinstance(our, type(their)) for our, their in zip(ours[1:], theirs[1:], strict=True)] == [True] * 5
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


class Metadata(Network):
    """A network with the metadata service of an ECS instance, which answers by the last part of the path."""

    asked: list[tuple[str, Proxy | None]]
    answers: dict[str, str]

    def __init__(self, answers: dict[str, str], proxies: Proxies = Proxies()) -> None:  # noqa: B008 - frozen
        super().__init__(proxies)
        object.__setattr__(self, "answers", answers)
        object.__setattr__(self, "asked", [])

    def client(self, proxy: Proxy | None, timeout: httpx.Timeout, base_url: str = "") -> httpx.AsyncClient:
        """Returns a client of the metadata service alone."""
        del timeout, base_url

        def answer(request: httpx.Request) -> httpx.Response:
            self.asked.append((request.url.host, proxy))
            text = self.answers.get(request.url.path.rpartition("/")[2])
            return httpx.Response(404 if text is None else 200, text=text or "")

        return httpx.AsyncClient(transport=httpx.MockTransport(answer))


@pytest.mark.parametrize("role", [None, "", "reader"])
def test_role_of_an_ecs_instance(tmp_path: Path, role: str | None) -> None:
    """The role's key comes from the instance's metadata, never by a proxy, and no thread outlives the source.

    An empty name of the role means the one that the instance has.
    """
    key = {"AccessKeyId": "STS.1", "AccessKeySecret": "s", "SecurityToken": "t", "Code": "Success"}
    answers = {"token": "x", "": "reader", "reader": json.dumps({**key, "Expiration": "2999-01-01T00:00:00Z"})}
    environ = {"HOME": str(tmp_path), **({} if role is None else {"ALIBABA_CLOUD_ECS_METADATA": role})}
    network = Metadata(answers, proxies_of({"HTTP_PROXY": "http://proxy:3128"}))
    before = set(threading.enumerate())

    async def scenario() -> list[AccessKey]:
        source = credential_source(None, environ, network)
        first = await source.current()
        source.forget(first)
        return [first, await source.current()]

    assert asyncio.run(scenario()) == [AccessKey("STS.1", "s", "t")] * 2
    assert [thread for thread in set(threading.enumerate()) - before if thread.name == "APScheduler"] == []
    assert set(network.asked) == {("100.100.100.200", None)}


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (".alibabacloud/credentials.ini", "[default]\ntype = ecs_ram_role\nrole_name = reader\n"),
        (
            ".aliyun/config.json",
            json.dumps({"current": "x", "profiles": [{"name": "x", "mode": "EcsRamRole", "ram_role_name": "reader"}]}),
        ),
    ],
)
def test_role_of_an_ecs_instance_in_a_file(tmp_path: Path, name: str, text: str) -> None:
    """A profile that names the role starts no thread either, and calls no metadata service by a proxy."""
    key = {"AccessKeyId": "STS.1", "AccessKeySecret": "s", "SecurityToken": "t", "Code": "Success"}
    written(tmp_path, name, text)
    network = Metadata({"token": "x", "reader": json.dumps({**key, "Expiration": "2999-01-01T00:00:00Z"})})
    before = set(threading.enumerate())

    found = asyncio.run(credential_source(None, {"HOME": str(tmp_path)}, network).current())

    assert found.key_id == "STS.1"
    assert [thread for thread in set(threading.enumerate()) - before if thread.name == "APScheduler"] == []


def test_no_ecs_instance(tmp_path: Path) -> None:
    """Missing metadata are an absent source, but a failed one if a role was named."""

    def reason(environ: dict[str, str]) -> str:
        with pytest.raises(NoCredentialsError) as refused:
            asyncio.run(credential_source(None, {"HOME": str(tmp_path), **environ}, Metadata({})).current())
        return refused.value.reasons[-1]

    assert reason({}) == "no RAM role of an ECS instance answers"
    assert reason({"ALIBABA_CLOUD_ECS_METADATA": "reader"}).startswith(
        "the RAM role reader of the ECS instance failed ("
    )


def test_a_source_that_does_not_answer_now(empty: dict[str, str]) -> None:
    """If the only source that is set up cannot be reached, the error says so, and is no lack of credentials."""
    with dead_endpoint() as url, pytest.raises(NetworkError, match=r"the key at 127\.0\.0\.1:\d+ failed \(") as caught:
        key_of({**empty, "ALIBABA_CLOUD_CREDENTIALS_URI": url})

    assert caught.value.reason == "network"


@pytest.mark.parametrize("name", [".aliyun/config.json", ".alibabacloud/credentials.ini"])
def test_a_byte_order_mark(empty: dict[str, str], tmp_path: Path, name: str) -> None:
    """The error says that a file begins with a byte order mark, as some editors write it."""
    path = written(tmp_path, name, "\ufeff" + (json.dumps(CLI) if name.endswith("json") else INI))

    assert f"{path} begins with a byte order mark (BOM): save it as UTF-8 without one" in str(refusal_of(empty))


def test_metadata_show_no_secret(tmp_path: Path) -> None:
    """Neither the token of the metadata service nor a key in its answer is in the error or in the log."""
    key = {"AccessKeyId": "STS.1", "AccessKeySecret": CANARY, "SecurityToken": CANARY, "Code": "Failure"}
    network = Metadata({"token": CANARY, "reader": json.dumps(key)})
    environ = {"HOME": str(tmp_path), "ALIBABA_CLOUD_ECS_METADATA": "reader"}
    stream = io.StringIO()

    with restored_logging():
        configure_logging("debug", "logfmt", stream)
        with pytest.raises(NoCredentialsError) as refused:
            asyncio.run(credential_source(None, environ, network).current())

    assert "the RAM role reader of the ECS instance failed (" in str(refused.value)
    assert len(network.asked) > 1
    assert CANARY not in str(refused.value) + stream.getvalue()
