"""systemd learns from its notification socket that the service is ready, reloads, stops, and is alive."""

from __future__ import annotations

import asyncio
import socket
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import pytest

from exporter.systemd import READY, keep_alive, notifier

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextmanager
def listening(address: str) -> Iterator[socket.socket]:
    """Provides a notification socket at this address."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(address)
        listener.settimeout(10)
        yield listener


@pytest.mark.parametrize("is_abstract", [False, True])
def test_a_state_is_sent(tmp_path: Path, is_abstract: bool) -> None:  # noqa: FBT001 - a parameter of the test
    """A state arrives at a socket in the file system, and at an abstract one."""
    path = str(tmp_path / "notify")
    with listening(f"\0{path}" if is_abstract else path) as listener:
        notifier({"NOTIFY_SOCKET": f"@{path}" if is_abstract else path})(READY)

        assert listener.recv(100) == b"READY=1"


@pytest.mark.parametrize("path", ["", "/missing/notify", "vsock:2:1", "/" + "x" * 200])
def test_without_systemd(path: str) -> None:
    """Without a socket, and with one that is gone, nothing happens."""
    notifier({"NOTIFY_SOCKET": path} if path else {})(READY)


def watchdog_states(environ: dict[str, str], *, is_alive: bool) -> list[str]:
    """Returns what is sent to the watchdog within some hundredths of a second."""
    sent: list[str] = []

    async def run() -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(0.05):
                await keep_alive(environ, sent.append, lambda: is_alive)

    asyncio.run(run())
    return sent


def test_the_watchdog() -> None:
    """The watchdog hears again and again that the service is alive, unless a poll loop hangs or it is off."""
    assert len(watchdog_states({"WATCHDOG_USEC": "3000"}, is_alive=True)) > 1
    assert watchdog_states({"WATCHDOG_USEC": "3000"}, is_alive=False) == []
    assert watchdog_states({}, is_alive=True) == watchdog_states({"WATCHDOG_USEC": "x"}, is_alive=True) == []
