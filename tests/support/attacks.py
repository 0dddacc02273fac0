"""Attacks on the server that need no password: bounded in number and time, and for the loopback only."""

from __future__ import annotations

import asyncio
import ssl
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    Pair = tuple[asyncio.StreamReader, asyncio.StreamWriter]

BATCH = 50
UNFINISHED_HELLO = b"\x16\x03\x01\x3f\xf0\x01\x00\x3f\xec\x03\x03" + b"a" * 16_000
"""Most of the largest ClientHello that the server accepts."""
UNFINISHED_HEAD = b"GET / HTTP/1.1\r\nHost: a\r\n" + b"".join(b"X-%02d: %s\r\n" % (n, b"y" * 7000) for n in range(8))
"""Nearly 64 KiB of a head."""
SECONDS = 20.0


async def open_silent(address: tuple[str, int], count: int, sent: bytes) -> list[Pair]:
    """Opens connections, sends these bytes on each, and never reads."""
    return await _open(address, count, sent, None)


async def open_sessions(address: tuple[str, int], count: int, sent: bytes) -> list[Pair]:
    """Completes TLS handshakes, sends these bytes on each, and never reads."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return await _open(address, count, sent, context)


async def _open(address: tuple[str, int], count: int, sent: bytes, context: ssl.SSLContext | None) -> list[Pair]:
    async def one() -> Pair | None:
        with suppress(OSError, TimeoutError):
            async with asyncio.timeout(SECONDS):
                pair = await asyncio.open_connection(*address, ssl=context, limit=1024)
                pair[1].write(sent)
                return pair
        return None

    pairs: list[Pair] = []
    for first in range(0, count, BATCH):
        found = await asyncio.gather(*(one() for _ in range(min(BATCH, count - first))))
        pairs += [pair for pair in found if pair is not None]
    return pairs


@asynccontextmanager
async def held(*attacks: Sequence[Pair]) -> AsyncIterator[None]:
    """Keeps the connections of attacks open until the end of the block."""
    try:
        yield
    finally:
        for attack in attacks:
            for _, writer in attack:
                writer.transport.abort()
        await asyncio.sleep(0)
