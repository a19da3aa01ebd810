"""How fast a consumer processes what is in the queue, against a stream of the same rows to /stats."""

import contextlib
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import psycopg

from tests.benchmarks import rows
from tests.benchmarks.rows import Rows
from tests.benchmarks.streams import post
from tests.benchmarks.table import Bench
from tests.harness import broker
from tests.harness.broker import Broker
from tests.harness.consumers import PATH, ConsumerProcess
from tests.harness.server import ServerProcess

LOOK_S = 0.1
DEADLINE_S = 300.0


class Round(msgspec.Struct):
    """Rows a second of one round."""

    stream: float
    accepted: float
    """By /payloads, into the queue."""
    consumed: float


def measure(url: str, folder: Path, made: Rows, number: int, through: Broker | None) -> Round:
    """One round, with the queue in a topic of a broker or (None) in a table. Raises AssertionError for a lost row."""
    settings = {"COLLECTOR_CONSUME": "false"}
    if through is not None:
        topic = through.create(f"bench-{number}-{time.time_ns()}", partitions=4)
        settings |= {"COLLECTOR_KAFKA_BOOTSTRAP": through.address, "COLLECTOR_KAFKA_TOPIC": topic}
    with ServerProcess(url, folder / "queue.log", environment=settings) as server:
        _empty(url)
        stream = _timed(lambda: post(server.port, made.lines(2 * number)), made.count)
        accepted = _timed(lambda: post(server.port, made.lines(2 * number + 1), PATH, 202), made.count)
    _empty(url)
    del settings["COLLECTOR_CONSUME"]
    consumer = ConsumerProcess(folder / "consumer.log", {"DATABASE_URL": url, **settings})
    try:
        return Round(stream, accepted, _consumed(url, made.count))
    finally:
        consumer.kill()


def _consumed(url: str, count: int) -> float:
    """From the first rows that are there to the last: how long a process takes to begin is another matter."""
    with psycopg.connect(url, autocommit=True) as connection:

        def stored() -> int:
            row = connection.execute("SELECT count(*) FROM payload").fetchone()
            assert row is not None
            return int(row[0])

        deadline = time.monotonic() + DEADLINE_S
        while not (first := stored()):
            time.sleep(LOOK_S)
            assert time.monotonic() < deadline
        began = time.perf_counter()
        while (now := stored()) < count:
            time.sleep(LOOK_S)
            assert time.monotonic() < deadline
        assert now == count, f"{now} of {count} rows are there"
        return (count - first) / (time.perf_counter() - began)


def _empty(url: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("TRUNCATE payload")
        connection.execute("CHECKPOINT")


def _timed(work: Callable[[], object], count: int) -> float:
    began = time.perf_counter()
    work()
    return count / (time.perf_counter() - began)


def run(bench: Bench) -> None:
    """Measure, and put the figures into the table: the table of the database, and a broker where there is one."""
    bench.say("drawing payloads for the queue")
    made = rows.make(bench.folder, bench.rows // 2)
    for kind in ("a table", "Kafka") if broker.found() else ("a table",):
        with contextlib.ExitStack() as stack:
            through = None if kind == "a table" else stack.enter_context(broker.running())
            measured = []
            for number in range(bench.rounds):
                bench.say(f"the queue in {kind}, round {number + 1} of {bench.rounds}")
                measured.append(measure(bench.server.database_url, bench.folder, made, number, through))
        what = f"the queue in {kind}: {made.count:,} payloads processed by one consumer, against a stream to /stats"
        bench.table.ratio(what, [(each.consumed, each.stream) for each in measured], "rows/s", 0.6)
