"""The way into a Kafka topic: a writer's batch is delivered, and then what the database must know of it is committed.

Nothing is acknowledged before the brokers have every record of it on all replicas that are in sync. What has a key, or
rejected lines, needs the database, too: the progress of the key moves after the delivery. A client that repeats a
request whose progress did not move puts its lines into the topic again, and the consumer leaves them out
(`store.queue.write_from_topic`); for this the order within a source and partition must have no gaps, so records never
expire one by one: after a failure the whole producer is thrown away with what it has not sent.
"""

import asyncio
import functools
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import structlog
from confluent_kafka import KafkaError, KafkaException, Producer

from collector.acknowledge import acknowledge
from collector.commit import BACKOFF_FIRST_S, Committer
from collector.errors import StoreError, Unavailable
from collector.progress import Progress
from collector.queue.options import kafka_options
from collector.queue.records import Record, records_of
from collector.segment import Segment
from collector.settings import Settings
from collector.store.queue import TOPIC
from collector.store.transaction import Outcome

log = structlog.get_logger()

Answer = TypeVar("Answer")

SLICE_S = 0.25
"""How soon a thread that waits for the brokers sees that it is to end."""
CREATION_S = 3.0
"""How long a missing topic may take to appear: where brokers create topics by themselves, they do it when asked."""

AWAY = "the queue's brokers are away; this was not stored"
UNKNOWN = "the queue's brokers do not answer: whether this was stored is not known; repeat it with its Idempotency-Key"


class TopicProducer:
    """Sends records; for one thread at a time."""

    def __init__(self, settings: Settings) -> None:
        self._topic = settings.kafka_topic
        self._configuration: dict[str, Any] = {
            **kafka_options(settings),
            "bootstrap.servers": settings.kafka_bootstrap,
            "client.id": "collector",
            "acks": "all",
            "enable.idempotence": True,
            "compression.type": "lz4",
            "partitioner": "murmur2_random",  # as other languages' clients choose
            "linger.ms": 5,  # of no matter for the end of a batch: a flush does not linger
            "message.timeout.ms": 0,  # see above: the time is ours to take
            "queue.buffering.max.messages": max(100_000, 2 * settings.batch_rows),
            "log_level": 0,
            "error_cb": self._note,
        }
        self._producer: Producer | None = None
        self._known = False
        """The topic is there."""
        self._failures: list[KafkaError] = []
        self._said = ""
        self.aborted = False

    def send(self, records: list[Record], wait_s: float) -> None:
        """Deliver all of the records, within a time. Raises Unavailable."""
        deadline = time.monotonic() + wait_s
        producer = self._ready(deadline)
        self._failures.clear()
        try:
            for key, value, headers in records:
                self._produce(producer, key, value, headers, deadline)
            while producer.flush(SLICE_S):
                self._check(deadline)
            self._check(deadline)
        except BaseException:
            self.discard()
            raise

    def discard(self) -> None:
        """Throw away what was not sent."""
        producer, self._producer, self._known = self._producer, None, False
        if producer is not None:
            producer.purge()
            producer.flush(0)

    def _produce(self, producer: Producer, key: str, value: bytes, headers: Any, deadline: float) -> None:
        while True:
            try:
                producer.produce(self._topic, value, key, headers=headers, on_delivery=self._delivered)
            except BufferError:
                producer.poll(SLICE_S)
                self._check(deadline)
            except KafkaException as exc:
                raise Unavailable(f"the queue's brokers refuse: {exc.args[0].str()}", retry_after_s=1) from exc
            else:
                return

    def _check(self, deadline: float) -> None:
        """Raises Unavailable where there is nothing left to wait for."""
        if self._failures:
            raise Unavailable(f"the queue's brokers refuse: {self._failures[0].str()}", retry_after_s=1)
        if self.aborted or time.monotonic() > deadline:
            raise Unavailable(UNKNOWN, retry_after_s=1)

    def _ready(self, deadline: float) -> Producer:
        """The producer, once the topic is known to be there; until then nothing is sent."""
        if self._producer is None:
            self._producer = Producer(self._configuration)
        producer = self._producer  # a drain may throw it away meanwhile
        missing_at: float | None = None
        while not self._known:
            now = time.monotonic()
            try:
                listed = producer.list_topics(self._topic, timeout=max(0.1, min(SLICE_S * 4, deadline - now)))
                found = listed.topics[self._topic]
            except KafkaException as exc:
                if self.aborted or time.monotonic() > deadline:
                    raise Unavailable(AWAY, retry_after_s=1) from exc
                continue
            if found.error is None and found.partitions:
                self._known = True
                break
            missing_at = missing_at or now
            if self.aborted or time.monotonic() > min(deadline, missing_at + CREATION_S):
                why = found.error.str() if found.error is not None else "it has no partitions"
                raise Unavailable(f"the queue's topic {self._topic!r} cannot be used: {why}", retry_after_s=5)
            time.sleep(SLICE_S / 2)
        return producer

    def _delivered(self, error: KafkaError | None, _: object) -> None:
        if error is not None:
            self._failures.append(error)

    def _note(self, error: KafkaError) -> None:
        """What the client finds out by itself; it goes on trying."""
        if error.str() != self._said:
            self._said = error.str()
            log.warning("kafka", why=self._said)


