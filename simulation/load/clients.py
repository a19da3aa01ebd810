"""Desktop clients on the wire: a live stream for each session of the app, and the log on the disk, uploaded after the
network was away.

The log holds what was streamed live, too; the collector leaves that out. What is still unacknowledged on the open
stream is not uploaded: its fate is the stream's, which sends it again if it must, and live lines are stored as they
come. When the stream stalls, a client measures less often, so as not to burden whoever is in trouble already.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from functools import partial
from time import time
from typing import Any

import aiohttp
from msgspec.structs import replace

from simulation.load.books import Books, Scheduled
from simulation.load.chaos import Chaos
from simulation.load.meter import Lane
from simulation.load.network import Network
from simulation.load.reception import ANY_TIME, Reception
from simulation.load.streams import StreamLane
from simulation.load.uploads import Uploads
from simulation.traffic.desktops import Moment

PATH = "/sessions"
LOG_MESSAGES = 5_000  # of a client; older ones are overwritten, and lost where they were not sent
ENDLESS_S, ENDLESS_LINES = 86_400.0, 10**9  # a live stream ends with its client
STALLED_S = 2.0  # a line that waits longer for its acknowledgement shows that the stream stalls
MAX_STRIDE = 32  # at least every so many-th sample is taken all the same, to notice that it flows again


def stride(waited_s: float) -> int:
    """Every so many-th sample is taken when the oldest line has waited so long: of two after 2 s, of four after 4."""
    taken = 1
    while waited_s >= STALLED_S * taken and taken < MAX_STRIDE:
        taken *= 2
    return taken


class TimedBooks(Books):
    """Books of one session, that also note how long the collector may have taken to see what time it is here."""

    def __init__(self, books: Books) -> None:
        super().__init__(books.ledger, books.meter, books.clock, books.server)
        self._told_s: float | None = None

    def time_told(self) -> None:
        """A request begins, and tells the time."""
        if self._told_s is None:  # of one that was cut the next answer tells, too
            self._told_s = self.clock()

    def _reception(self, sent_s: float | None, *, answered: bool = True) -> Reception:
        return replace(super()._reception(sent_s, answered=answered), way_ms=self._way_ms() if answered else 0)

    def _way_ms(self) -> int:
        """Of the request that is answered now, at most."""
        told_s, self._told_s = self._told_s, None
        return 0 if told_s is None else int((self.clock() - told_s) * 1000)


class LogBooks(TimedBooks):
    """Books for an upload: only messages that were never streamed count, but all that is stored is true."""

    def __init__(self, books: Books, pending: dict[int, Scheduled]) -> None:
        super().__init__(books)
        self._pending = pending

    def acknowledged(self, lane: Lane, item: Scheduled) -> None:
        """Without a latency: the message has waited for a network."""
        self.ledger.acknowledge(item.message.payload, Reception(way_ms=self._way_ms()))
        self.meter.acknowledged += self._taken(item)

    def rejected(self, item: Scheduled) -> None:
        self.meter.rejected += self._taken(item)

    def unknown(self, item: Scheduled) -> None:
        if self._taken(item):
            self.ledger.lose(item.message.payload, ANY_TIME)
            self.meter.unknown += 1

    def _taken(self, item: Scheduled) -> bool:
        return self._pending.pop(item.message.sequence, None) is not None


class ClientLane:
    """A desktop client in one session. `uploads` bounds how many of all clients upload at once; `wall` is the true
    time, epoch s.
    """

    def __init__(
        self,
        http: aiohttp.ClientSession,
        url: str,
        books: Books,
        name: str,
        uploads: asyncio.Semaphore,
        chaos: Chaos | None = None,
        wall: Callable[[], float] = time,
    ) -> None:
        self._books = books
        self._wall = wall
        self._skew_ms = 0
        self._wanted_uploads = 0  # of the log, at the end, though all of it was streamed
        self._network = Network()
        self._log: deque[Scheduled] = deque()
        self._pending: dict[int, Scheduled] = {}  # written without a network, by sequence
        self._samples = 0
        self._wanted = asyncio.Event()
        self._streamed = False  # the live stream has ended
        log_books, stream_books = LogBooks(books, self._pending), TimedBooks(books)
        self._uploads = Uploads(http, url, log_books, name, uploads, partial(self._sent_at, log_books), chaos)
        self._stream = StreamLane(
            http,
            url,
            stream_books,
            name,
            path=PATH,
            preamble=partial(self._sent_at, stream_books),
            network=self._network,
            rotate_lines=ENDLESS_LINES,
            rotate_s=ENDLESS_S,
            chaos=chaos,
            copies_count=self._copies_count,
        )

    def offer(self, item: Scheduled) -> None:
        """Write it to the log and, with a network, stream it; or do not even measure it, when the stream stalls."""
        payload: Moment = item.message.payload
        self._skew_ms, self._wanted_uploads = payload.skew_ms, payload.uploads
        self._network.turn(item.message.streamed)
        if payload.sample and not self._measures(item):
            self._books.skipped(item)
            return
        if len(self._log) >= LOG_MESSAGES:
            oldest = self._log.popleft()
            if self._pending.pop(oldest.message.sequence, None) is not None:
                self._books.dropped(oldest)
        self._log.append(item)
        if item.message.streamed:
            self._stream.offer(item)
            if self._pending:
                self._wanted.set()
        else:
            self._pending[item.message.sequence] = item

    @property
    def waiting(self) -> int:
        """Messages without an acknowledgement, streamed or in the log alone."""
        return self._stream.waiting + len(self._pending)

    async def run(self) -> None:
        """Stream and upload until `close` was called and everything is acknowledged. Cancelling gives up."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._upload())
                await self._stream.run()
                self._streamed = True
                self._wanted.set()
        finally:
            self.abandon()

    def abandon(self) -> None:
        """Give up: what is not acknowledged never will be."""
        self._stream.abandon()
        for item in self._pending.values():
            self._books.dropped(item)
        self._pending.clear()

    async def close(self) -> None:
        """Nothing more is coming; the network is back."""
        self._network.turn(True)
        await self._stream.close()

    def _measures(self, item: Scheduled) -> bool:
        """Whether a sample is taken. Without a network there is no stream that stalls, and the log has room."""
        self._samples += 1
        return not item.message.streamed or self._samples % stride(self._stream.waited_s) == 0

    def _copies_count(self) -> bool:
        """A live message that a log has brought, too, may be recognised."""
        return not self._uploads.begun and not self._pending

    def _sent_at(self, books: TimedBooks) -> bytes:
        """The first line of a request: what the client's clock says."""
        books.time_told()
        return b'{"sentAt":%d}\n' % (int(self._wall() * 1000) + self._skew_ms)

    async def _upload(self) -> None:
        """Whenever something is in the log alone; and at the end, as often as this client does."""
        last = False
        while not last:
            await self._wanted.wait()
            self._wanted.clear()
            last = self._streamed
            if self._pending:
                await self._uploads.send(self._closed_log())
        for _ in range(self._wanted_uploads if self._log else 0):
            await self._uploads.send(self._closed_log())

    def _closed_log(self) -> list[Scheduled]:
        """What the log holds, but for what is under way on the stream."""
        under_way = {id(item) for item in self._stream.unsettled()}
        return [item for item in self._log if id(item) not in under_way]


