"""Payloads posted one by one over keep-alive connections."""

from __future__ import annotations

import asyncio
from random import Random

import aiohttp

from simulation.books import Books, Scheduled
from simulation.retry import CUT, RETRIED_STATUS, Again, kind_of, pause_s, retry_after_s

ENDPOINT = "/stats"
REQUEST_S = 30.0  # an answer that takes longer is given up, and the request repeated under its key
BACKLOG = 20_000  # payloads waiting for a connection; more are dropped and counted, as k6 does


class Singles:
    """A fixed number of connections, fed from one bounded queue."""

    def __init__(
        self, http: aiohttp.ClientSession, url: str, books: Books, connections: int, backlog: int = BACKLOG
    ) -> None:
        self._http = http
        self._url = url + ENDPOINT
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
        failures = 0
        while True:
            try:
                return await self._post(item)
            except (*CUT, Again) as error:
                self._books.retry(kind_of(error))
                after_s = error.after_s if isinstance(error, Again) else None
                await asyncio.sleep(pause_s(self._random, failures, after_s))
                failures += 1

    async def _post(self, item: Scheduled) -> None:
        """One attempt. Raises Again, or what aiohttp raises, where another one may follow."""
        headers = {"Content-Type": "application/json", "Idempotency-Key": item.message.key}
        timeout = aiohttp.ClientTimeout(total=REQUEST_S)
        async with self._http.post(self._url, data=item.message.body, headers=headers, timeout=timeout) as response:
            if response.status in RETRIED_STATUS:
                raise Again(str(response.status), retry_after_s(response))
            detail = "" if response.status < 300 else (await response.text(errors="replace"))[:300]
        # Booked only here, with nothing left to await: a cancellation in between would book it twice.
        if response.status < 300:
            self._books.meter.replayed += "Idempotent-Replayed" in response.headers
            self._books.acknowledged("single", item)
            return
        self._books.meter.error(str(response.status), f"{response.status} {detail}")
        if response.status >= 500:
            self._books.unknown(item)
        else:
            self._books.rejected(item)
