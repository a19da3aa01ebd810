"""Payloads posted one by one over keep-alive connections."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from random import Random
from typing import Any

import aiohttp

from simulation.load.books import Books, Scheduled
from simulation.load.posting import deliver
from simulation.traffic.message import Message

Request = Callable[[Message[Any]], tuple[str, bytes]]  # what comes behind the path, and the body
BACKLOG = 20_000  # payloads waiting for a connection; more are dropped and counted, as k6 does


def as_body(message: Message[Any]) -> tuple[str, bytes]:
    """The payload is the body."""
    return "", message.body


class Singles:
    """A fixed number of connections, fed from one bounded queue."""

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
    ) -> None:
        self._http = http
        self._url = url + path
        self._request = request
        self._books = books
        self._connections = connections
        self._queue: asyncio.Queue[Scheduled | None] = asyncio.Queue(backlog)
        self._random = Random()

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
                await self._deliver(item)
            except asyncio.CancelledError:
                self._books.unknown(item)
                raise

    async def _deliver(self, item: Scheduled) -> None:
        suffix, body = self._request(item.message)
        headers = {"Idempotency-Key": item.message.key}
        if body:
            headers["Content-Type"] = "application/json"
        reply = await deliver(self._http, self._url + suffix, lambda: body, headers, self._books, self._random)
        # Booked only here, with nothing left to await: a cancellation in between would book it twice.
        if reply.status < 300:
            self._books.meter.replayed += reply.replayed
            self._books.acknowledged("single", item)
            return
        self._books.meter.error(str(reply.status), f"{reply.status} {reply.text[:300]}")
        if reply.status >= 500:
            self._books.unknown(item)
        else:
            self._books.rejected(item)
