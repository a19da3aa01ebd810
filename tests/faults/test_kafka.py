"""The queue in Kafka, with a real broker: consumers killed and stopped in the middle of a rebalance, brokers that
restart, that are away, that forget what was committed; and topics that are missing or hold strange records.
"""

import contextlib
import random
import signal
import threading
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest

from tests.conftest import Serve
from tests.faults.books import await_true, balanced
from tests.faults.rounds import ROUNDS, random_of, tally
from tests.harness.broker import Broker
from tests.harness.consumers import PATH, ConsumerProcess, Poster
from tests.harness.ledger import Ledger, stored_tokens
from tests.harness.server import ServerProcess
from tests.harness.wire import Wire, line_of, lines_of

CONSUMERS = 2
SESSION_S = 1.5
"""A consumer that is silent for longer is out of the group."""
PROCESSED_S = 60.0
SINGLE_WAIT_S = 1.0
GRACE_S = 7.0


class Group:
    """Collectors of a database and a topic of their own, and what they were sent."""

    def __init__(self, serve: Serve, url: str, broker: Broker, log: Path, *, create: bool = True) -> None:
        self.url = url
        self.broker = broker
        self.topic = f"test-{uuid.uuid4().hex[:8]}"
        if create:
            broker.create(self.topic)
        self.settings = {
            "COLLECTOR_KAFKA_BOOTSTRAP": broker.address,
            "COLLECTOR_KAFKA_TOPIC": self.topic,
            "COLLECTOR_KAFKA_SESSION_S": str(SESSION_S),
            "COLLECTOR_SINGLE_WAIT_S": str(SINGLE_WAIT_S),
        }
        self.server: ServerProcess = serve(url, **self.settings, COLLECTOR_CONSUME="false")
        self.ledger = Ledger(self.topic)
        self.consumers: list[ConsumerProcess] = []
        self._log = log
        self._poster: Poster | None = None

    def consume(self) -> None:
        """Another consumer."""
        self.consumers.append(ConsumerProcess(self._log, {"DATABASE_URL": self.url, **self.settings}))

    @contextlib.contextmanager
    def posting(self, choices: random.Random) -> Iterator[None]:
        """Meanwhile payloads are posted."""
        poster = Poster(self.server.client, self.ledger, choices)
        poster.start()
        try:
            yield
        finally:
            poster.finish()

    def acknowledged(self, more: int) -> None:
        """Wait for so many more."""
        goal = len(self.ledger.acknowledged) + more
        await_true(lambda: len(self.ledger.acknowledged) >= goal)

    def stored(self) -> int:
        return stored_tokens(self.url, self.ledger.customer).total()

    def processed(self) -> None:
        """Wait until everything is applied; then it is there, once."""
        await_true(lambda: self.lag() == 0, PROCESSED_S)
        tally("queue in Kafka", self.ledger.check(self.url))

    def lag(self) -> int:
        with psycopg.connect(self.url) as connection:
            found = connection.execute("SELECT sum(position) FROM progress WHERE source LIKE 'kafka %'").fetchone()
        assert found is not None
        return self.broker.count(self.topic) - int(found[0] or 0)

    def end(self) -> None:
        """SIGTERM to all consumers."""
        while self.consumers:
            self.consumers.pop().terminate()


@pytest.fixture
def group(serve: Serve, best_database_url: str, broker: Broker, tmp_path: Path) -> Iterator[Group]:
    made = Group(serve, best_database_url, broker, tmp_path / "consumers.log")
    yield made
    for consumer in made.consumers:
        consumer.kill()


