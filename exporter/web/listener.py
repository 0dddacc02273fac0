"""The place where the server listens: each connection is counted before its handshake, and made by the TLS of then."""

from __future__ import annotations

import asyncio
import errno
import socket
from contextlib import suppress
from typing import TYPE_CHECKING

from aiohttp import web

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable

    from exporter.web.connections import Connection, Connections

BACKLOG = 128
EXHAUSTED = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}
PAUSE_SECONDS = 0.01
"""Rest after a connection could not be taken, as it has gone again or the system has no room for it."""


class GuardedSite(web.BaseSite):
    """Listens on every address of a host.

    `handlers` makes what reads the requests of a new connection; `context` gives its TLS, none for plain HTTP.
    """

    def __init__(
        self,
        runner: web.AppRunner,
        address: tuple[str, int],
        *,
        connections: Connections,
        handlers: Callable[[], web.RequestHandler],
        context: Callable[[], ssl.SSLContext | None],
    ) -> None:
        super().__init__(runner)
        self._host, self._port = address
        self._connections = connections
        self._handlers = handlers
        self._context = context
        self._listeners: list[socket.socket] = []
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def name(self) -> str:
        """The base URL, as of now."""
        host, port = self.bound
        return f"{'https' if self._context() else 'http'}://{f'[{host}]' if ':' in host else host}:{port}"

    @property
    def bound(self) -> tuple[str, int]:
        """The first address that is listened on."""
        host, port = self._listeners[0].getsockname()[:2]
        return host, port

    async def start(self) -> None:
        """Begins to listen; raises OSError where the address cannot be had."""
        await super().start()
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(self._host, self._port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        for family, _, _, _, address in dict.fromkeys(found):
            listener = socket.create_server(address[:2], family=family, backlog=BACKLOG)
            listener.setblocking(False)
            self._listeners.append(listener)
        for listener in self._listeners:
            self._keep(asyncio.create_task(self._accept(listener)))

    async def stop(self) -> None:
        """Listens no longer, and breaks off handshakes; what is connected stays."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for listener in self._listeners:
            listener.close()
        await super().stop()

    async def _accept(self, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                sock, _ = await loop.sock_accept(listener)
            except OSError as error:
                if error.errno in EXHAUSTED:
                    self._connections.make_room()
                await asyncio.sleep(PAUSE_SECONDS)
                continue
            self._greet(sock)
            await asyncio.sleep(0)  # while one after the other comes in, others have their turn

    def _greet(self, sock: socket.socket) -> None:
        connection = self._connections.add(self._handlers())
        if connection is None:
            sock.close()
            return
        connection.greeting = asyncio.create_task(self._shake_hands(sock, connection))
        connection.greeting.add_done_callback(lambda _: self._greeted(sock, connection))
        self._keep(connection.greeting)

    async def _shake_hands(self, sock: socket.socket, connection: Connection) -> None:
        context = self._context()
        seconds = self._connections.limits.handshake_seconds if context else None
        with suppress(OSError):  # a bad handshake is the client's affair, and no news
            await asyncio.get_running_loop().connect_accepted_socket(
                lambda: connection, sock, ssl=context, ssl_handshake_timeout=seconds, ssl_shutdown_timeout=seconds
            )

    def _greeted(self, sock: socket.socket, connection: Connection) -> None:
        if not connection.is_made:
            self._connections.forget(connection)
            sock.close()

    def _keep(self, task: asyncio.Task[None]) -> None:
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
