"""What the endpoints work with: the store, the writers, the streams under way; and how all of it starts and ends."""

import asyncio
import contextlib
import itertools
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Protocol

import structlog

from collector import background, metrics
from collector.access.guard import Guard
from collector.commit import Committer
from collector.endpoints import ENDPOINTS, PAYLOADS, Endpoint
from collector.errors import StoreError
from collector.http.patience import LOOK_EVERY_S, Patience
from collector.migrate import migrations
from collector.pulse import Pulse
from collector.queue import committer_of, consumer_of, gauge_of
from collector.queue.lag import watch
from collector.readiness import Readiness
from collector.recent import Recent
from collector.report.model import CpuReport
from collector.report.question import Question
from collector.settings import Settings
from collector.store.housekeeping import keep_house
from collector.store.pool import POOL_MAX
from collector.store.reading import Store
from collector.writer import Writer

if TYPE_CHECKING:
    from collector.report.making import Reports

log = structlog.get_logger()

HOUSEKEEPING_S = 600.0
"""At most; four times while a key is remembered, if that is shorter."""
RECENT_REPORT_S = 60.0
"""For so long the report that the built-in page begins with is not made again: it is of hours, and takes a second."""
RECENT_REPORT_WAIT_S = 1.0
"""What the rest of the page waits for it, the first time."""
REFRESH_S = 60.0
"""Between two refreshes of what the report reads: what comes in within it is added up while a reader waits."""
WATCH_S = 30.0
"""Between two looks at the aggregates' refreshes: half of how often they are due."""

CONNECTIONS_TO_DATABASE = len(ENDPOINTS) + 2 + (2 * POOL_MAX + 1) + 5
"""Of a process, at most: a writer for each endpoint's single messages and two for streams; three pools, of which one
has a single connection; readiness, keys, whoever ends what has stalled, housekeeping, and the queue: its table's
consumer, or Kafka's writer.
"""
COUNT_S = 10.0
"""Between two counts of connections, each of which takes some ten milliseconds where there are thousands."""


class Stream(Protocol):
    """A request that goes on, and can be told to read no more."""

    caller: str
    """The id of its API key, if it has one."""

    @property
    def source_name(self) -> str | None:
        """The source in `progress` that it holds, if any."""

    def interrupt(self) -> None:
        """The process is to end."""

    def revoke(self) -> None:
        """The API key is no more."""

    def look(self, now: float) -> None:
        """End if the client has taken too long."""


