"""The connections of the server: how many there may be, and how long each may take over what it does."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from aiohttp import web

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from aiohttp.typedefs import Handler, Middleware


@dataclass(frozen=True, slots=True)
class Limits:
    """What one connection, and all together, may take."""

    connections: int = 500
    head_bytes: int = 65536
    handshake_seconds: float = 10.0
    head_seconds: float = 10.0
    answer_seconds: float = 30.0
    idle_seconds: float = 180.0


class Connection(asyncio.Protocol):
    """One connection: hands everything on to aiohttp, and breaks off when a deadline passes.

    The head of a request must be there in time from its first byte on, that of the first one from the start; so must
    the answer be made, and taken.
    """

    def __init__(self, inner: web.RequestHandler, connections: Connections) -> None:
        self.inner = inner
        self.greeting: asyncio.Task[None] | None = None
        self._connections = connections
        self._transport: asyncio.Transport | None = None
        self._deadline: asyncio.TimerHandle | None = None
        self._head_bytes = 0
        self._is_answering = False
        self._has_served = False
        self.is_last = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begins to wait for the first request."""
        self._transport = cast("asyncio.Transport", transport)
        self.inner.connection_made(transport)
        self._within(self._connections.limits.head_seconds, self.abort)

    @property
    def is_made(self) -> bool:
        """Whether the handshake is over."""
        return self._transport is not None

    def data_received(self, data: bytes) -> None:
        """Hands data on, unless it is more than the head of a request can be."""
        if not self._is_answering:
            if not self._head_bytes and self._has_served:
                self._within(self._connections.limits.head_seconds, self.abort)
            self._head_bytes += len(data)
            if self._head_bytes > self._connections.limits.head_bytes:
                self.abort()
                return
        self.inner.data_received(data)

    def eof_received(self) -> None:
        """Hands the end of the data on."""
        self.inner.eof_received()

    def pause_writing(self) -> None:
        """Lets aiohttp wait for a slow reader."""
        self.inner.pause_writing()

    def resume_writing(self) -> None:
        """Lets aiohttp go on."""
        self.inner.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forgets the connection."""
        self._within(0, None)
        self._connections.forget(self)
        self.inner.connection_lost(exc)

    def begin(self) -> None:
        """Starts the time that an answer may take."""
        self._is_answering = True
        self._within(self._connections.limits.answer_seconds, self.abort)

    def end(self) -> None:
        """Starts the time that the client has to take the answer."""
        self._is_answering = False
        self._has_served = True
        self._head_bytes = 0
        self._within(self._connections.limits.answer_seconds, self._abort_unless_taken)

    def retire(self) -> None:
        """Closes the connection, or if it is answering, lets it end with that answer."""
        self.is_last = True
        if self._transport is not None and not self._is_answering:
            self._transport.close()

    def abort(self) -> None:
        """Breaks the connection off, also in the handshake."""
        if self._transport is not None:
            self._transport.abort()
        elif self.greeting is not None:
            self.greeting.cancel()

    def _abort_unless_taken(self) -> None:
        if self._transport is not None and self._transport.get_write_buffer_size():
            self.abort()

    def _within(self, seconds: float, otherwise: Callable[[], None] | None) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        self._deadline = asyncio.get_running_loop().call_later(seconds, otherwise) if otherwise else None


class Connections:
    """All connections; when there are too many, the one that has been quiet longest makes room."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._quiet: dict[Connection, None] = {}
        self._by_handler: dict[object, Connection] = {}

    def __len__(self) -> int:
        return len(self._by_handler)

    def add(self, inner: web.RequestHandler) -> Connection | None:
        """Returns a new connection, for which another may have had to go; none while all others are being answered."""
        if len(self) >= self.limits.connections and not self.make_room():
            return None
        connection = Connection(inner, self)
        self._by_handler[inner] = connection
        self._quiet[connection] = None
        return connection

    def make_room(self) -> bool:
        """Breaks off the connection that has been quiet longest; says whether there was one."""
        longest = next(iter(self._quiet), None)
        if longest is not None:
            self.forget(longest)
            longest.abort()
        return longest is not None

    def forget(self, connection: Connection) -> None:
        """Counts a connection no longer."""
        self._quiet.pop(connection, None)
        self._by_handler.pop(connection.inner, None)

    def retire(self) -> None:
        """Closes all connections as soon as they are not answering, so that clients shake hands anew."""
        for connection in list(self._by_handler.values()):
            connection.retire()

    @asynccontextmanager
    async def answering(self, request: web.Request) -> AsyncIterator[Connection | None]:
        """Lets the request's connection know that an answer is being made."""
        connection = self._by_handler.get(request.protocol)
        if connection is None:
            yield None
            return
        self._quiet.pop(connection, None)
        connection.begin()
        try:
            yield connection
        finally:
            connection.end()
            if request.protocol in self._by_handler:
                self._quiet[connection] = None


def timed(connections: Connections) -> Middleware:
    """Returns the middleware that keeps the connections' time, and makes the last answer of one say so."""

    @web.middleware
    async def answer(request: web.Request, handler: Handler) -> web.StreamResponse:
        async with connections.answering(request) as connection:
            response = await handler(request)
            if connection is not None and connection.is_last:
                response.force_close()
            return response

    return answer
