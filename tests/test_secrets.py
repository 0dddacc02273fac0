"""No secret gets into a message, whoever made it: the service, a library, a file, or a hand at the command line."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import logging
import pickle
import re
import traceback
from typing import TYPE_CHECKING
from urllib.parse import quote

import httpx
import pytest
import structlog

from exporter.commands.cli import main
from exporter.config.load import load_settings
from exporter.config.yaml_file import read_settings_file
from exporter.errors import ApiError, SettingsError
from exporter.ims.client import RetryBudget
from exporter.ims.clients import Clients
from exporter.ims.credentials.source import AccessKey, CredentialSource
from exporter.logs import configure_logging
from tests.support.api_client import Script, client_of, source_of
from tests.support.canaries import Watch, canary
from tests.support.logging_state import restored_logging

if TYPE_CHECKING:
    from pathlib import Path

SECRET, TOKEN = canary("secret"), canary("token")
WATCH = Watch(secret=SECRET, token=TOKEN)


@pytest.mark.parametrize(
    "said",
    [
        SECRET,
        SECRET.lower(),
        SECRET[:8],
        SECRET[:1] + SECRET[2:],
        quote(SECRET, safe=""),
        json.dumps(SECRET),
        base64.b64encode(SECRET.encode()).decode(),
        base64.b64encode(f"a:{SECRET}".encode()).decode(),
        base64.b64encode(f"ab:{SECRET}".encode()).decode(),
        SECRET.encode().hex(),
    ],
)
def test_the_watch_sees(said: str) -> None:
    """A secret is found whole or in part, in any case, and in the encodings in which it may come out."""
    assert WATCH.found(f"so it says: {said}, of course".encode()) == {"secret"}
    assert WATCH.found(f"{SECRET[:7]} {TOKEN[:7]}".encode()) == set()


def test_rotated_keys_are_masked() -> None:
    """What the service says of the key before the last rotation is masked as well."""
    keys = iter([SECRET, TOKEN])

    async def scenario() -> str:
        source = CredentialSource(lambda: source_of(secret=next(keys))._build())  # noqa: SLF001 - a provider of one key
        source.forget(await source.current())
        await source.current()
        return source.redact(f"{SECRET} and {TOKEN}, signed {'0f' * 32}, job {'0f' * 16}")

    assert asyncio.run(scenario()) == f"*** and ***, signed ***, job {'0f' * 16}"


@pytest.mark.parametrize(
    "error",
    [
        httpx.RemoteProtocolError(f"illegal status line: bytearray(b'Signature {TOKEN}')"),
        httpx.LocalProtocolError(f"Illegal header value b'{TOKEN}'"),
        httpx.ProxyError(f"407 Proxy-Authorization {TOKEN}"),
    ],
)
def test_what_httpx_quotes(error: httpx.HTTPError) -> None:
    """What httpx quotes of an answer or a request is cut off; what went wrong is still told."""

    async def scenario() -> ApiError:
        async with client_of(Script(error)) as client:
            with pytest.raises(ApiError) as raised:
                await client.list_jobs(size=10, budget=RetryBudget(0))
            return raised.value

    raised = asyncio.run(scenario())

    assert re.fullmatch(r"(illegal status line: bytearray\(|Illegal header value b'|407 )\.\.\.", str(raised))
    assert WATCH.found("".join(traceback.format_exception(raised)).encode()) == set()


@pytest.mark.parametrize(
    "arguments",
    [
        [TOKEN],
        [f"ACCESS_KEY_SECRET={TOKEN}"],
        [f"-p{TOKEN[:12]}"],
        [f"--secret={TOKEN}"],
        ["check", "--secret", TOKEN],
        ["check", TOKEN],
        ["check", "--", TOKEN, TOKEN],
        [f"--version={TOKEN}"],
        ["plan", "--open-jobs", TOKEN],
        ["plan", "--failure-ratio", TOKEN],
    ],
)
def test_secrets_on_the_command_line(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """A secret that somebody gave as an argument is refused without being repeated."""
    with pytest.raises(SystemExit) as ended:
        main(arguments)

    said = capsys.readouterr()
    assert ended.value.code == 2
    assert WATCH.found((said.out + said.err).encode()) == set()
    assert said.err.startswith("ims-exporter")


@pytest.mark.parametrize(
    "text",
    [
        f"region_id: '{TOKEN}",
        f"region_id: cn-a\n{TOKEN}\nx: y",
        f"region_id: cn-a\naccess_key_secret:{TOKEN}\n",
        f"access_key_secret: @{TOKEN}",
        f"access_key_secret: *{TOKEN[:12]}",
        f"access_key_secret: !{TOKEN[:12]} x",
        f'access_key_secret: "\\{TOKEN}"',
        f"access_key_secret: !!bool {TOKEN[:12]}",
        f"access_key_secret: !!int {TOKEN[:12]}",
        f"access_key_secret: !!timestamp {TOKEN[:12]}",
        f"[{TOKEN[:12]}",
        f"%{TOKEN}",
        TOKEN[:12],
    ],
)
def test_secrets_on_a_broken_line(text: str, tmp_path: Path) -> None:
    """A file that is not YAML is refused without a word of it, whatever is wrong with the line of the secret."""
    path = tmp_path / "settings.yml"
    path.write_text(text)

    with pytest.raises(SettingsError) as refused:
        read_settings_file(str(path))

    assert WATCH.found("".join(traceback.format_exception(refused.value)).encode()) == set()


def test_reprs(tmp_path: Path) -> None:
    """No object on the way to a signed call shows a secret in its repr, and a key cannot be pickled."""
    environ = {"HOME": str(tmp_path), "A_ID": "id", "A_SECRET": SECRET, "A_TOKEN": TOKEN}
    names = {"access_key_id_env": "A_ID", "access_key_secret_env": "A_SECRET", "security_token_env": "A_TOKEN"}
    settings = load_settings({"region_id": "cn-a"}, {**environ, "IMS_EXPORTER_CREDENTIALS": json.dumps(names)})
    clients = Clients(environ, timeout_seconds=10, max_requests_per_second=10)
    client = clients.client(settings.all_targets[0])
    source = client._credentials  # noqa: SLF001 - to look at
    key = asyncio.run(source.current())
    parts = [getattr(client, name, None) for name in dir(client)] + [getattr(source, name) for name in vars(source)]

    shown = "\n".join(f"{part!r} {part}" for part in (settings, settings.all_targets, clients, client, key, *parts))

    assert key == AccessKey("id", SECRET, TOKEN)
    assert "AccessKey(key_id='id')" in shown
    assert WATCH.found(shown.encode()) == set()
    with pytest.raises(TypeError, match="cannot be pickled"):
        pickle.dumps(key)


def test_the_carrier_of_the_library_is_not_heard() -> None:
    """What carries the library's requests tells their headers with DEBUG=sdk: nobody hears it, at any level."""
    stream, its_own = io.StringIO(), io.StringIO()
    logging.getLogger("alibabacloud-tea").addHandler(logging.StreamHandler(its_own))
    with restored_logging():
        configure_logging("debug", "logfmt", stream)

        logging.getLogger("alibabacloud-tea").debug("> x-acs-security-token : %s", TOKEN)
        logging.getLogger("httpcore.http11").debug("send_request_headers.started %s", TOKEN)
        logging.getLogger("httpx").info("HTTP Request: GET https://host/?%s", TOKEN)
        structlog.get_logger().debug("heard")

    assert "heard" in stream.getvalue()
    assert WATCH.found((stream.getvalue() + its_own.getvalue()).encode()) == set()