class Service:
    """One process's share of the collector.

    `connections` counts those that clients have to this process.

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
        connections: Callable[[], int] | None = None,
    ) -> None:
        self.settings = settings
        self.store = Store(url, settings.read_database_url)
        self.url = url
        self.recover = recover
        self._connections = connections
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
        self.leaving = False
        self.pulse = Pulse()
        self.draining = False
        self._clock = clock
        self._reports: Reports | None = None
        self._readiness = Readiness(url, migrations()[-1].version)
        self.patience = Patience(settings.line_s)
        self.guard = Guard(url, self._revoke) if settings.api_keys == "on" else None
        self._open: set[Stream] = set()
        self.recent_report = Recent(
            lambda: self.cpu_report(Question()), keep_s=RECENT_REPORT_S, wait_s=RECENT_REPORT_WAIT_S
        )
        self._no_streams = asyncio.Event()
        self._no_streams.set()
        self._tasks: list[asyncio.Task[None]] = []
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
        self._tasks = [
            background.run(self._keep_house(), "housekeeping"),
            background.run(self._keep_sums(), "the report's sums"),
            background.run(self._keep_watch(), "the watch over aggregates"),
            background.run(self._look(), "deadlines"),
            background.run(watch(gauge_of(self.settings, self.store)), "the watch over the queue"),
        ]
        if self._connections is not None:
            self._tasks.append(background.run(self._count(self._connections), "the count of connections"))
        if self.guard is not None:
            self.guard.start()
        self.pulse.start()
        metrics.CONSUMERS.set(0 if self._consumer is None else 1)
        if self._consumer is not None:
            await self._consumer.start(self)

    @contextlib.contextmanager
    def open_stream(self, request: Stream) -> Iterator[None]:
        """The request is under way; a drain interrupts it."""
        self._open.add(request)
        self._no_streams.clear()
        if self.leaving:
            request.interrupt()
        try:
            yield
        finally:
            self._open.discard(request)
            if not self._open:
                self._no_streams.set()

    def leave(self) -> None:
        """The process is to end: it is not ready any more, streams end with a last receipt, and no new ones are read.
        Single messages are still served.
        """
        if self.leaving:
            return
        self.leaving = True
        log.info("draining", streams=len(self._open))
        for request in list(self._open):
            request.interrupt()

    def drain(self) -> asyncio.Task[None]:
        """Begin to end; returns the task that is done when all that was taken in is settled.

        The server waits for requests before it stops the service, so the bound on what they may take begins here.
        """
        if self._ending is not None:
            return self._ending
        self.leave()
        self.draining = True
        self.patience.drain()
        self._ending = asyncio.create_task(self._end())
        return self._ending

    async def stop(self) -> None:
        """End within `drain_s`: what was taken in is stored and acknowledged, or given back."""
        await self.drain()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self.pulse.stop()
        self.recent_report.stop()
        if self.guard is not None:
            await self.guard.stop()
        await self._readiness.close()
        await self.store.close()

    async def _end(self) -> None:
        deadline = time.monotonic() + self.settings.drain_s
        consumer = self._consumer
        metrics.CONSUMERS.set(0)
        consumed = asyncio.create_task(consumer.stop(self.settings.drain_s)) if consumer is not None else None
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self.settings.drain_s):
                await self._no_streams.wait()
                await self.patience.gone()
        left_s = max(0.5, deadline - time.monotonic())
        await asyncio.gather(*(writer.stop(left_s) for writer in self._writers))
        if consumed is not None:
            await consumed

    async def cpu_report(self, question: Question) -> CpuReport:
        """Raises Unavailable, StoreError. What it computes with takes 13 MiB, and is there from the first report on."""
        if self._reports is None:
            reports = await asyncio.to_thread(_reports)
            self._reports = self._reports or reports(self.store.cpu_refresh, self.store.cpu, self._clock)
        return await self._reports.cpu(question)

    async def unready(self) -> list[str]:
        """Why nothing should be sent here; empty when all is well."""
        if self.leaving:
            return ["shutting down"]
        return background.ended() or await self._readiness.unready()

    def _revoke(self, callers: set[str]) -> None:
        """These API keys are no more: neither are the streams that came with them."""
        for request in list(self._open):
            if request.caller in callers:
                request.revoke()

    async def _look(self) -> None:
        """End requests whose clients take too long."""
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            now = time.monotonic()
            self.patience.look(now)
            for request in list(self._open):
                request.look(now)

    async def _count(self, connections: Callable[[], int]) -> None:
        """Show how many clients are connected."""
        metrics.CONNECTIONS_MAX.set(self.settings.connections)
        while True:
            metrics.CONNECTIONS.set(await asyncio.to_thread(connections))
            await asyncio.sleep(COUNT_S)

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
        while True:
            await asyncio.sleep(min(HOUSEKEEPING_S, self.settings.key_retention_h * 3600 / 4))
            with contextlib.suppress(StoreError):
                held = {request.source_name for request in self._open if request.source_name is not None}
                if held:  # their keys are in use, however long they have sent nothing
                    await self.store.keep(held)
                gone = await keep_house(self.url)
                if gone is not None:
                    log.info("housekeeping", **gone)

    async def _keep_sums(self) -> None:
        while True:
            await asyncio.sleep(REFRESH_S)
            with contextlib.suppress(StoreError):
                await self.store.cpu_refresh.keep_up()


def _reports() -> "type[Reports]":
    from collector.report.making import Reports

    return Reports
