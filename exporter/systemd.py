"""Reports to systemd how the service is doing, by its notification socket; does nothing where there is none."""

from __future__ import annotations

import asyncio
import socket
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

READY = "READY=1"
RELOADING = "RELOADING=1"
STOPPING = "STOPPING=1"
ALIVE = "WATCHDOG=1"


def notifier(environ: Mapping[str, str]) -> Callable[[str], None]:
    """Returns a function that sends a state such as `READY=1` to systemd.

    A socket that is gone or full is ignored: the service works without it.
    """
    path = environ.get("NOTIFY_SOCKET", "")
    if not path.startswith(("/", "@")) or not hasattr(socket, "AF_UNIX"):
        return lambda _: None
    address = f"\0{path[1:]}" if path.startswith("@") else path

    def send(state: str) -> None:
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as connection:
            connection.setblocking(False)
            connection.sendto(state.encode(), address)

    return send


async def keep_alive(environ: Mapping[str, str], notify: Callable[[str], None], is_alive: Callable[[], bool]) -> None:
    """Reports to systemd's watchdog, three times per period, that the service is alive, as long as it is."""
    period = environ.get("WATCHDOG_USEC", "")
    if not (period.isascii() and period.isdigit() and int(period)):
        return
    while True:
        if is_alive():
            notify(ALIVE)
        await asyncio.sleep(int(period) / 3_000_000)
