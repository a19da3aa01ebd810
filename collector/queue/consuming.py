"""The consumer of a Kafka topic: records become segments of a writer, as the lines of a stream do.

A partition is a source in `progress` ("kafka <topic> <partition>"), whose position is the next offset, moved in the
transaction of the rows. Whoever is assigned a partition takes the source, which ends whatever a former consumer still
has under way, and seeks to its position. What the brokers have committed is not asked; they are told, for tools that
show a group's lag.
"""

import asyncio
import contextlib
import time
from collections import defaultdict
from typing import TYPE_CHECKING, Any

import structlog
from confluent_kafka import OFFSET_END, KafkaError, KafkaException, Message, TopicPartition
from confluent_kafka import Consumer as Client

from collector import background
from collector.commit import BACKOFF_FIRST_S, BACKOFF_MAX_S
from collector.errors import Conflict, Problem, StoreError, Unavailable
from collector.queue import ENDPOINT
from collector.queue.lane import Lane
from collector.queue.options import kafka_options
from collector.queue.records import Received
from collector.segment import Segment, Source
from collector.settings import MIB, Settings

if TYPE_CHECKING:
    from collector.service import Service

log = structlog.get_logger()

TURN_S = 0.1
"""How long records gather, at most."""
TURN_RECORDS = 5_000
TURN_BYTES = 4 * MIB
"""Of one turn, roughly: when records are large, fewer are asked for."""
IDLE_AFTER_S = 1.0
"""When a writer's backlog has been full for this long, the partitions are paused: the brokers must hear of a consumer,
or they give its partitions to another.
"""
RETAKE_S = 5.0
"""A partition that another consumer has taken, and that the brokers say is ours, is taken again after this time: one
that was stopped may have taken it before it learned that it was out of the group.
"""
TELL_EVERY_S = 1.0
"""Between two times that the brokers are told how far it is."""


