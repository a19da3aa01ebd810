"""A request's body: its bytes as they come, decompressed piece by piece, whole or plainly broken.

A body is complete only when the server says so (`more_body` false). A connection that goes away is a broken body, and
so is compressed data that stops early. Decompressed pieces are small, whatever the input, so a bomb is only a long
stream.
"""

import asyncio
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any, Protocol

import zstandard

from collector.errors import BrokenBody, TooLarge, UnsupportedMedia

Receive = Callable[[], Awaitable[Any]]

PIECE_BYTES = 64 * 1024
"""Decompressed bytes handed on at once: some 400 payloads, decoded in well under a millisecond, so that others get
their turn.
"""
ZSTD_SLICE_BYTES = 256
"""Compressed bytes decoded at once: a zstd block of 4 bytes can stand for 128 KiB, so a slice gives 8 MiB at most."""
ZSTD_WINDOW_BYTES = 8 * 1024 * 1024
"""The largest window a decoder of the zstd content coding has to support (RFC 9659)."""
EXPANSION_FREE_BYTES = 64 * 1024 * 1024
EXPANSION_LIMIT = 1_200
"""Past the free bytes a body may grow by this factor: more than gzip can (1,032), far more than measurements do (5 to
50).
"""


class Decompressor(Protocol):
    """Turns compressed bytes into plain ones."""

    def feed(self, data: bytes) -> Iterator[bytes]:
        """The plain bytes of `data`, in pieces of bounded size."""

    def close(self) -> None:
        """Raise BrokenBody if the compressed data ended early."""


class Plain:
    """No content coding."""

    def feed(self, data: bytes) -> Iterator[bytes]:
        if len(data) <= PIECE_BYTES:
            yield data
        else:
            yield from _cut(data)

    def close(self) -> None:
        pass


PLAIN = Plain()


class Gzip:
    """gzip, of one member or several."""

    def __init__(self) -> None:
        self._member: Any = None

    def feed(self, data: bytes) -> Iterator[bytes]:
        while data:
            if self._member is None:
                self._member = zlib.decompressobj(wbits=31)
            try:
                plain = self._member.decompress(data, PIECE_BYTES)
            except zlib.error as exc:
                raise BrokenBody(f"the gzip data is broken: {exc}") from exc
            if plain:
                yield plain
            if self._member.eof:
                data, self._member = self._member.unused_data, None
            else:
                data = self._member.unconsumed_tail

    def close(self) -> None:
        if self._member is not None:
            raise BrokenBody("the gzip data ended early")


class Zstd:
    """zstd, of one frame or several."""

    def __init__(self) -> None:
        self._decoder = zstandard.ZstdDecompressor(max_window_size=ZSTD_WINDOW_BYTES)
        self._frame: Any = None

    def feed(self, data: bytes) -> Iterator[bytes]:
        view = memoryview(data)
        for at in range(0, len(data), ZSTD_SLICE_BYTES):
            piece = bytes(view[at : at + ZSTD_SLICE_BYTES])
            while piece:
                if self._frame is None:
                    self._frame = self._decoder.decompressobj()
                try:
                    plain = self._frame.decompress(piece)
                except zstandard.ZstdError as exc:
                    raise BrokenBody(f"the zstd data is broken: {exc}") from exc
                yield from _cut(plain)
                piece = self._frame.unused_data
                if self._frame.eof:
                    self._frame = None

    def close(self) -> None:
        if self._frame is not None:
            raise BrokenBody("the zstd data ended early")


CODINGS: dict[str, Callable[[], Decompressor]] = {
    "": Plain,
    "identity": Plain,
    "gzip": Gzip,
    "x-gzip": Gzip,
    "zstd": Zstd,
}


def decompressor(coding: str) -> Decompressor:
    """For a Content-Encoding; raises UnsupportedMedia for any other than none, gzip and zstd."""
    try:
        return CODINGS[coding.strip().lower()]()
    except KeyError:
        raise UnsupportedMedia(f"Content-Encoding {coding[:40]!r} is not supported; send gzip, zstd or none") from None


async def pieces(receive: Receive, decoder: Decompressor) -> AsyncIterator[bytes]:
    """The plain bytes of the body as they come. Raises BrokenBody when it breaks, TooLarge for a bomb."""
    received_bytes = plain_bytes = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise BrokenBody("the connection was cut before the body was complete")
        data = message.get("body", b"")
        received_bytes += len(data)
        if data:
            several = False
            for piece in decoder.feed(data):
                if several:
                    await asyncio.sleep(0)
                several = True
                plain_bytes += len(piece)
                if plain_bytes > EXPANSION_FREE_BYTES and plain_bytes > received_bytes * EXPANSION_LIMIT:
                    raise TooLarge(f"the body grows more than {EXPANSION_LIMIT} times when decompressed")
                yield piece
        if not message.get("more_body", False):
            decoder.close()
            return


async def whole(receive: Receive, decoder: Decompressor, max_bytes: int, length: bytes | None = None) -> bytes:
    """The whole body, decompressed; raises TooLarge over `max_bytes`, BrokenBody when it breaks.

    With the Content-Length, a body that is all there need not be asked for its end: that costs as much as everything
    else here.
    """
    message = await receive()
    body: bytes = message.get("body", b"")
    if isinstance(decoder, Plain) and body and len(body) <= max_bytes and length == b"%d" % len(body):
        return body
    parts: list[bytes] = []
    size_bytes = 0
    async for piece in pieces(_again(message, receive), decoder):
        size_bytes += len(piece)
        if size_bytes > max_bytes:
            raise TooLarge(f"a single payload may have {max_bytes} bytes; send JSON lines for more")
        parts.append(piece)
    return b"".join(parts)


def _cut(data: bytes) -> Iterator[bytes]:
    for start in range(0, len(data), PIECE_BYTES):
        yield data[start : start + PIECE_BYTES]


def _again(message: Any, receive: Receive) -> Receive:
    """`receive`, with a message already taken put back in front."""
    waiting = [message]

    async def next_message() -> Any:
        return waiting.pop() if waiting else await receive()

    return next_message
