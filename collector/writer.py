"""The writer: group commit of everything that waits, and acknowledgement after COMMIT, never before.

A writer is one task with one connection. While a transaction is under way the next batch gathers; so the more comes in,
the larger the batches. Whatever fails is tried again until it is stored, refused by the database for good, or given
back to the client.
"""

import asyncio
import contextlib
import random
import time
import uuid
from collections.abc import Callable

import msgspec
import structlog

from collector import metrics
from collector.acknowledge import acknowledge, give_back, tell
from collector.batch import Backlog, Claim, Segment
from collector.endpoints import Endpoint
from collector.errors import (
    BadRequest,
    CommitUnknown,
    Problem,
    RowRefused,
    StoreDown,
    StoreError,
    Unavailable,
    WriterFenced,
)
from collector.settings import Settings
from collector.store.session import WriterSession
from collector.store.transaction import Outcome

log = structlog.get_logger()

BACKOFF_FIRST_S = 0.05
BACKOFF_MAX_S = 1.0
"""Between two tries while the database is away: soon enough to go on within a second or two of its return."""
EXPIRE_EVERY_S = 0.25
LONGEST_SLEEP_S = 0.02
"""While a batch gathers: it may be full, or the end have come, before its age is reached."""
RATE_WEIGHT = 0.2
"""Of the newest transaction in the moving average of rows a second."""

SHUTTING_DOWN = "the collector is shutting down; what it has not acknowledged was not stored"
AWAY = "the database is away or does not keep up; this was not stored"
UNKNOWN = "the database does not answer: whether this was stored is not known; repeat it with its Idempotency-Key"


