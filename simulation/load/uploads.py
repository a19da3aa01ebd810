"""Logs of desktop clients on their way to the collector: packed, sent until there is an answer, and booked."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import Callable, Sequence
from random import Random

import aiohttp
import msgspec

from simulation.load import junk
from simulation.load.books import Books, Scheduled
from simulation.load.chaos import BROKEN, OF_UPLOADS, REPEAT, UNKEYED, Chaos
from simulation.load.posting import Body, Reply, deliver, post
from simulation.load.problem import told
from simulation.load.receipts import Receipts, Refusal
from simulation.load.retry import CUTS, Again
from simulation.traffic.desktops import Moment

PATH = "/sessions/logs"


class Uploads:
    """Of one client. `sent_at` makes a request's first line; `slots` bounds how many upload at once."""

    def __init__(
        self,
        http: aiohttp.ClientSession,
        url: str,
        books: Books,
        name: str,
        slots: asyncio.Semaphore,
        sent_at: Callable[[], bytes],
        chaos: Chaos | None,
    ) -> None:
        self._http = http
        self._url = url + PATH
        self._books = books
        self._name = name
        self._slots = slots
        self._sent_at = sent_at
        self._chaos = chaos
        self._random = Random()
        self._count = 0

    @property
    def begun(self) -> bool:
        """Whether the collector may have seen a log of this client."""
        return self._count > 0

    async def send(self, log: Sequence[Scheduled]) -> None:
        """Send this much of the log, and book what the answer says."""
        if not log:
            return
        async with self._slots:
            self._count += 1
            receipts = Receipts(self._books, preamble=True)
            receipts.open.extend(log)
            lines = log_lines([item.message.payload for item in log])
            if self._chaos is not None and self._chaos.strikes(BROKEN, OF_UPLOADS):
                broken = junk.line("/sessions", self._chaos.random)
                receipts.open.append(broken)
                lines += broken.body + b"\n"
            packed = await asyncio.to_thread(gzip.compress, lines, 6)
            self._books.meter.bytes_sent += len(packed)
            await self._deliver(packed, receipts)

    async def _deliver(self, packed: bytes, receipts: Receipts) -> None:
        content = {"Content-Type": "application/x-ndjson", "Content-Encoding": "gzip"}
        keyed = {**content, "Idempotency-Key": f"{self._name}-log-{self._count}"}

        def body() -> Body:
            # gzip of two members: the time is told anew in each attempt, and the log packed only once.
            return gzip.compress(self._sent_at()) + packed

        try:
            reply = await deliver(
                self._http, self._url, body, keyed, self._books, self._random, self._chaos, OF_UPLOADS
            )
            self._books.meter.replayed += reply.replayed
            _settle(receipts, reply)
        except Refusal as refusal:
            self._books.meter.error(refusal.kind, refusal.detail)
        finally:
            receipts.abandon()  # after a summary nothing is left
        if self._chaos is not None:
            for what, headers in ((REPEAT, keyed), (UNKEYED, content)):
                if self._chaos.strikes(what, OF_UPLOADS):
                    await self._again(body(), headers)

    async def _again(self, body: Body, headers: dict[str, str]) -> None:
        """The whole log once more; nothing of it is new, so that no key is needed for it to be safe."""
        try:
            reply = await post(self._http, self._url, body, headers, self._books)
        except (*CUTS, Again):
            return
        if reply.status >= 300:
            self._books.meter.error(
                "repeat", f"a log sent again was answered {reply.status} {told(reply.text.encode())}"
            )


def _settle(receipts: Receipts, reply: Reply) -> None:
    """Book what the answer to an upload says. Refusal where it is no summary."""
    if reply.status >= 300:
        raise Refusal.of(reply.status, reply.text.encode())
    if not receipts.read(reply.text.encode()):
        raise Refusal("upload", "answered by a receipt, not by a summary")


def log_lines(moments: Sequence[Moment]) -> bytes:
    """The log of a client: the first message with the time, all with what has elapsed since then."""
    encode = msgspec.json.Encoder().encode
    parts: list[bytes] = []
    start_ms: int | None = None
    for moment in moments:
        message = msgspec.structs.replace(moment.message)
        assert message.time is not None
        if start_ms is None:
            start_ms = message.time
            message.elapsed = 0
        else:
            message.elapsed, message.time = message.time - start_ms, None
        parts.append(encode(message))
    parts.append(b"")
    return b"\n".join(parts)
