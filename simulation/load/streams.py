"""Messages as JSON lines: one long POST after another, with receipts, and resumption after a cut.

A lane has at most one stream open. A line leaves the lane's memory only when a receipt covers it; until then it can be
sent again. After a cut the lane asks GET /streams/{key} how far the collector is, and goes on from there with
Stream-Offset. A stream ends after so many lines or seconds, and the next one has a new key.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from random import Random

import aiohttp
import msgspec
from msgspec import Struct

from simulation.load.books import Books, Scheduled
from simulation.load.network import Network, OfflineError
from simulation.load.receipts import Receipts, Refusal
from simulation.load.retry import CUT, RETRIED_STATUS, Again, kind_of, pause_s, retry_after_s

CHUNK_BYTES = 64 * 1024  # written at once: many lines when there are many, a single one when there is one
BACKLOG = 200_000  # lines of a lane that are not acknowledged; more are dropped: about 60 MB, and memory stays flat
ACCEPTED = (200, 202)  # the latter from the queue
ASK_S = 10.0  # for GET /streams/{key}


class Position(Struct):
    """The answer of GET /streams/{key}."""

    committed: int
    rejected: int = 0
    complete: bool = False


class StreamLane:
    """A device's streams, one after another.

    `preamble` makes the first line of each request, with its newline. Without a `network` the open request is cut; with
    it again, it goes on where it was.
    """

    def __init__(
        self,
        http: aiohttp.ClientSession,
        url: str,
        books: Books,
        name: str,
        *,
        rotate_lines: int,
        rotate_s: float,
        path: str = "/stats",
        preamble: Callable[[], bytes] | None = None,
        network: Network | None = None,
        backlog: int = BACKLOG,
    ) -> None:
        self._http = http
        self._url = url
        self._path = path
        self._preamble = preamble
        self._network = network or Network()
        self._books = books
        self._name = name
        self._rotate_lines = rotate_lines
        self._rotate_s = rotate_s
        self._backlog = backlog
        self._inbox: deque[Scheduled] = deque()
        self._news = asyncio.Event()
        self._closing = False
        self._random = Random()
        self._count = 0
        # Of the open stream:
        self._key = ""
        self._receipts = Receipts(books)
        self._ends_s = 0.0
        self._ended = False  # the collector has seen, or will be shown, exactly the lines written so far
        self._attempt = 0

    def offer(self, item: Scheduled) -> None:
        """Send it with the open stream. Dropped where too much is unacknowledged."""
        if self.waiting >= self._backlog:
            self._books.dropped(item)
            return
        self._inbox.append(item)
        self._news.set()

    @property
    def waiting(self) -> int:
        """Lines that are not acknowledged."""
        return len(self._inbox) + len(self._receipts.open)

    def unsettled(self) -> Iterator[Scheduled]:
        """What was offered and is not acknowledged, rejected or given up."""
        yield from self._receipts.unsettled()
        yield from self._inbox

    async def close(self) -> None:
        """Nothing more is coming: the open stream may end."""
        self._closing = True
        self._news.set()

    async def run(self) -> None:
        """Stream until `close` was called and everything is acknowledged. Cancelling gives up."""
        try:
            while True:
                while not self._inbox and not self._closing:
                    self._news.clear()
                    await self._news.wait()
                if not self._inbox:
                    return
                self._begin()
                await self._deliver()
        finally:
            self._attempt += 1  # a writer that is still at it stops
            self._receipts.abandon()
            while self._inbox:
                self._books.dropped(self._inbox.popleft())

    def _begin(self) -> None:
        self._count += 1
        self._key = f"{self._name}-{self._count}"
        self._receipts = Receipts(self._books, preamble=self._preamble is not None)
        self._ends_s = self._books.clock() + self._rotate_s
        self._ended = False

    async def _deliver(self) -> None:
        """See the stream through, over as many requests as it takes."""
        failures = 0
        asking = False
        while True:
            before = self._receipts.committed
            await self._network.up()
            try:
                if asking and await self._network.during(self._ask()):
                    return
                asking = True
                if await self._network.during(self._request()):
                    return
            except OfflineError:
                continue
            except Refusal as refusal:
                self._books.meter.error(refusal.kind, refusal.detail)
                self._receipts.abandon()
                return
            except (*CUT, Again) as error:
                failures = 0 if self._receipts.committed > before else failures
                self._books.retry(kind_of(error))
                after_s = error.after_s if isinstance(error, Again) else None
                await asyncio.sleep(pause_s(self._random, failures, after_s))
                failures += 1

    async def _ask(self) -> bool:
        """Learn how far the collector is; True if it has the whole stream."""
        timeout = aiohttp.ClientTimeout(total=ASK_S)
        url = f"{self._url}/streams/{self._key}"
        async with self._http.get(url, params={"endpoint": self._path}, timeout=timeout) as response:
            if response.status in RETRIED_STATUS:
                raise Again(str(response.status), retry_after_s(response))
            body = await response.read()
            if response.status == 404 and self._receipts.committed == 0:
                return False  # cut before the first commit
            if response.status != 200:
                raise Refusal.of(response.status, body)
        try:
            position = msgspec.json.decode(body, type=Position)
        except (msgspec.DecodeError, UnicodeDecodeError) as exc:
            raise Refusal("position", f"cannot be read: {exc}") from exc
        self._receipts.receipt(position.committed, position.rejected)
        if position.complete:
            self._receipts.finish(position.rejected, [])
        return position.complete

    async def _request(self) -> bool:
        """One POST, from where the collector stands; True if it has acknowledged the end of the stream."""
        self._attempt += 1
        headers = {
            "Content-Type": "application/x-ndjson",
            "Accept": "application/x-ndjson",
            "Idempotency-Key": self._key,
        }
        if self._receipts.committed:
            headers["Stream-Offset"] = str(self._receipts.committed)
        # No time limit: a stream is as long as it is, and the collector may hold it back as long as it must.
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=ASK_S)
        url, body = self._url + self._path, self._body(self._attempt)
        response = await self._http.post(url, data=body, headers=headers, timeout=timeout)
        try:
            if response.status in RETRIED_STATUS:
                raise Again(str(response.status), retry_after_s(response))
            if response.status not in ACCEPTED:
                raise Refusal.of(response.status, await response.read())
            async for line in response.content:
                if line.strip() and self._receipts.read(line):
                    return True
            raise Again("cut")
        finally:
            self._attempt += 1
            response.close()  # not release(): the body may be half written, and nobody is to wait for the rest

    async def _body(self, attempt: int) -> AsyncIterator[bytes]:
        """The lines from where the collector stands: first those it was sent before, then new ones as they come."""
        if self._preamble is not None:
            yield self._preamble()
        for chunk in _chunks([item.message.body for item in self._receipts.open]):
            if attempt != self._attempt:
                return
            yield chunk
        while attempt == self._attempt and not self._ended:
            if not self._inbox:
                await self._more()
            elif chunk := self._take():
                yield chunk
            self._ended = self._ended or self._over()

    def _over(self) -> bool:
        """Whether the stream is to end after what is written."""
        if self._closing and not self._inbox:
            return True
        return self._receipts.lines >= self._rotate_lines or self._books.clock() >= self._ends_s

    async def _more(self) -> None:
        """Wait for a new line, or for the moment at which the stream is to end."""
        self._news.clear()
        if self._closing:
            return
        left_s = self._ends_s - self._books.clock()
        try:
            async with asyncio.timeout(max(0.0, left_s)):
                await self._news.wait()
        except TimeoutError:
            return

    def _take(self) -> bytes:
        """Move lines from the inbox into the stream, as many as fit into a chunk."""
        parts: list[bytes] = []
        size = 0
        while self._inbox and size < CHUNK_BYTES and self._receipts.lines < self._rotate_lines:
            item = self._inbox.popleft()
            self._books.started(item)
            self._receipts.open.append(item)
            parts.append(item.message.body)
            size += len(item.message.body) + 1
        parts.append(b"")
        return b"\n".join(parts)


def _chunks(bodies: list[bytes]) -> list[bytes]:
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