class Writer:
    """Takes segments, stores them, and tells those who wait.

    `recover` is called, in a thread, when the database is away: it starts the private server again.
    """

    def __init__(self, name: str, url: str, settings: Settings, recover: Callable[[], object] | None = None) -> None:
        self.name = name
        self._settings = settings
        self._recover = recover
        self._session = WriterSession(url, f"writer {uuid.uuid4()}")
        self._backlog = Backlog(settings.backlog_rows, settings.backlog_bytes)
        self._work = asyncio.Event()
        self._room = asyncio.Event()
        self._writing: list[Segment] = []
        """Of the transaction under way."""
        self._claims: dict[str, asyncio.Future[bool]] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._stopping = False
        self._rows_per_s = 0.0

    def start(self) -> None:
        """Begin to write."""
        self._tasks = [asyncio.create_task(self._run()), asyncio.create_task(self._expire())]

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
            await self._session.forget()

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
        metrics.RECEIVED.labels(segment.endpoint).inc(segment.count)
        source.waiting += 1
        self._backlog.add(segment, time.monotonic())
        self._work.set()

    async def put_single(self, row: msgspec.Struct, endpoint: Endpoint, received_ms: int) -> None:
        """Store one payload; returns after its commit. Raises Unavailable, BadRequest where the database refuses it."""
        if self._backlog.full or self._stopping:
            await self._single_room(endpoint)
        waiter: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._backlog.add_single(row, endpoint.path, endpoint.table, received_ms, waiter, time.monotonic())
        self._work.set()
        await waiter

    async def put_claimed(self, row: msgspec.Struct, endpoint: Endpoint, received_ms: int, claim: Claim) -> bool:
        """Store one payload once for its key; True where it was there before. Raises KeyReused, too."""
        deadline = time.monotonic() + self._settings.single_wait_s
        while (other := self._claims.get(claim.source)) is not None:
            done, _ = await asyncio.wait([other], timeout=max(0.0, deadline - time.monotonic()))
            if not done:
                metrics.REJECTED.labels(endpoint.path, "unavailable").inc()
                raise Unavailable(UNKNOWN, retry_after_s=self.retry_after_s())
        waiter: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._claims[claim.source] = waiter
        try:
            if self._backlog.full or self._stopping:
                await self._single_room(endpoint)
            segment = Segment(None, endpoint.path, received_ms, [row], table=endpoint.table)
            segment.claim, segment.waiters = claim, [waiter]
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
            metrics.REJECTED.labels(endpoint.path, "unavailable").inc()
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
            self._writing = list(batch)
            try:
                await self._commit(list(batch))
            except asyncio.CancelledError:
                give_back(self._writing, Unavailable(UNKNOWN, retry_after_s=1))
                raise
            except Exception:
                log.exception("batch given up", writer=self.name)
                give_back(self._writing, Unavailable(UNKNOWN, retry_after_s=1))
            finally:
                self._writing = []
                self._backlog.release(batch)
                self._show_backlog()
                self._room.set()

    async def _commit(self, segments: list[Segment]) -> None:
        """Store the segments, or what of them the database does not refuse: found by halving."""
        try:
            outcome = await self._stored_once(segments)
        except RowRefused as exc:
            if len(segments) > 1:
                halves = [segments[: len(segments) // 2], segments[len(segments) // 2 :]]
            else:
                halves = [[part] for part in segments[0].halves()]
            if len(halves) == 1:
                await self._refuse(segments[0], str(exc))
                return
            if len(segments) == 1:
                self._replace(segments[0], [part for half in halves for part in half])
            for half in halves:
                await self._commit(half)
            return
        acknowledge(segments, outcome)
        self._settle(segments)

    def _replace(self, segment: Segment, parts: list[Segment]) -> None:
        """The segment is being written as these parts."""
        self._settle([segment])
        self._writing += parts
        if segment.source is not None:
            segment.source.waiting += len(parts) - 1

    def _give_back(self, segments: list[Segment], problem: Problem, reason: str = "unavailable") -> None:
        self._settle(segments)
        give_back(segments, problem, reason)

    def _settle(self, segments: list[Segment]) -> None:
        settled = set(map(id, segments))
        self._writing = [segment for segment in self._writing if id(segment) not in settled]

    async def _refuse(self, segment: Segment, why: str) -> None:
        """A row that the database does not take: a line goes to quarantine, a single payload back to its client."""
        log.warning("row refused by the database", source=segment.source and segment.source.name, why=why)
        if segment.source is not None and segment.rows:
            rejected = segment.refused(why)
            self._replace(segment, [rejected])
            await self._commit([rejected])
        elif segment.source is not None:  # not for its rows: there are none
            self._give_back([segment], Unavailable(UNKNOWN, retry_after_s=1))
        else:
            self._give_back([segment], BadRequest(f"the database refuses this payload: {why}"), reason="refused")

    async def _stored_once(self, segments: list[Segment]) -> Outcome:
        """One transaction, tried until it commits; overdue single payloads leave it on the way. Raises RowRefused."""
        backoff_s = BACKOFF_FIRST_S
        after_gap = [segment for segment in segments if segment.source is not None and segment.source.gap]
        for segment in after_gap:
            segments.remove(segment)
        self._give_back(after_gap, Unavailable(UNKNOWN, retry_after_s=1))
        while segments:
            began_at = time.monotonic()
            try:
                found: Outcome | None = await self._session.write(segments)
            except RowRefused:
                raise
            except CommitUnknown as exc:
                self._note_retry(exc)
                found = await self._settled(segments)
            except StoreError as exc:
                self._note_retry(exc)
                backoff_s = await self._back_off(exc, backoff_s)
                found = None
            if found is not None:
                self._measure(segments, time.monotonic() - began_at)
                return found
            self._give_back_overdue(segments)
        return Outcome()

    async def _settled(self, segments: list[Segment]) -> Outcome | None:
        """What a transaction found whose COMMIT was cut; None if it did not happen. Single payloads wait for it for a
        while only.
        """
        backoff_s = BACKOFF_FIRST_S
        while True:
            try:
                return await self._session.settle()
            except WriterFenced:
                self._give_back(segments, Unavailable(UNKNOWN, retry_after_s=1))
                segments.clear()
                return None
            except StoreDown as exc:
                backoff_s = await self._back_off(exc, backoff_s)
                for segment in self._overdue(segments):
                    tell(segment, Unavailable(UNKNOWN, retry_after_s=self.retry_after_s()))

    async def _back_off(self, exc: StoreError, backoff_s: float) -> float:
        if isinstance(exc, StoreDown) and self._recover is not None:
            try:
                await asyncio.to_thread(self._recover)
            except Exception as error:
                log.warning("the private server did not start", why=str(error))
        await asyncio.sleep(backoff_s * random.uniform(0.5, 1.0))  # noqa: S311 (spreads retries)
        return min(BACKOFF_MAX_S, backoff_s * 2)

    def _note_retry(self, exc: StoreError) -> None:
        metrics.RETRIES.labels(self.name, type(exc).__name__).inc()
        log.warning("transaction failed, trying again", writer=self.name, kind=type(exc).__name__, why=str(exc))

    def _overdue(self, segments: list[Segment]) -> list[Segment]:
        put_before = time.monotonic() - self._settings.single_wait_s
        return [segment for segment in segments if segment.waiters and segment.put_at < put_before]

    def _give_back_overdue(self, segments: list[Segment]) -> None:
        for segment in self._overdue(segments):
            segments.remove(segment)
            self._give_back([segment], Unavailable(AWAY, retry_after_s=self.retry_after_s()))

    async def _expire(self) -> None:
        """Give back single payloads that have waited for too long while a transaction is under way; those of the
        transaction itself are told that nobody knows.
        """
        while True:
            await asyncio.sleep(EXPIRE_EVERY_S)
            overdue = self._backlog.expire(time.monotonic() - self._settings.single_wait_s)
            if overdue:
                give_back(overdue, Unavailable(AWAY, retry_after_s=self.retry_after_s()))
                self._show_backlog()
                self._room.set()
            for segment in self._overdue(self._writing):
                tell(segment, Unavailable(UNKNOWN, retry_after_s=self.retry_after_s()))

    def _measure(self, segments: list[Segment], took_s: float) -> None:
        rows = sum(segment.count for segment in segments)
        metrics.BATCHES.labels(self.name).inc()
        metrics.BATCH_ROWS.labels(self.name).observe(rows)
        metrics.COMMIT_SECONDS.labels(self.name).observe(took_s)
        self._rows_per_s += RATE_WEIGHT * (rows / max(took_s, 1e-6) - self._rows_per_s)

    def _show_backlog(self) -> None:
        metrics.BACKLOG_ROWS.labels(self.name).set(self._backlog.rows)
        metrics.BACKLOG_BYTES.labels(self.name).set(self._backlog.bytes)
