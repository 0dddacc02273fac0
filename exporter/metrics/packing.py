"""Text in gzip, packed piece by piece, so that what has not changed since the last time need not be packed again."""

from __future__ import annotations

import gzip
import struct
import zlib
from functools import reduce
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

SMALL_BYTES = 64 * 1024
"""So little is packed as a whole, and better."""
SMALL_LEVEL = 5
LEVEL = 3
"""Series repeat each other so much that higher levels take half as long again for a tenth of the size."""
PIECE_BYTES = 16 * 1024
"""Smaller pieces pack worse, for each begins anew; of larger ones more is packed again for each change."""
HEAD = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x04\xff"
"""A gzip file (RFC 1952) without a name and a time."""
END = b"\x03\x00"
"""An empty last block (RFC 1951)."""


class Packing:
    """Packs a text given in parts; remembers how its pieces, runs of parts, were packed the last time.

    A piece ends on a byte and refers to nothing before it, so that pieces can be joined to one gzip stream.
    """

    def __init__(self) -> None:
        self._packed: dict[tuple[bytes, ...], bytes] = {}

    def packed(self, groups: list[list[bytes]]) -> bytes:
        """Returns the text in gzip; `groups` are its parts, of which no piece takes more than one group's."""
        old, self._packed = self._packed, {}
        whole = tuple(part for group in groups for part in group)
        size = sum(map(len, whole))
        if size <= SMALL_BYTES:
            self._packed[whole] = old.get(whole) or gzip.compress(b"".join(whole), compresslevel=SMALL_LEVEL, mtime=0)
            return self._packed[whole]
        packed = []
        for piece in (piece for group in groups for piece in pieces(group)):
            self._packed[piece] = old.get(piece) or deflated(piece)
            packed.append(self._packed[piece])
        checksum = reduce(lambda sofar, part: zlib.crc32(part, sofar), whole, 0)
        return b"".join((HEAD, *packed, END, struct.pack("<LL", checksum, size & 0xFFFFFFFF)))


def pieces(parts: list[bytes]) -> Iterator[tuple[bytes, ...]]:
    """Yields the parts in runs that are just large enough to be packed well."""
    start = size = 0
    for place, part in enumerate(parts, 1):
        size += len(part)
        if size >= PIECE_BYTES:
            yield tuple(parts[start:place])
            start, size = place, 0
    if start < len(parts):
        yield tuple(parts[start:])


def deflated(piece: tuple[bytes, ...]) -> bytes:
    """Returns a piece as blocks of DEFLATE, none of them the last."""
    packer = zlib.compressobj(LEVEL, zlib.DEFLATED, -zlib.MAX_WBITS)
    return packer.compress(b"".join(piece)) + packer.flush(zlib.Z_SYNC_FLUSH)
