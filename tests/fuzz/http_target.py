"""Target `http`: for any input the server answers or closes, escapes, logs no error, and continues."""

from __future__ import annotations

import re
import socket
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from tests.fuzz.fuzzed_server import PATIENCE_SECONDS, fuzzed_server
from tests.fuzz.http_requests import INPUTS
from tests.fuzz.target import Target
from tests.support.rendered_page import RenderedPage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

LAST = b"\r\n\r\nGET /livez HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
"""Request sent after each input: it ends an open one, and is answered if the input was valid."""
QUIET_SECONDS = 0.2
"""Time without an answer after which the client closes the connection."""
STATUS_LINE = re.compile(rb"HTTP/[0-9]\.[0-9] ([2-9]\d\d) [A-Za-z -]+\r\n")
HTML = re.compile(rb"<!DOCTYPE html>.*?</html>", re.DOTALL)


def exchange(address: tuple[str, int], sent: bytes, quiet_seconds: float = PATIENCE_SECONDS) -> bytes:
    """Sends bytes, and returns everything until the server closes; raises TimeoutError if it never does."""
    pieces: list[bytes] = []
    with socket.create_connection(address, PATIENCE_SECONDS) as connection, suppress(ConnectionError):
        connection.sendall(sent)
        connection.settimeout(quiet_seconds)
        try:
            _receive(connection, pieces)
        except TimeoutError:  # it waits for the rest of something
            connection.shutdown(socket.SHUT_WR)
            connection.settimeout(PATIENCE_SECONDS)
            _receive(connection, pieces)
    return b"".join(pieces)


def _receive(connection: socket.socket, pieces: list[bytes]) -> None:
    while piece := connection.recv(65536):
        pieces.append(piece)


def look(found: bytes) -> None:
    """Checks all answers to one input."""
    answers = STATUS_LINE.findall(found)
    assert len(answers) == found.count(b"X-Content-Type-Options: nosniff"), found[:500]
    assert b"500" not in answers, found[:500]
    assert b"\nX:y" not in found, "a header of the client's making"
    for document in HTML.findall(found):
        seen = RenderedPage(document.decode())
        assert not {"script", "fuzz", "i", "u", "x="} & seen.names(), seen.tags


@contextmanager
def ready() -> Iterator[Callable[[bytes], None]]:
    """Yields the check, with a running server."""
    with fuzzed_server(refuses_reloads=True) as (server, errors):

        def check(sent: bytes) -> None:
            errors.kept.clear()
            look(exchange(server.address, sent + LAST, QUIET_SECONDS))
            assert not errors.kept, errors.kept.pop()
            assert exchange(server.address, LAST).endswith(b"\r\n\r\nok\n"), "serves no longer"

        yield check


HTTP = Target("http", INPUTS, ready)