def test_each_payload_is_processed_once(group: Group) -> None:
    """Another consumer comes, so that the partitions are shared out anew; in the middle of that one is killed, or is
    stopped for so long that the others take over, and then goes on.
    """
    for _ in range(CONSUMERS):
        group.consume()
    with group.posting(random_of("kafka", "poster")):
        for number in range(max(1, ROUNDS // 2)):
            choices = random_of("kafka", number)
            group.acknowledged(50)
            victim = group.consumers.pop(choices.randrange(len(group.consumers)))
            group.consume()
            time.sleep(choices.uniform(0, 2 * SESSION_S))  # the fault's moment; nothing waits for it
            if choices.random() < 0.2:
                group.server.restart()
            if choices.random() < 0.5:
                victim.kill()
            else:
                victim.send(signal.SIGSTOP)
                time.sleep(choices.uniform(0.5, 1.5) * SESSION_S)
                victim.send(signal.SIGCONT)
                time.sleep(choices.uniform(0, 0.5))
                victim.kill()
    group.processed()
    balanced(group.server.client)
    group.end()


def test_a_broker_that_restarts(group: Group) -> None:
    group.consume()
    with group.posting(random_of("restart")):
        group.acknowledged(50)
        group.broker.kill()
        group.broker.start()
        group.acknowledged(50)
    group.processed()
    group.end()


def test_what_the_broker_says_was_committed_is_not_asked(group: Group) -> None:
    group.consume()
    with group.posting(random_of("rewound")):
        group.acknowledged(100)
    group.processed()
    group.end()
    group.broker.rewind(f"collector-{group.topic}", group.topic)
    group.consume()
    with group.posting(random_of("rewound", 2)):
        group.acknowledged(100)
    group.processed()
    group.end()


def test_what_is_delivered_and_not_known_to_be_is_left_out_when_it_comes_again(group: Group) -> None:
    """The collector dies after the delivery and before the progress of the key moves: the topic has it twice then."""
    client = group.server.client
    assert client.post(line_of(group.topic, "first"), {"Idempotency-Key": "first"}, PATH).status == 202
    key = {"Idempotency-Key": "stream"}
    wire = Wire(client.address, key, path=PATH)
    wire.send(lines_of(group.topic, "stream", 0, 50))

    def committed() -> int:
        answer = client.get("/streams/stream", endpoint=PATH)
        return int(answer.json()["committed"]) if answer.status == 200 else 0

    await_true(lambda: committed() == 50)
    with psycopg.connect(group.url) as other, held_up(group.url, other):
        wire.send(lines_of(group.topic, "stream", 50, 80))
        answer = client.post(line_of(group.topic, "single"), {"Idempotency-Key": "single"}, PATH)
        assert answer.status == 503
        assert "not known" in answer.json()["detail"]
        await_true(lambda: group.broker.count(group.topic) == 1 + 80 + 1)
        group.server.kill()
        other.rollback()
    group.server.start()
    assert committed() == 50
    other_content = client.post(line_of(group.topic, "other"), {"Idempotency-Key": "single"}, PATH)
    assert other_content.status == 422  # the topic has the first, though nobody was told
    assert client.post(line_of(group.topic, "single"), {"Idempotency-Key": "single"}, PATH).status == 202
    answer = client.post_lines(lines_of(group.topic, "stream", 0, 100), key, PATH)
    assert answer.json() == {"accepted": 100, "rejected": 0, "errors": []}
    assert group.broker.count(group.topic) == 1 + 80 + 1 + 1 + 50
    group.ledger.sent |= {"first", "single", *(f"stream:{number}" for number in range(100))}
    group.ledger.acknowledge(group.ledger.sent)
    group.consume()
    group.processed()
    wire.close()
    group.end()


@contextlib.contextmanager
def held_up(url: str, holder: "psycopg.Connection[tuple[object, ...]]") -> Iterator[None]:
    """Keys that are taken do not move on, for as long as the holder's transaction lasts."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            "CREATE FUNCTION hold_up() RETURNS trigger LANGUAGE plpgsql AS"
            " 'BEGIN PERFORM pg_advisory_xact_lock_shared(77); RETURN NEW; END'"
        )
        connection.execute(
            "CREATE TRIGGER hold_up BEFORE UPDATE ON progress FOR EACH ROW"
            " WHEN (OLD.source LIKE '/payloads %') EXECUTE FUNCTION hold_up()"
        )
        holder.execute("SELECT pg_advisory_xact_lock(77)")
        yield
        connection.execute("DROP TRIGGER hold_up ON progress")


def test_one_key_at_two_collectors_at_once_is_in_the_topic_once(serve: Serve, group: Group) -> None:
    """Both take it, one delivers it, both are told that it is there; other content under the same key is refused."""
    other = serve(group.url, **group.settings, COLLECTOR_CONSUME="false")
    clients = [group.server.client, other.client]
    assert group.server.client.post(line_of(group.topic, "warm"), path=PATH).status == 202
    before = group.broker.count(group.topic)
    rounds = 20
    with ThreadPoolExecutor(4) as threads:
        for number in range(rounds):
            key = {"Idempotency-Key": f"both {number}"}
            tokens = [f"both {number}"] * 2 + [f"both {number}, but different"]
            tries = [
                threads.submit(client.post, line_of(group.topic, token), key, PATH)
                for client, token in zip([*clients, clients[number % 2]], tokens, strict=True)
            ]
            statuses = [done.result().status for done in tries]
            first = tokens[statuses.index(202)]
            assert statuses == [202 if token == first else 422 for token in tokens]
            group.ledger.sent.add(first)
            group.ledger.acknowledge([first])
    assert group.broker.count(group.topic) == before + rounds
    group.ledger.sent.add("warm")
    group.consume()
    group.processed()
    group.end()


def test_the_broker_away(group: Group) -> None:
    """503 with Retry-After, in time, and nothing is accepted; then all goes on by itself."""
    client = group.server.client
    assert client.post(line_of(group.topic, "before"), path=PATH).status == 202
    group.broker.kill()
    try:
        for post, body in (
            (client.post, line_of(group.topic, "away")),
            (client.post_lines, lines_of(group.topic, "away", 0, 50)),
        ):
            for headers in ({}, {"Idempotency-Key": uuid.uuid4().hex}):
                began = time.monotonic()
                answer = post(body, headers, PATH)
                assert answer.status == 503, answer
                assert 1 <= int(answer.headers["retry-after"]) <= 60
                assert time.monotonic() - began < SINGLE_WAIT_S + GRACE_S
        answer = client.post(line_of(group.topic, "away, keyed"), {"Idempotency-Key": "again"}, PATH)
        assert answer.status == 503
        assert client.post(line_of(group.topic, "direct")).status == 204
    finally:
        group.broker.start()
    await_true(lambda: client.post(line_of(group.topic, "after"), {"Idempotency-Key": "after"}, PATH).status == 202)
    again = client.post(line_of(group.topic, "away, keyed"), {"Idempotency-Key": "again"}, PATH)
    assert (again.status, again.headers.get("idempotent-replayed")) == (202, None)
    group.consume()
    group.ledger.sent |= {"before", "after", "direct", "away, keyed"}
    group.ledger.acknowledge(group.ledger.sent)
    group.processed()
    balanced(client)


def test_the_database_away_does_not_cost_the_partitions(serve: Serve, group: Group) -> None:
    """A consumer whose rows have to wait lets the brokers hear of it, and goes on where it was."""
    group.settings["COLLECTOR_BACKLOG_ROWS"] = "10"
    group.consume()
    with group.posting(random_of("locked")):
        group.acknowledged(100)
    group.processed()
    with psycopg.connect(group.url) as other, contextlib.ExitStack() as stack:
        other.execute("LOCK TABLE payload IN ACCESS EXCLUSIVE MODE")
        stack.enter_context(group.posting(random_of("locked", 2)))
        group.acknowledged(300)
        time.sleep(3 * SESSION_S)  # it would be out of the group by now
        other.rollback()
    group.processed()
    assert "partition lost" not in group._log.read_text()
    group.end()


def test_strange_records_do_not_stop_a_partition(group: Group) -> None:
    group.broker.put(
        group.topic, b"not json", None, b"{}", b" ", b"x" * 70_000, line_of(group.topic, "good").strip(), key="one"
    )
    pretty = line_of(group.topic, "pretty").replace(b",", b",\n")
    group.broker.put(group.topic, pretty, line_of(group.topic, "last"), key="one")
    group.consume()
    group.ledger.sent |= {"good", "pretty", "last"}
    group.ledger.acknowledge(group.ledger.sent)
    group.processed()
    with psycopg.connect(group.url) as connection:
        rows = connection.execute("SELECT source, line, reason FROM rejected ORDER BY line").fetchall()
    assert len({source for source, _, _ in rows}) == 1
    assert [line for _, line, _ in rows] == [0, 1, 2, 3, 4]
    kinds = [reason.partition(":")[0] for _, _, reason in rows]
    assert kinds == ["malformed", "malformed", "invalid", "malformed", "too_long"]


def test_a_missing_topic(serve: Serve, best_database_url: str, broker: Broker, tmp_path: Path) -> None:
    """It is said, and once the topic is there all goes on."""
    group = Group(serve, best_database_url, broker, tmp_path / "consumers.log", create=False)
    group.consume()
    client = group.server.client
    answer = client.post(line_of(group.topic, "early"), path=PATH)
    assert answer.status == 503
    assert group.topic in answer.json()["detail"]
    assert "retry-after" in answer.headers
    assert client.post_lines(lines_of(group.topic, "early", 0, 3), path=PATH).status == 503
    broker.create(group.topic)
    ready = threading.Event()
    while client.post(line_of(group.topic, "late"), {"Idempotency-Key": "late"}, PATH).status != 202:
        ready.wait(0.2)
    group.ledger.sent.add("late")
    group.ledger.acknowledge(["late"])
    await_true(lambda: group.stored() == 1, PROCESSED_S)
    group.processed()
    group.end()
