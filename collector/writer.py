"""The writer: group commit of everything that waits, and acknowledgement after COMMIT, never before.

A writer is one task with one connection. While a transaction is under way the next batch gathers; so the more comes in,
the larger the batches. Whatever fails is tried again until it is stored, refused by the database for good, or given
back to the client.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable

import msgspec

from collector import background, metrics
from collector.acknowledge import give_back
from collector.batch import Backlog
from collector.commit import AWAY, UNKNOWN, Committer
from collector.endpoints import Endpoint
from collector.errors import StoreError, Unavailable
from collector.segment import Claim, Segment
from collector.settings import Settings

EXPIRE_EVERY_S = 0.25
LONGEST_SLEEP_S = 0.02
"""While a batch gathers: it may be full, or the end have come, before its age is reached."""
FREE_AFTER_S = 0.005
"""By then the database is at work on the next batch."""
RATE_WEIGHT = 0.2
"""Of the newest transaction in the moving average of rows a second."""

SHUTTING_DOWN = "the collector is shutting down; what it has not acknowledged was not stored"


class Writer:
    """Takes segments, stores them, and tells those who wait.

    `recover` is called, in a thread, when the database is away: it starts the private server again.
    """

    def __init__(
        self,
        name: str,
        url: str,
        settings: Settings,
        recover: Callable[[], object] | None = None,
        committer: type[Committer] = Committer,
    ) -> None:
        self.name = name
        self._settings = settings
        self._committer = committer(name, url, settings, recover, self.retry_after_s, self._measure)
        self._backlog = Backlog(settings.backlog_rows, settings.backlog_bytes)
        self._work = asyncio.Event()
        self._room = asyncio.Event()
        self._claims: dict[str, asyncio.Future[bool]] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._stopping = False
        self._rows_per_s = 0.0

    def start(self) -> None:
        """Begin to write."""
        metrics.BACKLOG_MAX_ROWS.labels(self.name).set(self._settings.backlog_rows)
        metrics.BACKLOG_MAX_BYTES.labels(self.name).set(self._settings.backlog_bytes)
        self._show_backlog()
        self._show_age()
        self._tasks = [
            background.run(self._run(), f"the writer {self.name}"),
            background.run(self._expire(), f"the deadlines of the writer {self.name}"),
        ]

    async def stop(self, timeout_s: float) -> None:
        """Write what waits, for `timeout_s` at most; what is left then is given back unstored."""
        self._stopping = True
        self._work.set()
        self._room.set()
        await asyncio.wait(self._tasks[:1], timeout=timeout_s)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        give_back(self._backlog.drop_all(), Unavailable(SHUTTING_DOWN, retry_after_s=1))
        with contextlib.suppress(StoreError):
            await self._committer.forget()

    def retry_after_s(self) -> int:
        """How long the backlog takes at the rate of late: whole seconds, 1 to 60."""
        return max(1, min(60, round(self._backlog.rows / self._rows_per_s))) if self._rows_per_s else 1

    # Producers

    async def put(self, segment: Segment) -> None:
        """Put a segment of a stream; waits while the backlog is full. Raises the source's failure."""
        source = segment.source
        assert source is not None
        while self._backlog.full and source.failure is None and not self._stopping:
            await self._wait_for_room()
        if source.failure is not None:
            raise source.failure
        if self._stopping:
            raise Unavailable(SHUTTING_DOWN, retry_after_s=1)
        metrics.of(metrics.RECEIVED, segment.endpoint).inc(segment.count)
        source.waiting += 1
        self._backlog.add(segment, time.monotonic())
        self._work.set()

    async def put_single(self, row: msgspec.Struct, size_bytes: int, endpoint: Endpoint, received_ms: int) -> None:
        """Store one payload, which had so many bytes; returns after its commit. Raises Unavailable, BadRequest where
        the database refuses it.
        """
        if self._backlog.full or self._stopping:
            await self._single_room(endpoint)
        waiter: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._backlog.add_single(row, size_bytes, endpoint.path, endpoint.table, received_ms, waiter, time.monotonic())
        self._work.set()
        await waiter

    async def put_claimed(
        self, row: msgspec.Struct, size_bytes: int, endpoint: Endpoint, received_ms: int, claim: Claim
    ) -> bool:
        """Store one payload once for its key; True where it was there before. Raises KeyReused, too."""
        deadline = time.monotonic() + self._settings.single_wait_s
        while (other := self._claims.get(claim.source)) is not None:
            done, _ = await asyncio.wait([other], timeout=max(0.0, deadline - time.monotonic()))
            if not done:
                metrics.of(metrics.REJECTED, endpoint.path, "unavailable").inc()
                raise Unavailable(UNKNOWN, retry_after_s=self.retry_after_s())
        waiter: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._claims[claim.source] = waiter
        try:
            if self._backlog.full or self._stopping:
                await self._single_room(endpoint)
            segment = Segment(None, endpoint.path, received_ms, [row], table=endpoint.table)
            segment.claim, segment.waiters, segment.singles_bytes = claim, [waiter], size_bytes
            self._backlog.add(segment, time.monotonic())
            self._work.set()
            return await waiter
        finally:
            del self._claims[claim.source]
            waiter.cancel()

    async def _single_room(self, endpoint: Endpoint) -> None:
        problem = Unavailable(SHUTTING_DOWN, retry_after_s=1)
        try:
            async with asyncio.timeout(self._settings.single_wait_s):
                while self._backlog.full and not self._stopping:
                    await self._wait_for_room()
        except TimeoutError:
            problem = Unavailable(AWAY, retry_after_s=self.retry_after_s())
        if self._backlog.full or self._stopping:
            metrics.of(metrics.REJECTED, endpoint.path, "unavailable").inc()
            raise problem

    async def _wait_for_room(self) -> None:
        self._room.clear()
        await self._room.wait()

    # Writing

    async def _run(self) -> None:
        settings = self._settings
        while True:
            oldest_at = self._backlog.oldest_at
            if oldest_at is None:
                if self._stopping:
                    return
                self._work.clear()
                await self._work.wait()
                continue
            wait_s = oldest_at + settings.batch_age_ms / 1000 - time.monotonic()
            if (
                wait_s > 0
                and not self._stopping
                and not self._backlog.reaches(settings.batch_rows, settings.batch_bytes)
            ):
                await asyncio.sleep(min(wait_s, LONGEST_SLEEP_S))
                continue
            batch = self._backlog.take(settings.batch_rows, settings.batch_bytes)
            self._show_backlog()
            try:
                await self._committer.commit(batch)
            finally:
                self._backlog.release(batch)
                # To free a large batch takes milliseconds, which the next one is not to wait for.
                asyncio.get_running_loop().call_later(FREE_AFTER_S, batch.clear)
                self._show_backlog()
                self._room.set()

    async def _expire(self) -> None:
        """Give back single payloads that have waited for too long while a transaction is under way; those of the
        transaction itself are told that nobody knows.
        """
        while True:
            await asyncio.sleep(EXPIRE_EVERY_S)
            self._committer.tell_overdue()
            retry_after_s = self.retry_after_s()  # with those that are given back: they will come again
            overdue = self._backlog.expire(time.monotonic() - self._settings.single_wait_s)
            if overdue:
                give_back(overdue, Unavailable(AWAY, retry_after_s=retry_after_s))
                self._room.set()
            self._show_backlog()  # it grows while a transaction is under way
            self._show_age()

    def _measure(self, rows: int, took_s: float) -> None:
        metrics.BATCHES.labels(self.name).inc()
        metrics.BATCH_ROWS.labels(self.name).observe(rows)
        metrics.COMMIT_SECONDS.labels(self.name).observe(took_s)
        self._rows_per_s += RATE_WEIGHT * (rows / max(took_s, 1e-6) - self._rows_per_s)

    def _show_age(self) -> None:
        oldest_at = self._committer.oldest_at or self._backlog.oldest_at
        age_s = 0.0 if oldest_at is None else time.monotonic() - oldest_at
        metrics.BACKLOG_OLDEST.labels(self.name).set(age_s)

    def _show_backlog(self) -> None:
        rows, size_bytes = self._backlog.rows, self._backlog.bytes
        metrics.BACKLOG_ROWS.labels(self.name).set(rows)
        metrics.BACKLOG_BYTES.labels(self.name).set(size_bytes)
        full = max(rows / self._settings.backlog_rows, size_bytes / self._settings.backlog_bytes)
        metrics.BACKLOG_FULL.labels(self.name).set(full)
