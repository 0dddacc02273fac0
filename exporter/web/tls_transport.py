"""TLS of one connection, between a plain transport of asyncio and the protocol that speaks HTTP.

asyncio's own TLS allocates a buffer of 256 KiB for each connection, sends no alert when it refuses a handshake, and
does not count bytes that it has encrypted but not sent. Here all connections share one read buffer, a refused client
gets the alert that says why, and everything unsent is in the write buffer of the plain transport.
"""

from __future__ import annotations

import asyncio
import ssl
from contextlib import suppress
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    Buffer = bytes | bytearray | memoryview

RECORD_BYTES = 16 * 1024
"""Maximum size of the content of a TLS record."""

MAX_HANDSHAKE_BYTES = 64 * 1024
"""Maximum number of bytes that a client may send before its handshake is complete."""

MAX_HELLO_BYTES = 16 * 1024
"""Maximum size that a client may announce for its first message: OpenSSL allocates it, up to 128 KiB, at once."""

LINGERING_SECONDS = 1.0
"""Maximum time to read what a refused client still sends: closing at once would discard the alert on its way."""

PLAIN_HTTP_RESPONSE = (
    b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\nX-Content-Type-Options: nosniff\r\n"
    b"Connection: close\r\n\r\nthis port serves HTTPS: use https:// (in Prometheus: scheme: https)\n"
)

REASONS = {
    "plain_http": {"HTTP_REQUEST", "HTTPS_PROXY_REQUEST"},
    "version": {"UNSUPPORTED_PROTOCOL", "VERSION_TOO_LOW", "TLSV1_ALERT_PROTOCOL_VERSION"},
    "cipher": {
        "NO_SHARED_CIPHER",
        "NO_SHARED_GROUP",
        "NO_SHARED_GROUPS",
        "NO_SUITABLE_KEY_SHARE",
        "NO_SUITABLE_SIGNATURE_ALGORITHM",
        "NO_SHARED_SIGNATURE_ALGORITHMS",
        "SSLV3_ALERT_HANDSHAKE_FAILURE",
        "TLSV1_ALERT_INSUFFICIENT_SECURITY",
    },
    "client_certificate": {"CERTIFICATE_VERIFY_FAILED", "PEER_DID_NOT_RETURN_A_CERTIFICATE"},
    "server_certificate": {
        "TLSV1_ALERT_UNKNOWN_CA",
        "SSLV3_ALERT_BAD_CERTIFICATE",
        "SSLV3_ALERT_CERTIFICATE_EXPIRED",
        "SSLV3_ALERT_CERTIFICATE_REVOKED",
        "SSLV3_ALERT_CERTIFICATE_UNKNOWN",
        "SSLV3_ALERT_UNSUPPORTED_CERTIFICATE",
        "TLSV1_BAD_CERTIFICATE_STATUS_RESPONSE",
        "TLSV1_UNRECOGNIZED_NAME",
    },
}
"""The reason of a failed handshake, for each of the errors that OpenSSL has names for; other errors are `other`."""


def handshake_reason(error: ssl.SSLError) -> str:
    """Returns why a handshake failed, as a value of the label `reason`."""
    return next((reason for reason, names in REASONS.items() if error.reason in names), "other")


def handshake_detail(error: ssl.SSLError) -> str:
    """Returns OpenSSL's own words for a failed handshake, which hold nothing that the client has sent."""
    words = str(getattr(error, "verify_message", "") or error.reason or "unknown error")
    return words.replace("_", " ").lower()


