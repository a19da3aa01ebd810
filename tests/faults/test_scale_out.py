"""Two collectors of two workers each, two consumers and Kafka, on one database, while devices of every kind send: a
collector is added and another killed, and every number agrees with what the devices know.

`make scale` runs it, and tells what happens.
"""

import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from tests.conftest import Serve
from tests.faults.books import await_true
from tests.harness.balancer import Balancer
from tests.harness.broker import Broker
from tests.harness.consumers import ConsumerProcess
from tests.harness.engines import Engine
from tests.harness.server import REPOSITORY, ServerProcess, environment

WORKERS = 2
COLLECTORS = 2
CONSUMERS = 2
PARTITIONS = 6
RATE = 400
"""Messages a second: little, for two cores do all of this at once."""
PATIENCE_S = 120.0


def tell(*words: object) -> None:
    """For `make scale`; a test that passes shows nothing."""
    print("scale:", *words, flush=True)


@pytest.fixture
def url(best_engine: Engine) -> Iterator[str]:
    """A server that has connections enough: a worker uses up to 17, a consumer some 10."""
    with best_engine.private_server(max_connections="250") as server:
        yield server.url


def ask(url: str, question: str) -> int:
    with psycopg.connect(url) as connection:
        row = connection.execute(question.encode()).fetchone()
    assert row is not None
    return int(row[0] or 0)


def stored(server: ServerProcess) -> float:
    return server.client.metrics().total("collector_stored_total")


def test_collectors_come_and_go_and_every_number_agrees(serve: Serve, url: str, broker: Broker, tmp_path: Path) -> None:
    topic = broker.create(f"scale-{uuid.uuid4().hex[:8]}", PARTITIONS)
    settings = {
        "COLLECTOR_KAFKA_BOOTSTRAP": broker.address,
        "COLLECTOR_KAFKA_TOPIC": topic,
        "COLLECTOR_KAFKA_SESSION_S": "3",
    }

    def collector() -> ServerProcess:
        return serve(url, workers=WORKERS, COLLECTOR_CONSUME="false", **settings)

    collectors = [collector() for _ in range(COLLECTORS)]
    log = tmp_path / "consumers.log"
    consumers = [ConsumerProcess(log, {"DATABASE_URL": url, **settings}) for _ in range(CONSUMERS)]
    with Balancer() as balancer:
        for each in collectors:
            balancer.add(each.port)
        tell(f"{COLLECTORS} collectors of {WORKERS} workers, {CONSUMERS} consumers, {PARTITIONS} partitions")
        # Streams end every few seconds, so that they come to the collector that is added, too.
        arguments = [
            "all",
            "--url",
            balancer.url,
            "--rate",
            str(RATE),
            "--rotate",
            "5s",
            "--duration",
            "10m",
            "--verify",
        ]
        with subprocess.Popen(
            [sys.executable, "-m", "simulation.cli", *arguments],
            cwd=REPOSITORY,
            env=environment({}),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as devices:
            try:
                payloads = "SELECT count(*) FROM payload"
                await_true(lambda: ask(url, payloads) > 2 * RATE, PATIENCE_S)
                added = collector()
                balancer.add(added.port)
                seen = ask(url, payloads)
                tell(f"a collector is added after {seen:,} payloads")
                await_true(lambda: ask(url, payloads) > seen + RATE, PATIENCE_S)
                assert devices.poll() is None, "the devices were done before a collector was killed"
                victim = collectors.pop(0)
                victim.kill()
                balancer.remove(victim.port)
                tell(f"another is killed after {ask(url, payloads):,} payloads")
                await_true(lambda: stored(added) > RATE, PATIENCE_S)
                devices.send_signal(signal.SIGINT)
                said, _ = devices.communicate(timeout=PATIENCE_S)
            finally:
                devices.kill()
        tell(f"the devices say:\n{said}")
        assert devices.returncode == 0, said
        tell(f"the added collector has stored {stored(added):,.0f} messages")
        assert set(balancer.passed) == {victim.port, *(each.port for each in (*collectors, added))}
    # Every record of the topic is applied, once, by both consumers.
    applied = "SELECT sum(position) FROM progress WHERE retention = 'topics'"
    await_true(lambda: ask(url, applied) == broker.count(topic, PARTITIONS), PATIENCE_S)
    assert "partitions assigned" in log.read_text()
    for consumer in consumers:
        consumer.terminate()
    for each in (*collectors, added):
        assert each.terminate() == 0
    tell("every number agrees")