class TopicCommitter(Committer):
    """Commits batches to the topic; what has a key or rejected lines goes on into the database."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._producer = TopicProducer(self._settings)

    async def forget(self) -> None:
        """A clean end. Raises StoreError."""
        self._producer.aborted = True
        await asyncio.to_thread(self._producer.discard)
        await super().forget()

    async def _prepare(self, segments: list[Segment]) -> list[Segment]:
        for segment in segments:
            segment.table = TOPIC
        self._give_back_after_gap(segments)
        left = await self._delivered([segment for segment in segments if not _keyed(segment)])
        keyed = [segment for segment in segments if _keyed(segment)]
        if keyed:
            left += await self._delivered(await self._new(keyed))
        return left

    async def _new(self, keyed: list[Segment]) -> list[Segment]:
        """Of segments with keys those that may be delivered: not repeats, nor streams that another request has taken
        over. The key of a single payload is first taken for its content: what is in the topic cannot be taken back.
        """
        streams = [segment for segment in keyed if segment.claim is None]
        singles = [segment for segment in keyed if segment.claim is not None]
        new: list[Segment] = []
        unknown: dict[str, Progress] = {}
        while singles:  # until none of them is in the hands of another request
            claims = [segment.claim for segment in singles if segment.claim is not None]
            nobody: set[str] = set()
            reserved = await self._asked(singles, functools.partial(self._session.reserve, claims), nobody)
            new += [segment for segment in singles if _name(segment) in reserved]
            rest = [segment for segment in singles if _name(segment) not in reserved]
            found = await self._asked(rest, functools.partial(self._session.find, set(map(_name, rest))), unknown)
            singles = [segment for segment in rest if _is_reserved(found.get(_name(segment)), segment)]
            self._tell_repeats([segment for segment in rest if segment not in singles], found)
            if singles:
                await asyncio.sleep(BACKOFF_FIRST_S)
                self._give_back_overdue(singles)
        found = await self._asked(streams, functools.partial(self._session.find, set(map(_name, streams))), unknown)
        for segment in streams:
            assert segment.source is not None
            known = found.get(segment.source.name)
            if known is None or known.owner != segment.source.owner:
                acknowledge([segment], Outcome(fenced={(segment.source.name, segment.source.owner)}))
                self._settle([segment])
            else:
                new.append(segment)
        return new

    def _tell_repeats(self, singles: list[Segment], found: dict[str, Progress]) -> None:
        for segment in singles:
            known = found.get(_name(segment))
            if known is not None:
                digest = known.digest if known.complete else b""
                acknowledge([segment], Outcome(repeats={known.source: digest}))
                self._settle([segment])
            else:  # forgotten just now, by housekeeping
                self._give_back([segment], Unavailable(UNKNOWN, retry_after_s=1))

    async def _asked(
        self, segments: list[Segment], question: Callable[[], Awaitable[Answer]], nothing: Answer
    ) -> Answer:
        """What the database says to the question about the segments, however long it is away; those that wait for too
        long leave them, and of none at all it says nothing.
        """
        backoff_s = BACKOFF_FIRST_S
        while segments:
            try:
                return await question()
            except StoreError as exc:
                self._note_retry(exc)
                backoff_s = await self._back_off(exc, backoff_s)
                self._give_back_overdue(segments)
        return nothing

    async def _delivered(self, segments: list[Segment]) -> list[Segment]:
        """Deliver the segments; gives back those for the database, and acknowledges the others."""
        records = [record for segment in segments for record in records_of(segment)]
        began_at = time.monotonic()
        if records:
            sending = asyncio.to_thread(self._producer.send, records, self._settings.single_wait_s)
            try:
                await sending
            except asyncio.CancelledError:
                self._producer.aborted = True
                raise
            except Unavailable as exc:
                retry_after_s = max(self._retry_after_s(), exc.retry_after_s or 1)
                self._give_back(segments, Unavailable(exc.detail, retry_after_s=retry_after_s))
                return []
            self._measure(len(records), time.monotonic() - began_at)
        done, for_database = [], []
        held = set()
        for segment in segments:
            # What comes after rejected lines waits for them: `committed` counts without a gap.
            if _keyed(segment) or segment.rejects or segment.source in held:
                for_database.append(segment)
                held.add(segment.source)
            else:
                done.append(segment)
        acknowledge(done, Outcome())
        self._settle(done)
        return for_database


def _keyed(segment: Segment) -> bool:
    return segment.claim is not None or (segment.source is not None and segment.source.owner != 0)


def _name(segment: Segment) -> str:
    """The source in `progress`."""
    if segment.claim is not None:
        return segment.claim.source
    assert segment.source is not None
    return segment.source.name


def _is_reserved(known: Progress | None, segment: Segment) -> bool:
    """Whether the payload's key is taken for its content, and not claimed yet."""
    return known is not None and segment.claim is not None and known.owner == 0 and known.digest == segment.claim.digest
