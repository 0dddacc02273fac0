"""Target `https`: the same for a server with TLS, password and rate limit; inputs come within TLS or instead of it."""

from __future__ import annotations

import socket
import ssl
import tempfile
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from hypothesis import strategies as st

from tests.fuzz.fuzzed_server import PATIENCE_SECONDS, fuzzed_server
from tests.fuzz.http_requests import INPUTS
from tests.fuzz.http_target import LAST, QUIET_SECONDS, look
from tests.fuzz.mutation import mutated
from tests.fuzz.target import Target
from tests.support.certificates import Authority
from tests.support.secured_server import HASH

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SECURED = f"""\
tls_server_config:
  cert_file: server.crt
  key_file: server.key
  client_ca_file: ca.crt
  client_auth_type: VerifyClientCertIfGiven
basic_auth_users:
  alice: {HASH}
rate_limit:
  interval: 10ms
  burst: 20
"""
WITHIN_TLS = b"+"
"""First byte of an input that is sent within a TLS session; others are sent as they are."""


def client_hello() -> bytes:
    """Returns the beginning of a real handshake."""
    outgoing = ssl.MemoryBIO()
    with suppress(ssl.SSLWantReadError):
        ssl.create_default_context().wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname="localhost").do_handshake()
    return outgoing.read()


HELLO = client_hello()
RECORDS = st.just(HELLO) | st.integers(0, len(HELLO)).map(lambda end: HELLO[:end])
SECURED_INPUTS = (
    INPUTS.map(lambda sent: WITHIN_TLS + sent)
    | mutated(RECORDS, (b"\x00", b"\xff\xff", b"\x16\x03\x01", b"\x17\x03\x03", b"\x15\x03\x03\x00\x02\x02\x28", HELLO))
    | INPUTS
)
"""Requests within a TLS session, and handshakes and requests instead of one."""


def exchange(address: tuple[str, int], sent: bytes, context: ssl.SSLContext | None) -> bytes:
    """Sends bytes, and returns everything until the server closes; closes after a while without an answer."""
    pieces: list[bytes] = []
    with suppress(ConnectionError, ssl.SSLError), socket.create_connection(address, PATIENCE_SECONDS) as plain:
        connection = context.wrap_socket(plain, server_hostname="localhost") if context else plain
        connection.sendall(sent)
        connection.settimeout(QUIET_SECONDS)
        with suppress(TimeoutError):
            while piece := connection.recv(65536):
                pieces.append(piece)
        connection.close()
    return b"".join(pieces)


@contextmanager
def ready() -> Iterator[Callable[[bytes], None]]:
    """Yields the check, with a running server."""
    with tempfile.TemporaryDirectory() as folder:
        authority = Authority(Path(folder))
        authority.server()
        context = ssl.create_default_context(cafile=str(authority.cert))
        path = Path(folder) / "web.yml"
        path.write_text(SECURED)
        with fuzzed_server(refuses_reloads=True, web_config_file=str(path)) as (server, errors):

            def check(sent: bytes) -> None:
                errors.kept.clear()
                if sent.startswith(WITHIN_TLS):
                    look(exchange(server.address, sent[1:] + LAST, context))
                else:
                    look(exchange(server.address, sent, None))
                assert not errors.kept, errors.kept.pop()
                assert exchange(server.address, LAST, context).endswith(b"\r\n\r\nok\n"), "serves no longer"

            yield check


HTTPS = Target("https", SECURED_INPUTS, ready)
