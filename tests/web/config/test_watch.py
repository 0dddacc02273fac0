"""Certificates, CA and users change without a restart; an invalid change is logged and has no effect."""

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
from exporter.web.config.watch import CHECK_SECONDS, WebConfigWatcher
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
    """Waits until the condition holds."""
    async with asyncio.timeout(DEADLINE):
        while not await probe():  # noqa: ASYNC110 - the server sends no event
            await asyncio.sleep(0.05)


async def shown_certificate(url: str) -> str:
    """Returns the server's certificate from a new handshake."""
    address = httpx.URL(url)
    loop = asyncio.get_running_loop()
    return await loop.run_in_executor(None, ssl.get_server_certificate, (address.host, address.port or 0))


def test_a_new_certificate(tmp_path: Path) -> None:
    """New handshakes get the new certificate once its key is there too; until then they get the old one."""
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


def test_a_removed_ca(tmp_path: Path) -> None:
    """After a change of the CA, the old CA's clients are refused on open connections too; the new CA's are accepted."""
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
                with suppress(httpx.TransportError, ssl.SSLError):
                    return (await out.get(f"{url}/metrics")).status_code != 200
                return True

            await until(is_out)
            return before, await is_out(), (await into.get(f"{url}/metrics")).status_code

    assert asyncio.run(change()) == (200, True, 200)


def test_a_removed_user(tmp_path: Path) -> None:
    """A removed user is refused on open connections too."""
    other = USERS.replace("alice", "bob")

    async def remove() -> int:
        async with (
            secured(USERS, tmp_path) as url,
            httpx.AsyncClient(auth=("alice", PASSWORD), trust_env=False) as http,
        ):

            async def is_out() -> bool:
                return (await http.get(f"{url}/metrics")).status_code == 401

            first = (await http.get(f"{url}/metrics")).status_code
            (tmp_path / "web.yml").write_text(other)
            await until(is_out)
            return first

    assert asyncio.run(remove()) == 200


def test_checks_once_a_second(tmp_path: Path) -> None:
    """A change is found a second after the last check; an invalid file is logged once, a corrected one is loaded."""
    path = tmp_path / "web.yml"
    path.write_text(USERS)
    now = [0.0]
    watcher = WebConfigWatcher(str(path), clock=lambda: now[0])
    with structlog.testing.capture_logs() as lines:
        users = []
        for text in (USERS.replace("alice", "bob"), "basic_auth_users: {alice: plain}\n", USERS):
            path.write_text(text)
            users.append(list(watcher.current().config.basic_auth_users))
            for _ in range(3):
                now[0] += CHECK_SECONDS
                users.append(list(watcher.current().config.basic_auth_users))

    assert users == [["alice"], *[["bob"]] * 3, *[["bob"]] * 4, ["bob"], *[["alice"]] * 3]
    events = [line["event"] for line in lines if line["event"] != "web_config_weak"]
    assert events == ["web_config_loaded", "web_config_refused", "web_config_loaded"]


@pytest.mark.parametrize(
    ("after", "removed"),
    [
        ("", "tls_server_config, client_auth_type, basic_auth_users"),
        (USERS, "tls_server_config, client_auth_type"),
        (f"{TLS}{USERS}", "client_auth_type"),
        (MUTUAL, "basic_auth_users"),
        (f"{MUTUAL}basic_auth_users:\n", "basic_auth_users"),
    ],
)
def test_protections_cannot_be_removed(after: str, removed: str, tmp_path: Path) -> None:
    """A half-written or empty file removes no protection; that takes a restart."""
    authority = Authority(tmp_path)
    authority.server()
    shutil.copy(authority.cert, tmp_path / "clients.crt")
    path = tmp_path / "web.yml"
    path.write_text(f"{MUTUAL}{USERS}")
    now = [0.0]
    watcher = WebConfigWatcher(str(path), clock=lambda: now[0])
    before = watcher.current()
    path.write_text(after)
    now[0] += CHECK_SECONDS

    with structlog.testing.capture_logs() as lines:
        assert watcher.current() is before

    assert [line["event"] for line in lines] == ["web_config_refused"]
    assert lines[0]["error"] == f"would remove {removed}, which takes a restart; the last valid file stays in use"


def test_a_deleted_file(tmp_path: Path) -> None:
    """If the file is deleted, the configuration stays as it was."""
    path = tmp_path / "web.yml"
    path.write_text(USERS)
    now = [0.0]
    watcher = WebConfigWatcher(str(path), clock=lambda: now[0])
    path.unlink()
    now[0] += CHECK_SECONDS

    with structlog.testing.capture_logs() as lines:
        users = list(watcher.current().config.basic_auth_users)

    assert users == ["alice"]
    assert [line["event"] for line in lines] == ["web_config_refused"]


def test_an_invalid_file_at_the_start(tmp_path: Path) -> None:
    """At the start, an invalid file is an error: there is no earlier configuration to keep."""
    (tmp_path / "web.yml").write_text("basic_auth_users: {alice: plain}\n")

    with pytest.raises(SettingsError, match="must be a bcrypt hash"):
        WebConfigWatcher(str(tmp_path / "web.yml"))
