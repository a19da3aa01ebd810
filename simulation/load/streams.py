"""Messages as JSON lines: one long POST after another, with receipts, and resumption after a cut.

A lane has at most one stream open. A line leaves the lane's memory only when a receipt covers it; until then it can be
sent again. After a cut the lane asks GET /streams/{key} how far the collector is, and goes on from there with
Stream-Offset. A stream ends after so many lines or seconds, and the next one has a new key. With chaos, requests are
cut and stall, broken lines stand among the good ones, and a complete stream may be sent once more.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from random import Random

import aiohttp
import msgspec
from msgspec import Struct

from simulation.load.books import Books, Scheduled
from simulation.load.chaos import OF_STREAMS, STREAM_S, Chaos, OnPurpose
from simulation.load.junk import Junk
from simulation.load.network import Network, OfflineError
from simulation.load.outgoing import Inbox, Outgoing, Rotation
from simulation.load.receipts import Refusal
from simulation.load.repeats import Repeats
from simulation.load.retry import (
    CUTS,
    RETRIED_STATUS,
    TAKEN_OVER,
    Again,
    is_taken_over,
    kind_of,
    pause_s,
    retry_after_s,
)

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
    it again, it goes on where it was. `copies_count`: whether a line that is sent again without a key is stored again.
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
        chaos: Chaos | None = None,
        copies_count: Callable[[], bool] = lambda: True,
    ) -> None:
        self._http = http
        self._url = url
        self._path = path
        self._books = books
        self._name = name
        self._preamble = preamble
        self._network = network or Network()
        self._rotation = Rotation(rotate_lines, rotate_s)
        self._backlog = backlog
        self._chaos = chaos
        self._repeats = None if chaos is None else Repeats(http, url + path, books, chaos, preamble, copies_count)
        self._inbox = Inbox()
        self._random = Random()
        self._count = 0
        self._key = ""
        self._open = self._new()

    def offer(self, item: Scheduled) -> None:
        """Send it with the open stream. Dropped where too much is unacknowledged."""
        if self.waiting >= self._backlog:
            self._books.dropped(item)
        else:
            self._inbox.put(item)

    @property
    def waiting(self) -> int:
        """Lines that are not acknowledged."""
        return len(self._inbox.items) + len(self._open.receipts.open)

    @property
    def waited_s(self) -> float:
        """For how long its oldest line has not been acknowledged; 0 without any."""
        oldest = next(self.unsettled(), None)
        return 0.0 if oldest is None else self._books.clock() - oldest.due_s

    def unsettled(self) -> Iterator[Scheduled]:
        """What was offered and is not acknowledged, rejected or given up."""
        yield from self._open.receipts.unsettled()
        yield from self._inbox.items

    async def close(self) -> None:
        """Nothing more is coming: the open stream may end."""
        self._inbox.close()

    async def run(self) -> None:
        """Stream until `close` was called and everything is acknowledged. Cancelling gives up."""
        try:
            while True:
                await self._inbox.filled()
                if not self._inbox.items:
                    return
                self._count += 1
                self._key = f"{self._name}-{self._count}"
                self._open = self._new()
                if await self._deliver() and self._repeats is not None:
                    await self._repeats.some(self._key)
        finally:
            self.abandon()

    def abandon(self) -> None:
        """Give up: what was sent is unknown, the rest dropped."""
        self._open.stop()
        self._open.receipts.abandon()
        while self._inbox.items:
            self._books.dropped(self._inbox.items.popleft())

    def _new(self) -> Outgoing:
        if self._repeats is not None:
            self._repeats.clear()
        return Outgoing(self._books, self._inbox, self._rotation, self._path, self._preamble, self._chaos, self._kept)

    def _kept(self, lines: Sequence[Scheduled | Junk]) -> None:
        if self._repeats is not None:
            self._repeats.keep(lines)

    async def _deliver(self) -> bool:
        """See the stream through, over as many requests as it takes; False where the collector refuses it."""
        receipts, failures, asking, cut = self._open.receipts, 0, False, False
        while True:
            before = receipts.committed
            await self._network.up()
            try:
                if asking and await self._network.during(self._ask()):
                    return True
                asking, request = True, self._request()
                if self._chaos is not None:
                    request = self._chaos.cut(request, OF_STREAMS, STREAM_S)
                if await self._network.during(request):
                    return True
            except OfflineError:
                cut = True
            except OnPurpose:
                self._books.retry()
                cut = True
            except Refusal as refusal:
                self._books.meter.error(refusal.kind, refusal.detail)
                receipts.abandon()
                return False
            except (*CUTS, Again) as error:
                failures = 0 if receipts.committed > before else failures
                self._books.retry(None if cut and is_taken_over(error) else kind_of(error))
                cut = cut or not isinstance(error, Again) or error.kind == "cut"
                after_s = error.after_s if isinstance(error, Again) else None
                await asyncio.sleep(pause_s(self._random, failures, after_s))
                failures += 1

    async def _ask(self) -> bool:
        """Learn how far the collector is; True if it has the whole stream."""
        receipts = self._open.receipts
        timeout = aiohttp.ClientTimeout(total=ASK_S)
        url = f"{self._url}/streams/{self._key}"
        async with self._http.get(url, params={"endpoint": self._path}, timeout=timeout) as response:
            if response.status in RETRIED_STATUS:
                raise Again(str(response.status), retry_after_s(response))
            body = await response.read()
            if response.status == 404 and receipts.committed == 0:
                return False  # cut before the first commit
            if response.status != 200:
                raise Refusal.of(response.status, body)
        try:
            position = msgspec.json.decode(body, type=Position)
        except (msgspec.DecodeError, UnicodeDecodeError) as exc:
            raise Refusal("position", f"cannot be read: {exc}") from exc
        receipts.receipt(position.committed, position.rejected)
        if position.complete:
            receipts.finish(position.rejected, [])
        return position.complete

    async def _request(self) -> bool:
        """One POST, from where the collector stands; True if it has acknowledged the end of the stream."""
        receipts = self._open.receipts
        headers = {
            "Content-Type": "application/x-ndjson",
            "Accept": "application/x-ndjson",
            "Idempotency-Key": self._key,
        }
        if receipts.committed:
            headers["Stream-Offset"] = str(receipts.committed)
        # No time limit: a stream is as long as it is, and the collector may hold it back as long as it must.
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=ASK_S)
        url, body, asked_s = self._url + self._path, self._open.body(), self._books.clock()
        response = await self._http.post(url, data=body, headers=headers, timeout=timeout)
        self._books.server.observe(response.headers.get("Date"), asked_s, self._books.clock())
        try:
            if response.status in RETRIED_STATUS or response.status == TAKEN_OVER:
                raise Again(str(response.status), retry_after_s(response))
            if response.status not in ACCEPTED:
                raise Refusal.of(response.status, await response.read())
            async for line in response.content:
                if line.strip() and receipts.read(line):
                    return True
            raise Again("cut")
        finally:
            self._open.stop()
            response.close()  # not release(): the body may be half written, and nobody is to wait for the rest
