"""Payloads posted one by one over keep-alive connections."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from random import Random
from typing import Any

import aiohttp

from simulation.load import junk
from simulation.load.books import Books, Scheduled
from simulation.load.chaos import BROKEN, OF_SINGLES, REPEAT, STALL, UNKEYED, Chaos
from simulation.load.posting import Body, Reply, deliver, post
from simulation.load.problem import told
from simulation.load.retry import CUTS, Again
from simulation.traffic.message import Message

Request = Callable[[Message[Any]], tuple[str, bytes]]  # what comes behind the path, and the body
BACKLOG = 20_000  # payloads waiting for a connection; more are dropped and counted, as k6 does
JSON = {"Content-Type": "application/json"}


def as_body(message: Message[Any]) -> tuple[str, bytes]:
    """The payload is the body."""
    return "", message.body


class Singles:
    """A fixed number of connections, fed from one bounded queue. With `chaos`, some of what is sent goes wrong."""

    def __init__(
        self,
        http: aiohttp.ClientSession,
        url: str,
        books: Books,
        connections: int,
        *,
        path: str = "/stats",
        request: Request = as_body,
        backlog: int = BACKLOG,
        chaos: Chaos | None = None,
    ) -> None:
        self._http = http
        self._path = path
        self._url = url + path
        self._request = request
        self._books = books
        self._connections = connections
        self._queue: asyncio.Queue[Scheduled | None] = asyncio.Queue(backlog)
        self._random = Random()
        self._chaos = chaos

    def offer(self, item: Scheduled) -> None:
        """Send it as soon as a connection is free. Dropped where too much is waiting."""
        try:
            self._queue.put_nowait(item)
        except asyncio.QueueFull:
            self._books.dropped(item)

    async def run(self) -> None:
        """Post until `close` was called and everything is answered. Cancelling gives up and drops what is not sent."""
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(self._connections):
                    group.create_task(self._connection())
        finally:
            while not self._queue.empty():
                item = self._queue.get_nowait()
                if item is not None:
                    self._books.dropped(item)

    async def close(self) -> None:
        """Nothing more is coming."""
        for _ in range(self._connections):
            await self._queue.put(None)

    @property
    def waiting(self) -> int:
        """Payloads that wait for a connection."""
        return self._queue.qsize()

    async def _connection(self) -> None:
        while (item := await self._queue.get()) is not None:
            self._books.started(item)
            try:
                stored = await self._deliver(item)
            except asyncio.CancelledError:
                self._books.unknown(item)
                raise
            if self._chaos is not None:
                await self._misbehave(self._chaos, item, stored)

    async def _deliver(self, item: Scheduled) -> bool:
        """See it through, and book it; True if it is stored."""
        suffix, body = self._request(item.message)
        headers = {"Idempotency-Key": item.message.key, **(JSON if body else {})}
        stall = bool(body) and self._chaos is not None and self._chaos.strikes(STALL, OF_SINGLES)

        def attempt() -> Body:
            return self._chaos.slowly(body) if self._chaos is not None and stall else body

        url, books = self._url + suffix, self._books
        reply = await deliver(self._http, url, attempt, headers, books, self._random, self._chaos)
        # Booked only here, with nothing left to await: a cancellation in between would book it twice.
        if reply.status < 300:
            books.meter.replayed += reply.replayed
            books.acknowledged("single", item)
            return True
        books.meter.error(str(reply.status), f"{reply.status} {told(reply.text.encode())}")
        if reply.status >= 500:
            books.unknown(item)
        else:
            books.rejected(item)
        return False

    async def _misbehave(self, chaos: Chaos, item: Scheduled, stored: bool) -> None:
        """What else is sent after a payload."""
        suffix, body = self._request(item.message)
        content = JSON if body else {}
        if stored and chaos.strikes(REPEAT, OF_SINGLES):
            reply = await self._try(suffix, body, {"Idempotency-Key": item.message.key, **content})
            if reply is not None and not (reply.status < 300 and reply.replayed):
                self._books.meter.error("repeat", f"a repeat under its key was answered {reply.status}, not as one")
        if stored and chaos.strikes(UNKEYED, OF_SINGLES):
            sent_s, answered = self._books.clock(), False
            try:
                reply = await self._try(suffix, body, content)
                answered = reply is not None and reply.status < 300
            finally:
                self._books.once_more(item, sent_s, stored=answered)
        if chaos.strikes(BROKEN, OF_SINGLES):
            suffix, body = junk.request(self._path, chaos.random)
            reply = await self._try(suffix, body, JSON if body else {})
            if reply is not None and not 400 <= reply.status < 500:
                self._books.meter.error("broken", f"a broken request was answered {reply.status}")

    async def _try(self, suffix: str, body: bytes, headers: dict[str, str]) -> Reply | None:
        """One attempt; None where it has no answer that counts."""
        try:
            return await post(self._http, self._url + suffix, body, headers, self._books)
        except (*CUTS, Again):
            return None