class TlsProtocol(asyncio.BufferedProtocol):
    """The TLS side of a connection: shakes hands, then passes decrypted bytes to the protocol above it.

    `on_failure` is called at most once, with the reason and detail of a handshake that fails; `on_lost` when the
    connection ends before its handshake is complete.
    """

    def __init__(
        self,
        *,
        protocol: asyncio.Protocol,
        context: ssl.SSLContext,
        buffer: bytearray,
        handshake_seconds: float,
        on_failure: Callable[[str, str], None],
        on_lost: Callable[[], None],
    ) -> None:
        self.protocol = protocol
        self.context = context
        self._buffer = memoryview(buffer)
        self._handshake_seconds = handshake_seconds
        self._on_failure = on_failure
        self._on_lost = on_lost
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls: ssl.SSLObject | None = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self.raw = cast("asyncio.Transport", None)
        self._timer: asyncio.TimerHandle | None = None
        self._received = 0
        self._is_established = False
        self._has_failed = False
        self._is_paused = False
        self._is_writing = False
        self._pauses_after_write = False
        self._has_ended = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Starts the deadline of the handshake."""
        self.raw = cast("asyncio.Transport", transport)
        self._set_timer(self._handshake_seconds, lambda: self.abort("timeout"))

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 - asyncio's signature
        """Returns the buffer that all connections share: asyncio fills it and calls `buffer_updated` in one step."""
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Continues the handshake, or decrypts what was received."""
        if self._has_failed:
            return
        self._incoming.write(self._buffer[:nbytes])
        if not self._is_established:
            self._received += nbytes
            if self._received > MAX_HANDSHAKE_BYTES or self._announces_too_much(nbytes):
                self.abort("other", "handshake too large")
                return
            self._shake_hands()
        if self._is_established:
            self._decrypt()

    def eof_received(self) -> bool:
        """Returns whether the connection stays open for the rest of a response."""
        if not self._is_established:
            if self._received:
                self._fail("closed", "the client closed the connection")
            return False
        return self._end()

    def connection_lost(self, exc: Exception | None) -> None:
        """Informs the protocol above, or `on_lost` if that has never heard of the connection, and frees the session."""
        self._set_timer(0, None)
        if self._is_established:
            self.protocol.connection_lost(exc)
        else:
            if self._received:  # a load balancer that only connects is no failure
                self._fail("closed", "the client closed the connection")
            self._on_lost()
        # Objects that refer to each other are freed late, and OpenSSL's memory is not in Python's reckoning.
        self._has_ended = True
        self.tls = None
        self._incoming = self._outgoing = ssl.MemoryBIO()

    def pause_writing(self) -> None:
        """Informs the protocol above that the client reads slowly, when everything is in the write buffer."""
        if self._is_writing:
            self._pauses_after_write = True
        elif self._is_established:
            self.protocol.pause_writing()

    def resume_writing(self) -> None:
        """Informs the protocol above that the client has caught up."""
        if self._is_established:
            self.protocol.resume_writing()

    def pause_reading(self) -> None:
        """Reads no more from the client."""
        self._is_paused = True
        self.raw.pause_reading()

    def resume_reading(self) -> None:
        """Reads on, first what was received already."""
        self._is_paused = False
        self.raw.resume_reading()
        asyncio.get_running_loop().call_soon(self._decrypt)

    def write(self, data: Buffer) -> None:
        """Encrypts and sends data, one record after the other, so that the encrypted copy is never whole."""
        rest = memoryview(data).cast("B")
        self._is_writing = True
        try:
            while self.tls is not None and rest and not self.raw.is_closing():
                rest = rest[self.tls.write(rest[:RECORD_BYTES]) :]
                self._flush()
        except ssl.SSLError:  # the session is broken
            self.raw.abort()
        self._is_writing = False
        if self._pauses_after_write:
            self._pauses_after_write = False
            self.pause_writing()

    def close(self) -> None:
        """Closes the connection after everything that was written, with TLS's notice that this is the end."""
        if self.tls is not None:
            with suppress(ssl.SSLError):
                self.tls.unwrap()
            self._flush()
        self.raw.close()

    def abort(self, reason: str = "evicted", detail: str = "") -> None:
        """Closes the connection at once; if the handshake is not complete, it has failed for this reason."""
        if not self._is_established:
            self._fail(reason, detail)
        if self.raw is not None:
            self.raw.abort()

    def _announces_too_much(self, nbytes: int) -> bool:
        """Returns whether this is the beginning of a ClientHello that is larger than any client's.

        A record begins with its type (22 for a handshake), two bytes of version and two of length. Then follows the
        message: its type (1 for a ClientHello) and three bytes of length.
        """
        if self._received != nbytes or nbytes < 9 or self._buffer[0] != 22 or self._buffer[5] != 1:  # noqa: PLR2004
            return False
        return int.from_bytes(self._buffer[6:9], "big") > MAX_HELLO_BYTES

    def _shake_hands(self) -> None:
        if self.tls is None:
            return
        try:
            self.tls.do_handshake()
        except ssl.SSLWantReadError:
            self._flush()
            return
        except ssl.SSLError as error:
            reason = handshake_reason(error)
            self._flush(PLAIN_HTTP_RESPONSE if reason == "plain_http" else b"")
            self._fail(reason, handshake_detail(error))
            return
        self._flush()
        self._set_timer(0, None)
        self._is_established = True
        self.protocol.connection_made(TlsTransport(self))

    def _decrypt(self) -> None:
        data = b""
        try:
            while self.tls is not None and not (self._is_paused or self._has_ended or self.raw.is_closing()):
                data = self.tls.read(RECORD_BYTES)
                if not data:  # TLS's notice that the client sends no more
                    if not self._end():
                        self.close()
                    break
                self.protocol.data_received(data)
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLError:  # a damaged record: OpenSSL has written an alert
            self._flush()
            self.raw.close()
            return
        self._flush()

    def _end(self) -> bool:
        """Informs the protocol above, once, that the client sends no more; returns whether it still has to respond."""
        if not self._has_ended:
            self._has_ended = True
            return bool(self.protocol.eof_received())
        return True

    def _fail(self, reason: str, detail: str) -> None:
        """Reports a failed handshake, and closes the connection when the client has read the alert."""
        if self._has_failed:
            return
        self._has_failed = True
        self._on_failure(reason, detail)
        if self.raw is not None and not self.raw.is_closing():
            self._set_timer(LINGERING_SECONDS, self.raw.abort)
            with suppress(OSError):
                self.raw.write_eof()

    def _flush(self, last: bytes = b"") -> None:
        if data := last or self._outgoing.read():
            self.raw.write(data)

    def _set_timer(self, seconds: float, on_timeout: Callable[[], None] | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(seconds, on_timeout) if on_timeout else None


class TlsTransport(asyncio.Transport):
    """What the protocol above TLS writes to."""

    def __init__(self, tls: TlsProtocol) -> None:
        super().__init__()
        self._tls = tls

    def get_extra_info(self, name: str, default: Any = None) -> Any:  # noqa: ANN401 - asyncio's signature
        """Returns facts about the TLS session by asyncio's names, and those of the plain transport."""
        if name == "peercert":
            return self._tls.tls.getpeercert() if self._tls.tls else default
        found = {"sslcontext": self._tls.context, "ssl_object": self._tls.tls}.get(name)
        return found or self._tls.raw.get_extra_info(name, default)

    def write(self, data: Buffer) -> None:
        """Encrypts and sends data."""
        self._tls.write(data)

    def writelines(self, list_of_data: Iterable[Buffer]) -> None:
        """Encrypts and sends pieces of data."""
        for data in list_of_data:
            self._tls.write(data)

    def close(self) -> None:
        """Closes the connection after everything that was written."""
        if not self.is_closing():
            self._tls.close()

    def abort(self) -> None:
        """Closes the connection at once."""
        self._tls.abort()

    def is_closing(self) -> bool:
        """Returns whether the connection is closed or about to be."""
        return self._tls.raw.is_closing()

    def pause_reading(self) -> None:
        """Reads no more from the client."""
        self._tls.pause_reading()

    def resume_reading(self) -> None:
        """Reads on."""
        self._tls.resume_reading()

    def is_reading(self) -> bool:
        """Returns whether the client is read from."""
        return self._tls.raw.is_reading()

    def get_write_buffer_size(self) -> int:
        """Returns the number of bytes that the client has not read."""
        return self._tls.raw.get_write_buffer_size()

    def get_write_buffer_limits(self) -> tuple[int, int]:
        """Returns the sizes at which writing is paused and resumed."""
        return self._tls.raw.get_write_buffer_limits()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Sets the sizes at which writing is paused and resumed."""
        self._tls.raw.set_write_buffer_limits(high, low)

    def can_write_eof(self) -> bool:
        """Returns that the response cannot be ended without closing the connection."""
        return False

    def get_protocol(self) -> asyncio.BaseProtocol:
        """Returns the protocol above TLS."""
        return self._tls.protocol

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """Replaces the protocol above TLS."""
        self._tls.protocol = cast("asyncio.Protocol", protocol)
