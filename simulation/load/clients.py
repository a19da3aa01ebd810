"""Desktop clients on the wire: a live stream each, and the log on the disk, uploaded after the network was away.

The log holds what was streamed live, too; the collector leaves that out. What is still unacknowledged on the open
stream is not uploaded: its fate is the stream's, which sends it again if it must, and live lines are stored as they
come.
"""

from __future__ import annotations

import asyncio
import gzip
from collections import deque
from collections.abc import Callable
from random import Random
from time import time

import aiohttp
import msgspec

from simulation.load.books import Books, Scheduled
from simulation.load.meter import Lane
from simulation.load.network import Network
from simulation.load.posting import Reply, deliver
from simulation.load.receipts import Receipts, Refusal
from simulation.load.streams import StreamLane
from simulation.traffic.desktops import Moment, SessionMessage

PATH, LOGS_PATH = "/sessions", "/sessions/logs"
LOG_MESSAGES = 5_000  # of a client; older ones are overwritten, and lost where they were not sent
UPLOADS_EVERY = 4  # every so many-th client uploads its log at its end though all of it was streamed
ENDLESS_S, ENDLESS_LINES = 86_400.0, 10**9  # a live stream ends with its client


class LogBooks(Books):
    """Books for an upload: only messages that were never streamed count, but all that is stored is true."""

    def __init__(self, books: Books, pending: dict[int, Scheduled]) -> None:
        super().__init__(books.ledger, books.meter, books.clock)
        self._pending = pending

    def acknowledged(self, lane: Lane, item: Scheduled) -> None:
        """Without a latency: the message has waited for a network."""
        self.ledger.acknowledge(item.message.payload)
        self.meter.acknowledged += self._taken(item)

    def rejected(self, item: Scheduled) -> None:
        self.meter.rejected += self._taken(item)

    def unknown(self, item: Scheduled) -> None:
        if self._taken(item):
            super().unknown(item)

    def _taken(self, item: Scheduled) -> bool:
        return self._pending.pop(item.message.sequence, None) is not None


class ClientLane:
    """A desktop client. `uploads` bounds how many of all clients upload at once; `wall` is the true time, epoch s."""

    def __init__(
        self,
        http: aiohttp.ClientSession,
        url: str,
        books: Books,
        run: str,
        number: int,
        uploads: asyncio.Semaphore,
        wall: Callable[[], float] = time,
    ) -> None:
        self._http = http
        self._url = url
        self._books = books
        self._name = f"{run}-client{number}"
        self._number = number
        self._slots = uploads
        self._wall = wall
        self._random = Random()
        self._skew_ms = 0
        self._network = Network()
        self._log: deque[Scheduled] = deque()
        self._pending: dict[int, Scheduled] = {}  # written without a network, by sequence
        self._count = 0
        self._wanted = asyncio.Event()
        self._streamed = False  # the live stream has ended
        self._stream = StreamLane(
            http,
            url,
            books,
            self._name,
            path=PATH,
            preamble=self._sent_at,
            network=self._network,
            rotate_lines=ENDLESS_LINES,
            rotate_s=ENDLESS_S,
        )

    def offer(self, item: Scheduled) -> None:
        """Write it to the log and, with a network, stream it."""
        payload: Moment = item.message.payload
        self._skew_ms = payload.skew_ms
        if len(self._log) >= LOG_MESSAGES:
            oldest = self._log.popleft()
            if self._pending.pop(oldest.message.sequence, None) is not None:
                self._books.dropped(oldest)
        self._log.append(item)
        self._network.turn(item.message.streamed)
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
                group.create_task(self._uploads())
                await self._stream.run()
                self._streamed = True
                self._wanted.set()
        finally:
            for item in self._pending.values():
                self._books.dropped(item)
            self._pending.clear()

    async def close(self) -> None:
        """Nothing more is coming; the network is back."""
        self._network.turn(True)
        await self._stream.close()

    def _sent_at(self) -> bytes:
        """The first line of a request: what the client's clock says."""
        return b'{"sentAt":%d}\n' % (int(self._wall() * 1000) + self._skew_ms)

    async def _uploads(self) -> None:
        last = False
        while not last:
            await self._wanted.wait()
            self._wanted.clear()
            last = self._streamed
            if self._pending or (last and self._log and self._number % UPLOADS_EVERY == 0):
                async with self._slots:
                    await self._upload()

    async def _upload(self) -> None:
        """Send the log as it stands."""
        self._count += 1
        open_now = {id(item) for item in self._stream.unsettled()}
        receipts = Receipts(LogBooks(self._books, self._pending), preamble=True)
        receipts.open.extend(item for item in self._log if id(item) not in open_now)
        lines = log_lines([item.message.payload for item in receipts.open])
        packed = await asyncio.to_thread(gzip.compress, lines, 6)
        self._books.meter.bytes_sent += len(packed)
        headers = {
            "Content-Type": "application/x-ndjson",
            "Content-Encoding": "gzip",
            "Idempotency-Key": f"{self._name}-log-{self._count}",
        }
        try:
            # gzip of two members: the time is told anew in each attempt, and the log packed only once.
            reply = await deliver(
                self._http,
                self._url + LOGS_PATH,
                lambda: gzip.compress(self._sent_at()) + packed,
                headers,
                self._books,
                self._random,
            )
            self._books.meter.replayed += reply.replayed
            _settle(receipts, reply)
        except Refusal as refusal:
            self._books.meter.error(refusal.kind, refusal.detail)
        finally:
            receipts.abandon()  # after a summary nothing is left


def _settle(receipts: Receipts, reply: Reply) -> None:
    """Book what the answer to an upload says. Refusal where it is no summary."""
    if reply.status >= 300:
        raise Refusal.of(reply.status, reply.text.encode())
    if not receipts.read(reply.text.encode()):
        raise Refusal("upload", "answered by a receipt, not by a summary")


def log_lines(moments: list[Moment]) -> bytes:
    """The log of a client: the first message with the time, all with what has elapsed since then."""
    encode = msgspec.json.Encoder().encode
    parts: list[bytes] = []
    start_ms: int | None = None
    for moment in moments:
        message: SessionMessage = msgspec.structs.replace(moment.message)
        assert message.time is not None
        if start_ms is None:
            start_ms = message.time
            message.elapsed = 0
        else:
            message.elapsed, message.time = message.time - start_ms, None
        parts.append(encode(message))
    parts.append(b"")
    return b"\n".join(parts)
