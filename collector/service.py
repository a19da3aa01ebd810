"""What the endpoints work with: the store, the writers, the streams under way; and how all of it starts and ends."""

import asyncio
import contextlib
import itertools
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Protocol

import structlog

from collector import metrics
from collector.commit import Committer
from collector.endpoints import ENDPOINTS, PAYLOADS, Endpoint
from collector.errors import StoreDown, StoreError
from collector.migrate import migrations
from collector.queue import committer_of, consumer_of
from collector.settings import Settings
from collector.store.reading import Store
from collector.writer import Writer

log = structlog.get_logger()

HOUSEKEEPING_S = 600.0
WATCH_S = 30.0
"""Between two looks at the aggregates' refreshes: half of how often they are due."""


class Interruptible(Protocol):
    """A request that can be told to read no more."""

    def interrupt(self) -> None: ...


class Service:
    """One process's share of the collector.

    Single payloads have a writer, and so a connection, of their own for each endpoint: none waits for a stream's large
    batch, and a batch of one kind is one statement. Streams
    have two, so that one sends rows while the other waits for a commit; a stream stays with its writer.
    """

    def __init__(
        self,
        settings: Settings,
        url: str,
        *,
        clock: Callable[[], float] = time.time,
        recover: Callable[[], object] | None = None,
    ) -> None:
        self.settings = settings
        self.store = Store(url, settings.read_database_url)
        self.url = url
        self.recover = recover
        queued = committer_of(settings)
        self.singles = {
            endpoint.path: Writer(
                f"singles {endpoint.path}", url, settings, recover, queued if endpoint is PAYLOADS else Committer
            )
            for endpoint in ENDPOINTS
        }
        self._streams = [Writer(f"streams-{number}", url, settings, recover) for number in (1, 2)]
        self._next_streams = itertools.cycle(self._streams)
        # Of a table of the database the ordinary writers take care.
        self._queue_streams = None if queued is Committer else Writer("queue streams", url, settings, recover, queued)
        for endpoint in ENDPOINTS:  # at 0 from the beginning, so that a rate sees the first one, too
            for counter in (metrics.STORED, metrics.REPEATED):
                counter.labels(endpoint.path)
        self._consumer = consumer_of(settings) if settings.consume else None
        self.draining = False
        self._clock = clock
        self._schema = migrations()[-1].version
        self._open: set[Interruptible] = set()
        self._no_streams = asyncio.Event()
        self._no_streams.set()
        self._routine: list[asyncio.Task[None]] = []
        self._ending: asyncio.Task[None] | None = None

    def now_ms(self) -> int:
        """The moment of reception, epoch milliseconds."""
        return int(self._clock() * 1000)

    @property
    def _writers(self) -> list[Writer]:
        queue_streams = [self._queue_streams] if self._queue_streams is not None else []
        return [*self.singles.values(), *self._streams, *queue_streams]

    def writer_for_stream(self, endpoint: Endpoint | None = None) -> Writer:
        """The writer that a new stream is to use."""
        if endpoint is PAYLOADS and self._queue_streams is not None:
            return self._queue_streams
        return next(self._next_streams)

    async def start(self) -> None:
        """Begin to work; the database need not be there yet."""
        await self.store.open()
        for writer in self._writers:
            writer.start()
        self._routine = [asyncio.create_task(self._keep_house()), asyncio.create_task(self._keep_watch())]
        if self._consumer is not None:
            await self._consumer.start(self)

    @contextlib.contextmanager
    def open_stream(self, request: Interruptible) -> Iterator[None]:
        """The request is under way; a drain interrupts it."""
        self._open.add(request)
        self._no_streams.clear()
        if self.draining:
            request.interrupt()
        try:
            yield
        finally:
            self._open.discard(request)
            if not self._open:
                self._no_streams.set()

    def drain(self) -> None:
        """Begin to end, when the process is told to: streams end with a last receipt, and no new ones are read.

        The server waits for requests before it stops the service, so the bound on what they may take begins here.
        """
        if self.draining:
            return
        self.draining = True
        log.info("draining", streams=len(self._open))
        for request in list(self._open):
            request.interrupt()
        self._ending = asyncio.create_task(self._end())

    async def stop(self) -> None:
        """End within `drain_s`: what was taken in is stored and acknowledged, or given back."""
        self.drain()
        assert self._ending is not None
        await self._ending
        await self.store.close()

    async def _end(self) -> None:
        deadline = time.monotonic() + self.settings.drain_s
        consumer = self._consumer
        consumed = asyncio.create_task(consumer.stop(self.settings.drain_s)) if consumer is not None else None
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self.settings.drain_s):
                await self._no_streams.wait()
        for task in self._routine:
            task.cancel()
        left_s = max(0.5, deadline - time.monotonic())
        await asyncio.gather(*(writer.stop(left_s) for writer in self._writers))
        if consumed is not None:
            await consumed

    async def unready(self) -> list[str]:
        """Why nothing should be sent here; empty when all is well."""
        if self.draining:
            return ["shutting down"]
        try:
            async with asyncio.timeout(3):
                return await self.store.unfit(self._schema)
        except (StoreDown, TimeoutError) as exc:
            return [f"the database is away: {exc}"]

    async def look_at_aggregates(self) -> None:
        """Show when each was last refreshed. Raises StoreError."""
        for name, refreshed_at in (await self.store.refreshed_aggregates()).items():
            metrics.AGGREGATE_REFRESHED.labels(name).set(refreshed_at)

    async def _keep_watch(self) -> None:
        while True:
            with contextlib.suppress(StoreError):
                await self.look_at_aggregates()
            await asyncio.sleep(WATCH_S)

    async def _keep_house(self) -> None:
        settings = self.settings
        while True:
            await asyncio.sleep(HOUSEKEEPING_S)
            with contextlib.suppress(StoreError):
                gone = await self.store.forget_old(
                    keys=timedelta(hours=settings.key_retention_h),
                    tokens=timedelta(days=settings.token_retention_days),
                    rejected=timedelta(days=settings.rejected_retention_days),
                )
                log.info("housekeeping", keys=gone[0], tokens=gone[1], rejected=gone[2])
