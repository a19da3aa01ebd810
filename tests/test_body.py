"""Bodies: the same bytes however they were cut and packed; broken ones are told, bombs come in small pieces."""

import asyncio
import gzip
from collections.abc import Iterable
from typing import Any

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from collector.errors import BrokenBody, TooLarge, UnsupportedMedia
from collector.http.body import (
    EXPANSION_FREE_BYTES,
    PIECE_BYTES,
    Decompressor,
    Plain,
    Receive,
    decompressor,
    pieces,
    whole,
)
from tests.strategies import chunkings, streams

CODINGS = ("", "identity", "gzip", "x-gzip", "zstd", " GZIP ", "Zstd")
PACKED = ("gzip", "zstd")


def pack(coding: str, data: bytes) -> bytes:
    match coding.strip().lower():
        case "gzip" | "x-gzip":
            return gzip.compress(data, 1)
        case "zstd":
            return zstandard.ZstdCompressor().compress(data)
    return data


def unpack(decoder: Decompressor, chunks: Iterable[bytes]) -> bytes:
    found = [piece for chunk in chunks for piece in decoder.feed(chunk)]
    decoder.close()
    assert all(len(piece) <= PIECE_BYTES for piece in found)
    return b"".join(found)


def receiving(chunks: list[bytes], *, cut: bool = False) -> Receive:
    """An ASGI server's `receive` for this body; `cut`: the client goes away instead of ending it."""
    messages: list[dict[str, Any]] = [{"type": "http.request", "body": chunk, "more_body": True} for chunk in chunks]
    messages.append({"type": "http.disconnect"} if cut else {"type": "http.request", "body": b"", "more_body": False})
    waiting = iter(messages)

    async def receive() -> Any:
        return next(waiting)

    return receive


@pytest.mark.parametrize("coding", CODINGS)
@given(st.data(), st.one_of(st.binary(max_size=300), streams))
def test_any_chunking_gives_the_same_bytes(coding: str, data: st.DataObject, plain: bytes) -> None:
    assert unpack(decompressor(coding), data.draw(chunkings(pack(coding, plain)))) == plain


@pytest.mark.parametrize("coding", PACKED)
@given(st.data(), st.lists(st.binary(max_size=50), min_size=1, max_size=5))
def test_several_members_are_one_body(coding: str, data: st.DataObject, parts: list[bytes]) -> None:
    packed = b"".join(pack(coding, part) for part in parts)
    assert unpack(decompressor(coding), data.draw(chunkings(packed))) == b"".join(parts)


@pytest.mark.parametrize("coding", PACKED)
@given(st.data(), st.binary(min_size=1, max_size=2000))
def test_compressed_data_that_ends_early_is_broken(coding: str, data: st.DataObject, plain: bytes) -> None:
    packed = pack(coding, plain)
    cut = data.draw(st.integers(1, len(packed) - 1))
    with pytest.raises(BrokenBody):
        unpack(decompressor(coding), data.draw(chunkings(packed[:cut])))


@pytest.mark.parametrize("coding", PACKED)
def test_what_came_before_the_end_was_missing_is_handed_on(coding: str) -> None:
    plain = bytes(range(256)) * 4000
    packed = pack(coding, plain)
    decoder = decompressor(coding)
    found = b"".join(decoder.feed(packed[: len(packed) - 3]))
    assert found
    assert plain.startswith(found)
    with pytest.raises(BrokenBody, match="ended early"):
        decoder.close()


@pytest.mark.parametrize("coding", PACKED)
@given(st.binary(min_size=4, max_size=200))
def test_garbage_is_broken_and_nothing_else(coding: str, garbage: bytes) -> None:
    decoder = decompressor(coding)
    try:
        unpack(decoder, [garbage])
    except BrokenBody as exc:
        assert coding in exc.detail


