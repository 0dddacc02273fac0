"""Certificates, CA and users change without a restart; a broken file changes nothing and is logged."""

from __future__ import annotations

import asyncio
import shutil
import ssl
from contextlib import suppress
from typing import TYPE_CHECKING

import httpx
import pytest
import structlog

from exporter.errors import SettingsError
from exporter.web.config_watch import LOOK_SECONDS, WatchedSecurity
from tests.support.certificates import Authority
from tests.support.secured_server import HASH, PASSWORD, client, secured

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

TLS = "tls_server_config:\n  cert_file: server.crt\n  key_file: server.key\n"
MUTUAL = f"{TLS}  client_ca_file: clients.crt\n  client_auth_type: RequireAndVerifyClientCert\n"
USERS = f"basic_auth_users: {{alice: {HASH}}}\n"
DEADLINE = 15.0


async def until(probe: Callable[[], Awaitable[bool]]) -> None:
    """Waits for the condition."""
    async with asyncio.timeout(DEADLINE):
        while not await probe():  # noqa: ASYNC110 - the server tells nobody
            await asyncio.sleep(0.05)


async def shown_certificate(url: str) -> str:
    """Returns the certificate that a new handshake shows."""
    address = httpx.URL(url)
    loop = asyncio.get_running_loop()
    return await loop.run_in_executor(None, ssl.get_server_certificate, (address.host, address.port or 0))


def test_a_new_certificate_is_shown_to_new_handshakes(tmp_path: Path) -> None:
    """When the files change, new handshakes show the new certificate; until both fit, the old one serves."""
    authority = Authority(tmp_path)
    old = authority.server()
    new = authority.server("next")

    async def rotate() -> list[str]:
        async with secured(TLS, tmp_path) as url:
            shown = [await shown_certificate(url)]
            shutil.copy(new.cert, old.cert)
            await until(lambda: logged("web_config_refused", lambda: shown_certificate(url)))
            shown.append(await shown_certificate(url))
            shutil.copy(new.key, old.key)
            await until(lambda: logged("web_config_loaded", lambda: shown_certificate(url)))
            shown.append(await shown_certificate(url))
        return shown

    before = old.cert.read_text()
    with structlog.testing.capture_logs() as lines:

        async def logged(event: str, look: Callable[[], Awaitable[object]]) -> bool:
            await look()
            return any(line["event"] == event for line in lines)

        shown = asyncio.run(rotate())

    assert shown == [before, before, new.cert.read_text()]
    refused = [line for line in lines if line["event"] == "web_config_refused"]
    assert len(refused) == 1
    assert refused[0]["log_level"] == "error"
    assert "the key does not belong to the certificate" in refused[0]["error"]


def test_a_ca_that_is_trusted_no_longer_ends_its_connections(tmp_path: Path) -> None:
    """After a change of the CA its clients are out, connections that were open included; the new ones are in."""
    authority, former, present = Authority(tmp_path), Authority(tmp_path, "former"), Authority(tmp_path, "present")
    authority.server()
    shutil.copy(former.cert, tmp_path / "clients.crt")

    async def change() -> tuple[int, bool, int]:
        async with (
            secured(MUTUAL, tmp_path) as url,
            client(authority.cert, former.client("f")) as out,
            client(authority.cert, present.client("p")) as into,
        ):
            before = (await out.get(f"{url}/metrics")).status_code
            shutil.copy(present.cert, tmp_path / "clients.crt")

            async def is_out() -> bool:
                with suppress(httpx.TransportError):
                    return (await out.get(f"{url}/metrics")).status_code != 200
                return True

            await until(is_out)
            return before, await is_out(), (await into.get(f"{url}/metrics")).status_code

    assert asyncio.run(change()) == (200, True, 200)


def test_a_removed_user_is_out_at_once(tmp_path: Path) -> None:
    """A connection that a password has opened is shut when the user is removed from the file."""
    other = USERS.replace("alice", "bob")

    async def remove() -> int:
        async with (
            secured(USERS, tmp_path) as url,
            httpx.AsyncClient(auth=("alice", PASSWORD), trust_env=False) as asking,
        ):

            async def is_out() -> bool:
                return (await asking.get(f"{url}/metrics")).status_code == 401

            first = (await asking.get(f"{url}/metrics")).status_code
            (tmp_path / "web.yml").write_text(other)
            await until(is_out)
            return first

    assert asyncio.run(remove()) == 200


def test_looks_once_a_second(tmp_path: Path) -> None:
    """A change is seen at the first look a second after the last; a broken file is logged once, a mended one serves."""
    path = tmp_path / "web.yml"
    path.write_text(USERS)
    now = [0.0]
    security = WatchedSecurity(str(path), clock=lambda: now[0])
    with structlog.testing.capture_logs() as lines:
        users = []
        for text in (USERS.replace("alice", "bob"), "basic_auth_users: {alice: plain}\n", USERS):
            path.write_text(text)
            users.append(list(security.now().config.basic_auth_users))
            for _ in range(3):
                now[0] += LOOK_SECONDS
                users.append(list(security.now().config.basic_auth_users))

    assert users == [["alice"], *[["bob"]] * 3, *[["bob"]] * 4, ["bob"], *[["alice"]] * 3]
    events = [line["event"] for line in lines if line["event"] != "web_config_weak"]
    assert events == ["web_config_loaded", "web_config_refused", "web_config_loaded"]


@pytest.mark.parametrize(
    ("after", "lost"),
    [
        ("", "tls_server_config, client_auth_type, basic_auth_users"),
        (USERS, "tls_server_config, client_auth_type"),
        (f"{TLS}{USERS}", "client_auth_type"),
        (MUTUAL, "basic_auth_users"),
        (f"{MUTUAL}basic_auth_users:\n", "basic_auth_users"),
    ],
)
def test_what_is_shut_stays_shut(after: str, lost: str, tmp_path: Path) -> None:
    """A file that is half written, or emptied, opens nothing: that takes a restart."""
    authority = Authority(tmp_path)
    authority.server()
    shutil.copy(authority.cert, tmp_path / "clients.crt")
    path = tmp_path / "web.yml"
    path.write_text(f"{MUTUAL}{USERS}")
    now = [0.0]
    security = WatchedSecurity(str(path), clock=lambda: now[0])
    before = security.now()
    path.write_text(after)
    now[0] += LOOK_SECONDS

    with structlog.testing.capture_logs() as lines:
        assert security.now() is before

    assert [line["event"] for line in lines] == ["web_config_refused"]
    assert lines[0]["error"] == f"would take away {lost}, which only a restart may; the last good file stays in force"


def test_a_lost_file_opens_nothing(tmp_path: Path) -> None:
    """A file that vanishes leaves everything as it was."""
    path = tmp_path / "web.yml"
    path.write_text(USERS)
    now = [0.0]
    security = WatchedSecurity(str(path), clock=lambda: now[0])
    path.unlink()
    now[0] += LOOK_SECONDS

    with structlog.testing.capture_logs() as lines:
        users = list(security.now().config.basic_auth_users)

    assert users == ["alice"]
    assert [line["event"] for line in lines] == ["web_config_refused"]


def test_a_wrong_file_at_the_start_is_refused(tmp_path: Path) -> None:
    """At the start there is no old file to go on with."""
    (tmp_path / "web.yml").write_text("basic_auth_users: {alice: plain}\n")

    with pytest.raises(SettingsError, match="must be a bcrypt hash"):
        WatchedSecurity(str(tmp_path / "web.yml"))
