"""A real Kafka broker for tests: one node in KRaft mode on the loopback, from the published jars.

The jars come from the folder COLLECTOR_TEST_KAFKA, else ~/.cache/collector-kafka; `.ci/broker` puts them there. Where
they or Java are missing, tests skip and say so; with COLLECTOR_TEST_KAFKA_REQUIRED they fail.
"""

import contextlib
import os
import re
import shutil
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from collector import processes
from tests.harness.server import REPOSITORY, free_port

START_S = 60.0
REQUIRED = "COLLECTOR_TEST_KAFKA_REQUIRED"
HOW_TO_GET = "no Kafka broker: it needs Java 17 and Maven; `.ci/broker` gets the jars (folder: COLLECTOR_TEST_KAFKA)"


def jars() -> Path:
    """Where the jars are, or would be."""
    return Path(os.environ.get("COLLECTOR_TEST_KAFKA") or Path.home() / ".cache" / "collector-kafka")


def version_of_jars() -> str:
    """The version that `.ci/broker` gets."""
    script = (REPOSITORY / ".ci" / "broker").read_text()
    (version,) = re.findall(r"^version=(\S+)$", script, re.MULTILINE)
    return str(version)


def found() -> bool:
    """Whether a broker can run here."""
    return shutil.which("java") is not None and any(jars().glob("kafka_2.13-*.jar"))


class Broker:
    """A broker in a folder; `start` after `kill` goes on where it was."""

    def __init__(self, folder: Path) -> None:
        self._port, controller = free_port(), free_port()
        self._log = folder / "log"
        self._configuration = folder / "server.properties"
        settings = {
            "process.roles": "broker,controller",
            "node.id": 1,
            "controller.quorum.voters": f"1@127.0.0.1:{controller}",
            "listeners": f"PLAINTEXT://127.0.0.1:{self._port},CONTROLLER://127.0.0.1:{controller}",
            "advertised.listeners": f"PLAINTEXT://127.0.0.1:{self._port}",
            "controller.listener.names": "CONTROLLER",
            "log.dirs": folder / "data",
            "num.partitions": 3,
            "auto.create.topics.enable": "false",
            "group.initial.rebalance.delay.ms": 0,
            "group.min.session.timeout.ms": 500,
            "offsets.topic.num.partitions": 1,
            "offsets.topic.replication.factor": 1,
            "transaction.state.log.num.partitions": 1,
            "transaction.state.log.replication.factor": 1,
            "transaction.state.log.min.isr": 1,
            "share.coordinator.state.topic.replication.factor": 1,
            "share.coordinator.state.topic.min.isr": 1,
        }
        self._configuration.write_text("".join(f"{name}={value}\n" for name, value in settings.items()))
        self._process: subprocess.Popen[bytes] | None = None
        identity = uuid.uuid4().hex[:22]
        self._java("kafka.tools.StorageTool", "format", "-t", identity, "-c", str(self._configuration)).wait(START_S)

    @property
    def address(self) -> str:
        """For COLLECTOR_KAFKA_BOOTSTRAP."""
        return f"127.0.0.1:{self._port}"

    def start(self) -> None:
        """Start it, and wait until it answers. Raises AssertionError with its log where it does not."""
        self._process = self._java("kafka.Kafka", str(self._configuration))
        assert processes.poll_until(self._answers, time.monotonic() + START_S), self._log.read_text()[-5_000:]

    def kill(self) -> None:
        """SIGKILL. Does nothing where it does not run."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(START_S)
            self._process = None

    def create(self, topic: str, partitions: int = 3) -> str:
        """Make a topic; returns its name."""
        admin = self._admin()
        for made in admin.create_topics([NewTopic(topic, partitions, 1)]).values():
            made.result(START_S)
        return topic

    def put(self, topic: str, *values: bytes | None, key: str | None = None) -> None:
        """Put records into the topic, as another program would."""
        producer = Producer({"bootstrap.servers": self.address})
        for value in values:
            producer.produce(topic, value, key)
        assert not producer.flush(START_S)

    def count(self, topic: str, partitions: int = 3) -> int:
        """How many records the topic has had."""
        with self.member("count") as consumer:
            return sum(
                consumer.get_watermark_offsets(TopicPartition(topic, number), START_S)[1]
                for number in range(partitions)
            )

    def rewind(self, group: str, topic: str, partitions: int = 3) -> None:
        """Tell the broker that the group has processed nothing; for a group without members."""
        with self.member(group) as consumer:
            offsets = [TopicPartition(topic, number, 0) for number in range(partitions)]
            consumer.commit(offsets=offsets, asynchronous=False)

    @contextlib.contextmanager
    def member(self, group: str) -> Iterator[Consumer]:
        """A client that subscribes to nothing."""
        consumer = Consumer({"bootstrap.servers": self.address, "group.id": group, "enable.auto.commit": False})
        try:
            yield consumer
        finally:
            consumer.close()

    def _admin(self) -> AdminClient:
        return AdminClient({"bootstrap.servers": self.address, "log_level": 0})

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, self._log.read_text()[-5_000:]
        with contextlib.suppress(KafkaException):
            admin = self._admin()
            return bool(admin.list_topics(timeout=1).brokers)
        return False

    def _java(self, *arguments: str) -> "subprocess.Popen[bytes]":
        with self._log.open("ab") as log:
            return subprocess.Popen(
                ["java", "-Xmx256m", "-XX:+UseSerialGC", "-cp", f"{jars()}/*", *arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )


@contextlib.contextmanager
def running() -> Iterator[Broker]:
    """A broker of one's own; skips where there can be none."""
    if not found():
        if os.environ.get(REQUIRED):
            pytest.fail(HOW_TO_GET)
        pytest.skip(HOW_TO_GET)
    folder = Path(tempfile.mkdtemp(prefix="collector-kafka-"))
    broker = Broker(folder)
    try:
        broker.start()
        yield broker
    finally:
        broker.kill()
        shutil.rmtree(folder, ignore_errors=True)
