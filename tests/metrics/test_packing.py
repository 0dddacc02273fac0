"""What is packed piece by piece is one ordinary gzip stream, and only what has changed is packed again."""

from __future__ import annotations

import gzip
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.metrics.packing import PIECE_BYTES, SMALL_BYTES, Packing, pieces

PARTS = st.lists(st.lists(st.binary(max_size=30_000), max_size=6), max_size=4)


def unpacked(packed: bytes) -> bytes:
    """Unpacks as a plain client does: one stream, nothing behind it."""
    unpacker = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
    text = unpacker.decompress(packed)
    assert unpacker.eof
    assert unpacker.unused_data == b""
    return text


@pytest.mark.property
@given(st.lists(PARTS, min_size=1, max_size=3))
def test_packed_is_the_text(texts: list[list[list[bytes]]]) -> None:
    """Whatever was packed before, a text unpacks to itself, small or large, as one stream."""
    packing = Packing()

    for groups in texts:
        packed = packing.packed(groups)

        assert unpacked(packed) == gzip.decompress(packed) == b"".join(part for group in groups for part in group)


def test_a_large_text_is_packed_again_where_it_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a text of many pieces, one that has changed is packed, and the others as they were before."""
    groups = [[b"%d" % (number % 10) * PIECE_BYTES for number in range(2 * SMALL_BYTES // PIECE_BYTES)]]
    packing = Packing()
    packing.packed(groups)
    count = 0
    begin = zlib.compressobj

    def counted(level: int, method: int, wbits: int) -> object:
        nonlocal count
        count += 1
        return begin(level, method, wbits)

    monkeypatch.setattr(zlib, "compressobj", counted)
    groups[0][3] = b"x" * PIECE_BYTES
    packed = packing.packed(groups)

    assert count == 1
    assert unpacked(packed) == b"".join(groups[0])


@pytest.mark.property
@given(st.lists(st.binary(max_size=30_000), max_size=8))
def test_pieces_are_large_enough(parts: list[bytes]) -> None:
    """Pieces hold all parts in their order, and only the last one may be small."""
    found = list(pieces(parts))

    assert [part for piece in found for part in piece] == parts
    assert all(sum(map(len, piece)) >= PIECE_BYTES for piece in found[:-1])