@pytest.mark.parametrize("coding", PACKED)
def test_a_changed_byte_is_noticed(coding: str) -> None:
    plain = b"measurement " * 100
    packed = gzip.compress(plain) if coding == "gzip" else zstandard.ZstdCompressor(write_checksum=True).compress(plain)
    changed = packed[:-3] + bytes([packed[-3] ^ 1]) + packed[-2:]
    with pytest.raises(BrokenBody, match="broken"):
        unpack(decompressor(coding), [changed])


def test_zstd_frames_without_a_size_and_skippable_ones() -> None:
    streaming = zstandard.ZstdCompressor(write_content_size=False).compressobj()
    frame = streaming.compress(b"one") + streaming.flush()
    assert unpack(decompressor("zstd"), [frame + frame]) == b"oneone"
    skippable = b"\x50\x2a\x4d\x18" + (4).to_bytes(4, "little") + b"skip"
    for body in (skippable + frame, frame + skippable, frame + skippable + frame):
        for chunks in ([body], [bytes([byte]) for byte in body]):
            assert unpack(decompressor("zstd"), chunks) == b"one" * body.count(frame)


def test_a_zstd_window_that_no_decoder_has_to_support_is_refused() -> None:
    parameters = zstandard.ZstdCompressionParameters(window_log=24, write_content_size=0)
    large = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    with pytest.raises(BrokenBody):
        unpack(decompressor("zstd"), [large.compress(b"x" * 100) + large.flush()])


@pytest.mark.parametrize("coding", PACKED)
def test_a_bomb_comes_in_small_pieces(coding: str) -> None:
    """200 MB from a few KB: never more than a piece at once."""
    size_bytes = 200_000_000
    packed = pack(coding, bytes(size_bytes))
    decoder = decompressor(coding)
    total = 0
    for piece in decoder.feed(packed):
        assert len(piece) <= PIECE_BYTES
        total += len(piece)
    assert total == size_bytes


def test_a_bomb_is_refused_once_it_has_grown_beyond_reason() -> None:
    packed = pack("zstd", bytes(2 * EXPANSION_FREE_BYTES))

    async def read() -> int:
        total = 0
        async for piece in pieces(receiving([packed]), decompressor("zstd")):
            total += len(piece)
            assert total <= EXPANSION_FREE_BYTES + PIECE_BYTES
        return total

    with pytest.raises(TooLarge):
        asyncio.run(read())


@pytest.mark.parametrize("coding", ["br", "deflate", "gzip, zstd", "gzip,gzip", "*", "\x00", "é" * 500])
def test_other_codings_are_not_supported(coding: str) -> None:
    with pytest.raises(UnsupportedMedia) as caught:
        decompressor(coding)
    assert len(caught.value.detail) < 200


@settings(max_examples=50)
@given(st.data(), st.binary(max_size=100))
def test_a_cut_connection_is_a_broken_body_never_a_whole_one(data: st.DataObject, body: bytes) -> None:
    chunks = data.draw(chunkings(body))

    async def read() -> bytes:
        return b"".join([piece async for piece in pieces(receiving(chunks, cut=True), Plain())])

    with pytest.raises(BrokenBody, match="cut"):
        asyncio.run(read())
    with pytest.raises(BrokenBody, match="cut"):
        asyncio.run(whole(receiving(chunks, cut=True), Plain(), 1000, b"%d" % (len(body) + 1)))


@settings(max_examples=50)
@given(st.data(), st.binary(max_size=100), st.sampled_from(["", "gzip", "zstd"]), st.booleans())
def test_a_single_body_is_whole_at_its_limit_and_too_large_above(
    data: st.DataObject, body: bytes, coding: str, with_length: bool
) -> None:
    packed = pack(coding, body)
    chunks = data.draw(chunkings(packed))
    length = str(len(packed)).encode() if with_length else None
    assert asyncio.run(whole(receiving(chunks), decompressor(coding), len(body), length)) == body
    if body:
        with pytest.raises(TooLarge):
            asyncio.run(whole(receiving(chunks), decompressor(coding), len(body) - 1, length))
