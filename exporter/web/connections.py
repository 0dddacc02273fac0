"""The server's connections: accepted, limited in number, bytes and time, and closed when they exceed a limit.

aiohttp's own sites are not used, because they count a connection only after its TLS handshake, have one TLS context for
their lifetime, and have no limit for the number of connections, their memory, or the time that a slow client takes.

A worked example of the limit in bytes. 40 clients request a page of 1.3 MB and read nothing. Each of them counts 16 KiB
until the page is in its write buffer, then 1.3 MB. The 26th response takes the sum over 32 MiB: the connection that
has been idle longest is closed, which frees what it holds. A scrape that is being answered is not idle, so it stays.
"""

from __future__ import annotations

import asyncio
import errno
import socket
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from aiohttp import web

from exporter.web.client_errors import HandshakeFailures, RequestErrors
from exporter.web.tls_transport import TlsProtocol

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterator, Mapping
    from logging import Logger

    from aiohttp.typedefs import Handler, Middleware

LINGERING_SECONDS = 2.0
"""Maximum time for which aiohttp reads the rest of a request after it has responded."""
MAX_HEADERS = 64
BACKLOG = 128
OUT_OF_RESOURCES = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}
NOT_OF_THIS_MACHINE = {errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT, errno.EPROTONOSUPPORT}
"""Errors of an address that the machine does not have, such as `::1` where IPv6 is off; others of the host may do."""
ACCEPT_RETRY_SECONDS = 0.01
"""Pause after a failed accept: the client has gone, or the system has no resources for the connection."""
PLAIN_BYTES, TLS_BYTES = 16 * 1024, 128 * 1024
"""Memory of a connection that sends and receives nothing, without and with TLS, rounded up."""
HEAD_FACTOR = 3
"""Memory of a byte of a head: as received, in the parser, and in the parsed headers."""
READ_BUFFER_BYTES = 64 * 1024
HALF_CLOSED_SECONDS = 0.5
"""Time in which a request that was sent before the client's end must have reached its handler."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits for all connections together, and for each of them."""

    max_connections: int = 500
    max_bytes: int = 32 * 1024 * 1024
    """Maximum memory of all connections: what each takes by itself, sent and no response made yet, or not read."""
    max_head_bytes: int = 65536
    """Maximum size of a request line and its headers, and of what a client sends while a response is made."""
    handshake_seconds: float = 10.0
    head_seconds: float = 10.0
    """Maximum time from the first byte of a head to its last."""
    response_seconds: float = 30.0
    """Maximum time to make a response, and again for the client to read it."""
    idle_seconds: float = 180.0
    """Maximum time between two requests."""