class KafkaConsumer:
    """One task; the client is called in threads, one call at a time, and calls back in them."""

    def __init__(self, settings: Settings) -> None:
        self._topic = settings.kafka_topic
        self._max_line_bytes = settings.max_line_bytes
        session_ms = round(settings.kafka_session_s * 1000)
        self._configuration: dict[str, Any] = {
            **kafka_options(settings),
            "bootstrap.servers": settings.kafka_bootstrap,
            "client.id": "collector",
            "group.id": f"collector-{settings.kafka_topic}",
            "session.timeout.ms": session_ms,
            "heartbeat.interval.ms": session_ms // 4,
            "max.poll.interval.ms": max(300_000, session_ms),
            # All partitions are assigned anew at each change: so who was wrong about one is put right.
            "partition.assignment.strategy": "range",
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
            "fetch.wait.max.ms": 100,
            "queued.max.messages.kbytes": 16 * 1024,
            "fetch.queue.backoff.ms": 20,  # by default a full queue is not filled again for a second
            "topic.metadata.refresh.interval.ms": 10_000,
            "log_level": 0,
            "error_cb": self._note,
        }
        self._lanes: dict[int, Lane] = {}
        self._stopping = False
        self._said = ""
        self._ask_for = TURN_RECORDS
        self._task: asyncio.Task[None] | None = None

    async def start(self, service: "Service") -> None:
        """Begin; neither the brokers nor the database need be there yet."""
        self._service = service
        self._client = Client(self._configuration)
        self._client.subscribe([self._topic], on_assign=self._assigned, on_revoke=self._revoked, on_lost=self._revoked)
        self._task = background.run(self._run(), "the consumer")

    async def stop(self, timeout_s: float) -> None:
        """Leave the group; what was put is the writers' to finish."""
        deadline = time.monotonic() + timeout_s
        self._stopping = True
        if self._task is None:
            return
        await asyncio.wait([self._task], timeout=timeout_s)
        self._task.cancel()
        tasks = [self._task, *(lane.taking for lane in self._lanes.values() if lane.taking is not None)]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        with contextlib.suppress(TimeoutError, KafkaException, RuntimeError):
            left_s = max(1.0, deadline - time.monotonic())
            await asyncio.wait_for(asyncio.to_thread(self._client.close), left_s)

    # In the event loop

    async def _run(self) -> None:
        told_at = 0.0
        while not self._stopping:
            try:
                taken = await asyncio.to_thread(self._turn)
            except KafkaException as exc:
                self._note(exc.args[0])
                self._stop_flow()
                await asyncio.sleep(BACKOFF_MAX_S)
                continue
            for lane, segment in taken:
                await self._put(lane, segment)
            for lane in list(self._lanes.values()):
                self._look_after(lane)
            if time.monotonic() >= told_at:
                told_at = time.monotonic() + TELL_EVERY_S
                await asyncio.to_thread(self._tell_brokers)

    async def _put(self, lane: Lane, segment: Segment) -> None:
        """Put a segment, however long the database is away."""
        putting = asyncio.ensure_future(lane.writer.put(segment))
        try:
            while not (await asyncio.wait([putting], timeout=IDLE_AFTER_S))[0]:
                await asyncio.to_thread(self._idle)
                if self._stopping and not putting.done():
                    raise Unavailable("stopping", retry_after_s=1)  # no segment after it may be put
            putting.result()
        except Problem as problem:
            assert segment.source is not None
            segment.source.failure = segment.source.failure or problem
        finally:
            putting.cancel()

    def _look_after(self, lane: Lane) -> None:
        """Begin to take a partition that is new, or that was lost."""
        failure = lane.source.failure if lane.source is not None else None
        if failure is not None:
            log.warning("partition lost", source=lane.name, why=failure.detail)
            self._pause(lane)
            lane.source = None
        if lane.source is None and lane.taking is None:
            lane.taking = asyncio.create_task(self._take(lane, RETAKE_S if isinstance(failure, Conflict) else 0.0))

    async def _take(self, lane: Lane, delay_s: float) -> None:
        """Become the owner of the partition's source, once the database is there."""
        await asyncio.sleep(delay_s)
        backoff_s = BACKOFF_FIRST_S
        while self._lanes.get(lane.number) is lane:
            try:
                progress = await self._service.store.take_stream(lane.name, "topics")
            except StoreError as exc:
                log.warning("cannot take the partition", source=lane.name, why=str(exc))
                await asyncio.sleep(backoff_s)
                backoff_s = min(BACKOFF_MAX_S, backoff_s * 2)
                continue
            lane.position = progress.position
            lane.source = Source(
                lane.name,
                ENDPOINT,
                owner=progress.owner,
                committed=progress.position,
                accepted=progress.accepted,
                rejected=progress.rejected,
            )
            break
        lane.taking = None

    # In a thread, while the task waits for it

    def _turn(self) -> list[tuple[Lane, Segment]]:
        """Let partitions flow that were taken, stop those that were lost, and see what has come."""
        for lane in list(self._lanes.values()):
            if lane.source is not None and not lane.flowing:
                self._begin_flow(lane)
        messages = self._client.consume(self._ask_for, TURN_S)
        by_partition = self._by_partition(messages)
        taken: list[tuple[Lane, Segment]] = []
        for number, records in by_partition.items():
            found = self._lanes.get(number)
            if found is not None and found.source is not None and found.flowing:
                taken += [(found, segment) for segment in found.segments(records, self._service.now_ms())]
                if not found.flowing:
                    self._pause(found)
        size_bytes = sum(segment.size_bytes for _, segment in taken)
        self._ask_for = max(10, self._ask_for // 2) if size_bytes > TURN_BYTES else min(TURN_RECORDS, self._ask_for * 2)
        return taken

    def _by_partition(self, messages: list[Message]) -> dict[int, list[Received]]:
        """What is to be known of the records. Each call to the client's objects costs, and some rows have many."""
        by_partition: defaultdict[int, list[Received]] = defaultdict(list)
        for message in messages:
            error = message.error()
            if error is not None:
                self._note(error)
                continue
            headers: Any = message.headers()
            # One that this collector wrote has the time of its own.
            received: Any = (message.offset(), message.value(), headers or [], 0 if headers else message.timestamp()[1])
            number: Any = message.partition()
            by_partition[number].append(received)
        return by_partition

    def _begin_flow(self, lane: Lane) -> None:
        """Seek to the position. Where the brokers do not have it, nothing is guessed."""
        try:
            first, end = self._client.get_watermark_offsets(_at(lane, 0), timeout=BACKOFF_MAX_S)
            if lane.position > end:
                said = f"{lane.name}: offset {lane.position} is applied, but the topic ends at {end}: was it made anew?"
                self._say(f"{said} Then delete this source from `progress`")
                return
            if lane.position < first:
                log.error("records are gone before they were applied", source=lane.name, offsets=(lane.position, first))
            self._client.seek(_at(lane, max(first, lane.position)))
            self._client.resume([_at(lane, 0)])
            lane.flowing = True
        except KafkaException as exc:  # too early, or the brokers are away: the next turn tries again
            self._note(exc.args[0])

    def _pause(self, lane: Lane) -> None:
        lane.flowing = False
        with contextlib.suppress(KafkaException):  # not assigned any more
            self._client.pause([_at(lane, 0)])

    def _stop_flow(self) -> None:
        """Whatever was on its way is asked for again."""
        for lane in list(self._lanes.values()):
            self._pause(lane)

    def _idle(self) -> None:
        """Let the brokers hear of this consumer, without taking records."""
        self._stop_flow()
        self._client.consume(1, TURN_S)

    def _assigned(self, client: Client, partitions: list[TopicPartition]) -> None:
        self._drop_lanes()
        for partition in partitions:
            writer = self._service.writer_for_stream()
            self._lanes[partition.partition] = Lane(self._topic, partition.partition, writer, self._max_line_bytes)
        # Nothing comes until the position is known.
        client.assign([_at(lane, OFFSET_END) for lane in self._lanes.values()])
        client.pause([_at(lane, 0) for lane in self._lanes.values()])
        log.info("partitions assigned", topic=self._topic, partitions=sorted(self._lanes))

    def _revoked(self, client: Client, partitions: list[TopicPartition]) -> None:
        self._drop_lanes()
        client.unassign()

    def _drop_lanes(self) -> None:
        self._lanes = {}

    def _tell_brokers(self) -> None:
        flowing = [(lane, lane.source) for lane in list(self._lanes.values()) if lane.flowing]
        committed = [_at(lane, source.committed) for lane, source in flowing if source is not None]
        if committed:
            with contextlib.suppress(KafkaException):  # for people to look at, nothing else
                self._client.commit(offsets=committed, asynchronous=True)

    def _note(self, error: KafkaError) -> None:
        """What the client finds out by itself; it goes on trying."""
        self._say(error.str())

    def _say(self, what: str) -> None:
        if what != self._said:
            self._said = what
            log.warning("kafka", topic=self._topic, why=what)


def _at(lane: Lane, offset: int) -> TopicPartition:
    return TopicPartition(lane.topic, lane.number, offset)
