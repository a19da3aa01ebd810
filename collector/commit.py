"""A batch on its way into the database: tried until it is stored, refused for good, or given back to the client."""

import asyncio
import random
import time
import uuid
from collections.abc import Callable

import structlog

from collector import metrics
from collector.acknowledge import acknowledge, give_back, tell
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
from collector.recovery import recover_from
from collector.segment import Segment
from collector.settings import Settings
from collector.store.session import WriterSession
from collector.store.transaction import Outcome

log = structlog.get_logger()

BACKOFF_FIRST_S = 0.05
BACKOFF_MAX_S = 1.0
"""Between two tries while the database is away: soon enough to go on within a second or two of its return."""

AWAY = "the database is away or does not keep up; this was not stored"
UNKNOWN = "the database does not answer: whether this was stored is not known; repeat it with its Idempotency-Key"


class Committer:
    """Commits one batch after the other on a connection of its own.

    `recover` is called, in a thread, when the database is away: it starts the private server again. `retry_after_s`
    says how long clients should wait; `measure` is told the rows of a transaction and how long it took.
    """

    def __init__(
        self,
        name: str,
        url: str,
        settings: Settings,
        recover: Callable[[], object] | None,
        retry_after_s: Callable[[], int],
        measure: Callable[[int, float], None],
    ) -> None:
        self._name = name
        self._settings = settings
        self._recover = recover
        self._retry_after_s = retry_after_s
        self._measure = measure
        self._session = WriterSession(url, f"writer {uuid.uuid4()}")
        self._writing: list[Segment] = []
        """Of the batch under way, what is not settled."""

    async def commit(self, segments: list[Segment]) -> None:
        """Store the segments and tell those who wait; whatever happens, each is settled in the end."""
        self._writing = list(segments)
        try:
            await self._commit(await self._prepare(list(segments)))
        except asyncio.CancelledError:
            give_back(self._writing, Unavailable(UNKNOWN, retry_after_s=1))
            raise
        except Exception:
            log.exception("batch given up", writer=self._name)
            give_back(self._writing, Unavailable(UNKNOWN, retry_after_s=1))
        finally:
            self._writing = []

    @property
    def oldest_at(self) -> float | None:
        """When the first segment of the batch under way was put; None where none is."""
        return self._writing[0].put_at if self._writing else None

    def tell_overdue(self) -> None:
        """Single messages of the batch under way that have waited for too long: nobody knows."""
        for segment in self._overdue(self._writing):
            tell(segment, Unavailable(UNKNOWN, retry_after_s=self._retry_after_s()))

    async def forget(self) -> None:
        """A clean end. Raises StoreError."""
        await self._session.forget()

    async def _prepare(self, segments: list[Segment]) -> list[Segment]:
        """What goes before the transaction, here nothing; returns the segments that are left for it."""
        return segments

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
        self._give_back_after_gap(segments)
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
                self._measure(sum(segment.count for segment in segments), time.monotonic() - began_at)
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
                    tell(segment, Unavailable(UNKNOWN, retry_after_s=self._retry_after_s()))

    async def _back_off(self, exc: StoreError, backoff_s: float) -> float:
        await recover_from(exc, self._recover)
        await asyncio.sleep(backoff_s * random.uniform(0.5, 1.0))  # noqa: S311 (spreads retries)
        return min(BACKOFF_MAX_S, backoff_s * 2)

    def _note_retry(self, exc: StoreError) -> None:
        metrics.RETRIES.labels(self._name, type(exc).__name__).inc()
        log.warning("transaction failed, trying again", writer=self._name, kind=type(exc).__name__, why=str(exc))

    def _overdue(self, segments: list[Segment]) -> list[Segment]:
        put_before = time.monotonic() - self._settings.single_wait_s
        return [segment for segment in segments if segment.waiters and segment.put_at < put_before]

    def _give_back_after_gap(self, segments: list[Segment]) -> None:
        after_gap = [segment for segment in segments if segment.source is not None and segment.source.gap]
        for segment in after_gap:
            segments.remove(segment)
        self._give_back(after_gap, Unavailable(UNKNOWN, retry_after_s=1))

    def _give_back_overdue(self, segments: list[Segment]) -> None:
        for segment in self._overdue(segments):
            segments.remove(segment)
            self._give_back([segment], Unavailable(AWAY, retry_after_s=self._retry_after_s()))