class Connection(web.RequestHandler):
    """One connection: aiohttp's request handler with deadlines, a maximum head size, and discreet errors.

    At any time at most one deadline runs: connected → `head_seconds` → (head complete) `response_seconds` → (response
    made) `response_seconds`, unless the client has read it → (first byte of the next head) `head_seconds` → ...
    A client that sends one byte a second gains nothing: a deadline runs from the first byte, not from the latest.
    """

    def __init__(self, server: web.Server, connections: Connections, headers: Mapping[str, str]) -> None:
        super().__init__(
            server,
            loop=asyncio.get_running_loop(),
            access_log=cast("Logger", None),  # as the runner does without an access log
            keepalive_timeout=connections.limits.idle_seconds,
            lingering_time=LINGERING_SECONDS,
            max_headers=MAX_HEADERS,
            auto_decompress=False,  # bodies are refused unread; a damaged one must not be logged as an error of ours
        )
        self._connections = connections
        self._limits = connections.limits
        self._headers = headers
        self._deadline: asyncio.TimerHandle | None = None
        self._head_bytes = 0
        self._unread_bytes = 0
        self._is_responding = False
        self._has_responded = False
        self._is_half_closed = False
        self.opening: asyncio.Task[None] | None = None
        """The task that gives the connection its transport."""
        self.tls: TlsProtocol | None = None
        self.is_draining = False
        """Whether the connection is to be closed after its current response."""

    @property
    def held_bytes(self) -> int:
        """Memory of the connection: its own, and what was sent to it or from it and is not used yet."""
        return (TLS_BYTES if self.tls else PLAIN_BYTES) + HEAD_FACTOR * self._head_bytes + self._unread_bytes

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Starts the deadline of the first request."""
        super().connection_made(transport)
        self._set_deadline(self._limits.head_seconds, self.abort)

    def data_received(self, data: bytes) -> None:
        """Aborts the connection if the head of a request exceeds its maximum size."""
        if data:  # aiohttp itself calls this without data
            if not self._head_bytes and self._has_responded and not self._is_responding:
                self._set_deadline(self._limits.head_seconds, self.abort)
            self._head_bytes += len(data)
            if self._head_bytes > self._limits.max_head_bytes:
                self.abort()
                return
            self._connections.update(self)
        super().data_received(data)

    def eof_received(self) -> bool:  # type: ignore[override]  # asyncio allows it
        """Keeps the connection open for the responses to requests that the client sent before it closed its side."""
        super().eof_received()
        self._is_half_closed = True
        self._close_unless_responding_soon()
        return True

    def pause_writing(self) -> None:
        """Counts a response that the client does not read as fast as it is written."""
        super().pause_writing()
        if self.transport is not None:
            self._unread_bytes = self.transport.get_write_buffer_size()
            self._connections.update(self)

    def resume_writing(self) -> None:
        """Counts the response no longer: the client has read nearly all of it."""
        super().resume_writing()
        self._unread_bytes = 0
        self._connections.update(self)

    def connection_lost(self, exc: BaseException | None) -> None:
        """Removes the connection."""
        self._set_deadline(0, None)
        self._connections.remove(self)
        super().connection_lost(exc)

    def log_exception(self, *_args: object, **fields: object) -> None:
        """Logs an error of the exporter itself, with limits and without the request, which aiohttp's line names."""
        error = fields.get("exc_info")
        self._connections.errors.record(error if isinstance(error, BaseException) else None)

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Returns the response to an invalid request; neither it nor the log repeats the request.

        An invalid request may hold a password, and aiohttp's own message quotes the line at fault.
        """
        if request.writer.output_size:  # the response has begun: aiohttp ends the connection
            return super().handle_error(request, status, exc, message)
        is_ours = status >= 500  # noqa: PLR2004 - an error of the exporter
        if is_ours:
            self.log_exception(exc_info=exc)
        text = (
            "internal error: the log has the details\n"
            if is_ours
            else "bad request: not valid HTTP/1.1, or too large\n"
        )
        response = web.Response(text=text, status=status, headers=self._headers)
        response.force_close()
        return response

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """Sends a response, and drops its body, which aiohttp would keep until the next request of the connection."""
        found = await super().finish_response(request, resp, start_time)
        if isinstance(resp, web.Response):
            resp.body = None
        return found

    @contextmanager
    def responding(self) -> Iterator[None]:
        """Limits the time to make a response and, after that, the time for the client to read it."""
        self._is_responding = True
        self._set_deadline(self._limits.response_seconds, self.abort)
        try:
            yield
        finally:
            self._is_responding = False
            self._has_responded = True
            self._head_bytes = 0
            self._connections.update(self)
            self._set_deadline(self._limits.response_seconds, self._abort_unless_read)
            if self._is_half_closed:
                self._close_unless_responding_soon()

    def drain(self) -> None:
        """Closes the connection; if it is responding, after the response."""
        self.is_draining = True
        if self.transport is not None and not self._is_responding:
            self.transport.close()

    def abort(self) -> None:
        """Closes the connection at once, also during the handshake."""
        if self.transport is not None:
            self.transport.abort()
        elif self.tls is not None:
            self.tls.abort()
        if self.opening is not None:
            self.opening.cancel()

    def _close_unless_responding_soon(self) -> None:
        asyncio.get_running_loop().call_later(HALF_CLOSED_SECONDS, self._close_unless_responding)

    def _close_unless_responding(self) -> None:
        if self.transport is not None and not self._is_responding:
            self.transport.close()  # after what is in the write buffer, whose deadline runs on

    def _abort_unless_read(self) -> None:
        if self.transport is not None and self.transport.get_write_buffer_size():
            self.abort()

    def _set_deadline(self, seconds: float, on_timeout: Callable[[], None] | None) -> None:
        """Replaces the deadline; None means that there is none."""
        if self._deadline is not None:
            self._deadline.cancel()
        self._deadline = asyncio.get_running_loop().call_later(seconds, on_timeout) if on_timeout else None


class Connections:
    """All connections. At their maximum number or memory, those that have been idle longest are closed."""

    def __init__(self, limits: Limits, failures: HandshakeFailures | None = None) -> None:
        self.limits = limits
        self.failures = failures or HandshakeFailures()
        self.errors = RequestErrors()
        self.read_buffer = bytearray(READ_BUFFER_BYTES)
        """What all TLS connections read into: each uses it for one step of the event loop."""
        self._held: dict[Connection, int] = {}
        """The memory of each connection."""
        self._held_bytes = 0
        self._idle: dict[Connection, None] = {}
        """Connections that are not responding; the one that has been idle longest is the first."""

    def add(self, connection: Connection) -> bool:
        """Adds a connection, if necessary in place of idle ones; returns False if all others are responding."""
        limits, size = self.limits, connection.held_bytes
        while len(self._held) >= limits.max_connections or self._held_bytes + size > limits.max_bytes:
            if not self.evict_idle():
                return False
        self._held[connection] = size
        self._held_bytes += size
        self._idle[connection] = None
        return True

    def update(self, connection: Connection) -> None:
        """Counts the memory of a connection again; over the maximum, closes other connections that are idle."""
        if connection not in self._held:
            return
        size = connection.held_bytes
        self._held_bytes += size - self._held[connection]
        self._held[connection] = size
        while self._held_bytes > self.limits.max_bytes and self.evict_idle(other_than=connection):
            pass

    def evict_idle(self, other_than: Connection | None = None) -> bool:
        """Closes the connection that has been idle longest; returns whether there was one."""
        longest = next((connection for connection in self._idle if connection is not other_than), None)
        if longest is not None:
            self.remove(longest)
            longest.abort()
        return longest is not None

    def remove(self, connection: Connection) -> None:
        """Removes a connection that is closed or about to be; counts nothing of it any longer."""
        self._idle.pop(connection, None)
        self._held_bytes -= self._held.pop(connection, 0)

    def drain(self) -> None:
        """Closes all connections, after their current responses, so that clients start new TLS handshakes."""
        for connection in list(self._held):
            connection.drain()

    def abort_handshakes(self) -> None:
        """Closes the connections whose handshake is not complete."""
        for connection in list(self._held):
            if connection.transport is None:
                connection.abort()

    @contextmanager
    def responding(self, connection: Connection) -> Iterator[None]:
        """Protects a connection from eviction while it is responding."""
        self._idle.pop(connection, None)
        try:
            with connection.responding():
                yield
        finally:
            if connection in self._held:
                self._idle[connection] = None


def track_responses(connections: Connections) -> Middleware:
    """Returns the middleware that keeps each connection's deadlines, and closes draining connections."""

    @web.middleware
    async def track(request: web.Request, handler: Handler) -> web.StreamResponse:
        connection = cast("Connection", request.protocol)
        with connections.responding(connection):
            response = await handler(request)
            if connection.is_draining:
                response.force_close()
            return response

    return track


