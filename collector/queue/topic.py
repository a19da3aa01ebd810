"""What the brokers say of the topic, asked by an administrator's client, which makes no topic and joins no group."""

import asyncio
import time
from collections import defaultdict
from concurrent.futures import Future
from typing import Any

from confluent_kafka import KafkaException, TopicCollection, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec  # type: ignore[attr-defined]

from collector.errors import Unavailable
from collector.queue.lag import LOOK_S, Marks
from collector.queue.lane import source_of
from collector.queue.options import kafka_options
from collector.settings import Settings
from collector.store.reading import Store

_OFFSETS: Any = OffsetSpec


class Topic:
    """The topic of /payloads. Methods wait for the brokers, for `timeout_s` at most, and raise Unavailable."""

    def __init__(self, settings: Settings, timeout_s: float) -> None:
        self.name = settings.kafka_topic
        self._timeout_s = timeout_s
        configuration: dict[str, Any] = {
            **kafka_options(settings),
            "bootstrap.servers": settings.kafka_bootstrap,
            "client.id": "collector",
            "log_level": 0,
        }
        self._admin = AdminClient(configuration)

    def partitions(self) -> list[int]:
        """Their numbers."""
        asked = self._admin.describe_topics(TopicCollection([self.name]), request_timeout=self._timeout_s)
        return [partition.id for partition in self._answer(asked[self.name]).partitions]

    def ends(self) -> dict[int, tuple[int, int]]:
        """By partition, the first offset that is there and the one after the last; not those without a leader."""
        found: defaultdict[int, list[int]] = defaultdict(list)
        numbers = self.partitions()
        for end in (_OFFSETS.earliest(), _OFFSETS.latest()):
            wanted = {TopicPartition(self.name, number): end for number in numbers}
            for partition, asked in self._admin.list_offsets(wanted, request_timeout=self._timeout_s).items():
                try:
                    found[partition.partition].append(self._answer(asked).offset)
                except Unavailable:
                    continue
        return {number: (both[0], both[1]) for number, both in found.items() if len(both) == 2}

    def _answer(self, asked: "Future[Any]") -> Any:
        try:
            return asked.result(self._timeout_s + 1)
        except (KafkaException, TimeoutError) as exc:
            why = exc.args[0].str() if isinstance(exc, KafkaException) else "no answer"
            raise Unavailable(why, retry_after_s=1) from exc


class TopicGauge:
    """Of each partition: how far its end is from its position in `progress`."""

    def __init__(self, settings: Settings, store: Store) -> None:
        self._settings = settings
        self._store = store
        self._topic: Topic | None = None
        self._marks: defaultdict[int, Marks] = defaultdict(Marks)

    async def look(self) -> dict[str, tuple[int, float]]:
        """See `Gauge`."""
        try:
            ends = await asyncio.to_thread(self._ends)
        except (Unavailable, KafkaException) as exc:
            raise TimeoutError(str(exc)) from exc
        now = time.monotonic()
        positions = await self._store.positions([source_of(self._settings.kafka_topic, number) for number in ends])
        found = {}
        for number, (first, end) in ends.items():
            source = source_of(self._settings.kafka_topic, number)
            position = max(first, positions.get(source, 0))
            found[source] = max(0, end - position), self._marks[number].age_s(now, position, end)
        return found

    def _ends(self) -> dict[int, tuple[int, int]]:
        self._topic = self._topic or Topic(self._settings, LOOK_S)
        return self._topic.ends()
