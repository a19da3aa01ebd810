"""The body of a lane's open stream, over as many requests as it takes: first lines that were sent before and have no
receipt, then new ones as they come, until so many lines or seconds have passed.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable

from msgspec import Struct

from simulation.load import junk
from simulation.load.books import Books, Scheduled
from simulation.load.chaos import BROKEN, OF_CHUNKS, OF_LINES, STALL, Chaos
from simulation.load.junk import Junk
from simulation.load.receipts import Receipts

CHUNK_BYTES = 64 * 1024  # written at once: many lines when there are many, a single one when there is one


class Inbox:
    """What a lane was offered and has not sent."""

    def __init__(self) -> None:
        self.items: deque[Scheduled] = deque()
        self.closing = False
        self._news = asyncio.Event()

    def put(self, item: Scheduled) -> None:
        """One more."""
        self.items.append(item)
        self._news.set()

    def close(self) -> None:
        """Nothing more is coming."""
        self.closing = True
        self._news.set()

    async def filled(self) -> None:
        """Wait until there is something, or nothing more is coming."""
        while not self.items and not self.closing:
            self._news.clear()
            await self._news.wait()


class Rotation(Struct, frozen=True):
    """When a stream ends: after so many lines, or seconds."""

    lines: int
    seconds: float


class Outgoing:
    """One stream. `preamble` makes the first line of each request, with its newline; `keep` is told of the lines."""

    def __init__(
        self,
        books: Books,
        inbox: Inbox,
        rotation: Rotation,
        path: str,
        preamble: Callable[[], bytes] | None,
        chaos: Chaos | None,
        keep: Callable[[list[Scheduled | Junk]], None],
    ) -> None:
        self.receipts = Receipts(books, preamble=preamble is not None)
        self._books = books
        self._inbox = inbox
        self._path = path
        self._preamble = preamble
        self._chaos = chaos
        self._keep = keep
        self._lines = rotation.lines
        self._ends_s = books.clock() + rotation.seconds
        self._ended = False  # the collector has seen, or will be shown, exactly the lines written so far
        self._attempt = 0

    def stop(self) -> None:
        """No body is to be written any more, until a new one is begun."""
        self._attempt += 1

    def body(self) -> AsyncIterator[bytes]:
        """The body of a new request, from where the collector stands. An older one stops."""
        self.stop()
        return self._chunks(self._attempt)

    async def _chunks(self, attempt: int) -> AsyncIterator[bytes]:
        if self._preamble is not None:
            yield self._preamble()
        for chunk in _joined([item.body for item in self.receipts.open]):
            if attempt != self._attempt:
                return
            yield chunk
        while attempt == self._attempt and not self._ended:
            if not self._inbox.items:
                await self._more()
            elif chunk := self._take():
                if self._chaos is not None and self._chaos.strikes(STALL, OF_CHUNKS):
                    async for part in self._chaos.slowly(chunk):
                        yield part
                else:
                    yield chunk
            self._ended = self._ended or self._over()

    def _over(self) -> bool:
        """Whether the stream is to end after what is written."""
        if self._inbox.closing and not self._inbox.items:
            return True
        return self.receipts.lines >= self._lines or self._books.clock() >= self._ends_s

    async def _more(self) -> None:
        """Wait for a new line, or for the moment at which the stream is to end."""
        try:
            async with asyncio.timeout(max(0.0, self._ends_s - self._books.clock())):
                await self._inbox.filled()
        except TimeoutError:
            return

    def _take(self) -> bytes:
        """Move lines from the inbox into the stream, as many as fit into a chunk."""
        parts: list[bytes] = []
        size = 0
        while self._inbox.items and size < CHUNK_BYTES and self.receipts.lines < self._lines:
            item = self._inbox.items.popleft()
            self._books.started(item)
            lines = self._with_junk(item)
            self._keep(lines)
            self.receipts.open.extend(lines)
            parts += [line.body for line in lines]
            size += sum(len(line.body) + 1 for line in lines)
        parts.append(b"")
        return b"\n".join(parts)

    def _with_junk(self, item: Scheduled) -> list[Scheduled | Junk]:
        """The line, and at times a broken one in front of it."""
        if self._chaos is not None and self._chaos.strikes(BROKEN, OF_LINES):
            return [junk.line(self._path, self._chaos.random), item]
        return [item]


def _joined(bodies: Iterable[bytes]) -> list[bytes]:
    """The bodies as lines, joined to chunks of about CHUNK_BYTES."""
    chunks: list[bytes] = []
    part: list[bytes] = []
    size = 0
    for body in bodies:
        part.append(body)
        size += len(body) + 1
        if size >= CHUNK_BYTES:
            chunks.append(b"\n".join([*part, b""]))
            part, size = [], 0
    if part:
        chunks.append(b"\n".join([*part, b""]))
    return chunks