class Listener(web.BaseSite):
    """Listens on every address of a host name.

    `make_connection` returns the handler of a new connection; `tls_context` the context of its handshake, None for
    plain HTTP.
    """

    def __init__(
        self,
        runner: web.AppRunner,
        address: tuple[str, int],
        *,
        connections: Connections,
        make_connection: Callable[[], Connection],
        tls_context: Callable[[], ssl.SSLContext | None],
    ) -> None:
        super().__init__(runner)
        self._host, self._port = address
        self._connections = connections
        self._make_connection = make_connection
        self._tls_context = tls_context
        self._sockets: list[socket.socket] = []
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def name(self) -> str:
        """The base URL."""
        host, port = self.address
        return f"{'https' if self._tls_context() else 'http'}://{f'[{host}]' if ':' in host else host}:{port}"

    @property
    def address(self) -> tuple[str, int]:
        """Host and port of the first socket."""
        host, port = self._sockets[0].getsockname()[:2]
        return host, port

    async def start(self) -> None:
        """Starts to listen; raises OSError if it cannot listen on the address."""
        await super().start()
        loop = asyncio.get_running_loop()
        # An empty host and `::` are every address of both versions of IP, each with a socket of its own.
        host = self._host if self._host not in {"", "::"} else None
        found = await loop.getaddrinfo(host, self._port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        failures: list[OSError] = []
        port = self._port
        for family, _, _, _, address in sorted(set(found), key=lambda each: each[0], reverse=host is None):
            try:
                listening = socket.create_server((address[0], port), family=family, backlog=BACKLOG)
            except OSError as error:
                if error.errno not in NOT_OF_THIS_MACHINE:
                    raise
                failures.append(error)
                continue
            listening.setblocking(False)
            self._sockets.append(listening)
            port = listening.getsockname()[1]  # port 0 is the same free port on every address
        if not self._sockets:
            raise failures[0] if failures else OSError("no such address")
        for listening in self._sockets:
            self._track(asyncio.create_task(self._accept(listening)))

    async def stop(self) -> None:
        """Stops listening and aborts handshakes; open connections stay."""
        self._connections.abort_handshakes()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for listening in self._sockets:
            listening.close()
        await super().stop()

    async def _accept(self, listening: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                sock, _ = await loop.sock_accept(listening)
            except OSError as error:
                if error.errno in OUT_OF_RESOURCES:
                    self._connections.evict_idle()
                await asyncio.sleep(ACCEPT_RETRY_SECONDS)
                continue
            connection = self._make_connection()
            if context := self._tls_context():
                connection.tls = self._make_tls(connection, context, sock)
            if self._connections.add(connection):
                self._open(sock, connection)
            else:
                sock.close()
            await asyncio.sleep(0)  # sock_accept does not yield while clients queue up, and others must run too

    def _make_tls(self, connection: Connection, context: ssl.SSLContext, sock: socket.socket) -> TlsProtocol:
        peer = _peer(sock)
        return TlsProtocol(
            protocol=connection,
            context=context,
            buffer=self._connections.read_buffer,
            handshake_seconds=self._connections.limits.handshake_seconds,
            on_failure=lambda reason, detail: self._connections.failures.record(reason, detail, peer),
            on_lost=lambda: self._connections.remove(connection),
        )

    def _open(self, sock: socket.socket, connection: Connection) -> None:
        def clean_up(task: asyncio.Task[None]) -> None:  # a task that is cancelled before it runs does nothing itself
            if task.cancelled() or task.exception():
                self._connections.remove(connection)
                sock.close()

        loop = asyncio.get_running_loop()

        async def open_transport() -> None:
            await loop.connect_accepted_socket(lambda: connection.tls or connection, sock)

        connection.opening = asyncio.create_task(open_transport())
        connection.opening.add_done_callback(clean_up)
        self._track(connection.opening)

    def _track(self, task: asyncio.Task[None]) -> None:
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _peer(sock: socket.socket) -> str:
    """Returns the address of the client, empty if it has gone already."""
    with suppress(OSError):
        return str(sock.getpeername()[0])
    return ""
