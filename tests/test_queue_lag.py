"""How long the queue behind /payloads is: told by every collector, whether anybody consumes or not."""

from collections.abc import Iterator

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.errors import Unavailable
from collector.queue.lag import TABLE, Marks
from collector.queue.topic import Topic
from collector.settings import Settings
from tests.conftest import Serve
from tests.contract.driver import payload
from tests.faults.books import await_true
from tests.harness.broker import Broker
from tests.harness.client import Client
from tests.harness.server import free_port
from tests.strategies import encoded

POSTED = 5
ASK_S = 20.0
WAITING, OLDEST = "collector_queue_waiting", "collector_queue_oldest_seconds"


def post(client: Client) -> None:
    for number in range(POSTED):
        assert client.post(encoded(payload("acme", number)), path="/payloads").status == 202


@pytest.mark.parametrize("workers", [1, 2])
def test_without_a_consumer_the_table_is_told_of(serve: Serve, best_database_url: str, workers: int) -> None:
    client = serve(best_database_url, workers=workers, COLLECTOR_CONSUME="false").client
    await_true(lambda: client.metrics().has(OLDEST, source=TABLE))
    assert client.metrics().total("collector_consumers") == 0
    post(client)
    await_true(lambda: client.metrics().total(WAITING, source=TABLE) == POSTED)
    first = client.metrics().total(OLDEST, source=TABLE)
    await_true(lambda: client.metrics().total(OLDEST, source=TABLE) > first)
    other = serve(best_database_url).client
    await_true(lambda: client.metrics().total(WAITING, source=TABLE) == 0)
    assert client.metrics().total(OLDEST, source=TABLE) == 0
    assert other.metrics().total("collector_consumers") == 1


def test_without_a_consumer_the_topic_is_told_of(serve: Serve, best_database_url: str, broker: Broker) -> None:
    """By partition; and no consumer that lost one leaves a 0 behind."""
    topic = broker.create("payloads-lag")
    kafka = {"COLLECTOR_KAFKA_BOOTSTRAP": broker.address, "COLLECTOR_KAFKA_TOPIC": topic}
    consuming = serve(best_database_url, **kafka)
    client = serve(best_database_url, COLLECTOR_CONSUME="false", **kafka).client
    post(client)
    names = [f"kafka {topic} {number}" for number in range(3)]
    await_true(lambda: all(client.metrics().has(WAITING, source=name) for name in names))
    await_true(lambda: consuming.client.metrics().total("collector_stored_total", endpoint="queue") == POSTED)
    await_true(lambda: client.metrics().total(WAITING) == 0)
    consuming.terminate()
    post(client)
    await_true(lambda: client.metrics().total(WAITING) == POSTED)
    await_true(lambda: client.metrics().total(OLDEST) > 0)


def test_a_topic_that_is_not_there_and_brokers_that_are_not(broker: Broker) -> None:
    settings = Settings(kafka_bootstrap=broker.address, kafka_topic="payloads-nowhere")
    with pytest.raises(Unavailable, match="Unknown topic"):
        Topic(settings, ASK_S).ends()
    with pytest.raises(Unavailable, match=r"."):
        Topic(msgspec.structs.replace(settings, kafka_bootstrap=f"127.0.0.1:{free_port()}"), 1.0).ends()


steps = st.lists(st.tuples(st.floats(0, 100), st.integers(0, 50), st.integers(0, 50)), max_size=60)


def partition(steps: list[tuple[float, int, int]]) -> Iterator[tuple[float, int, int, float]]:
    """Looks at a partition: the moment, its position, its end, and the age of what is at the position."""
    now, position, put = 0.0, 0, list[float]()
    for passed_s, more, applied in steps:
        put += [now] * more  # right after the look before, so that they are as old as they can be
        now += passed_s
        position = min(len(put), position + applied)
        yield now, position, len(put), now - put[position] if position < len(put) else 0.0


@given(steps)
def test_an_age_is_never_too_high_and_a_look_too_low_at_most(steps: list[tuple[float, int, int]]) -> None:
    marks = Marks()
    longest_s = max((passed_s for passed_s, _, _ in steps), default=0.0)
    for now, position, end, age_s in partition(steps):
        told_s = marks.age_s(now, position, end)
        assert told_s <= age_s + 1e-6
        assert told_s >= age_s - longest_s - 1e-6


def test_what_is_remembered_is_bounded_and_the_oldest_of_it_stays() -> None:
    marks = Marks()
    for number in range(1, 10 * Marks.KEPT):
        assert marks.age_s(float(number), 0, number) == number - 1
    assert len(marks._ends) <= 2 * Marks.KEPT


def test_a_topic_that_was_made_anew_begins_anew() -> None:
    marks = Marks()
    marks.age_s(0.0, 10, 100)
    assert marks.age_s(50.0, 0, 3) == 0.0
    assert marks.age_s(60.0, 0, 3) == 10.0