class Clients:
    """All desktop clients of a run: one begins with its session's first message, and ends with its last."""

    def __init__(self, make: Callable[[int], ClientLane]) -> None:
        self._make = make
        self._open: dict[int, ClientLane] = {}
        self._ending: set[ClientLane] = set()
        self._todo: asyncio.Queue[Callable[[], Coroutine[Any, Any, None]] | None] = asyncio.Queue()

    def offer(self, item: Scheduled) -> None:
        """To the client of its session."""
        number = item.message.session
        lane = self._open.get(number)
        if lane is None:
            lane = self._open[number] = self._make(number)
            self._todo.put_nowait(partial(self._live, lane))
        lane.offer(item)
        if item.message.last:
            self._ending.add(self._open.pop(number))
            self._todo.put_nowait(lane.close)

    @property
    def waiting(self) -> int:
        """Messages without an acknowledgement."""
        return sum(lane.waiting for lane in self._all())

    async def run(self) -> None:
        """Run clients until `close` was called and everything is acknowledged. Cancelling gives up."""
        try:
            async with asyncio.TaskGroup() as group:
                while (todo := await self._todo.get()) is not None:
                    group.create_task(todo())
        finally:
            for lane in self._all():
                lane.abandon()

    async def close(self) -> None:
        """Nothing more is coming: all sessions end."""
        for lane in self._all():
            await lane.close()
        self._todo.put_nowait(None)

    def _all(self) -> list[ClientLane]:
        return [*self._open.values(), *self._ending]

    async def _live(self, lane: ClientLane) -> None:
        await lane.run()
        self._ending.discard(lane)
