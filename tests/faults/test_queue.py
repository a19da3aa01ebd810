"""The queue in a table: consumers that are killed and stopped, and collectors that are, while /payloads goes on."""

import signal
from pathlib import Path

import psycopg

from tests.conftest import Serve
from tests.faults.books import await_true
from tests.faults.rounds import ROUNDS, random_of, tally
from tests.harness.consumers import ConsumerProcess, Poster
from tests.harness.ledger import Ledger, stored_tokens

CONSUMERS = 2
PROCESSED_S = 60.0


def waiting(database_url: str) -> int:
    with psycopg.connect(database_url) as connection:
        row = connection.execute("SELECT count(*) FROM payload_queue").fetchone()
    assert row is not None
    return int(row[0])


def test_each_payload_is_processed_once(serve: Serve, best_database_url: str, tmp_path: Path) -> None:
    settings = {"DATABASE_URL": best_database_url}
    server = serve(best_database_url, COLLECTOR_CONSUME="false")
    consumers = [ConsumerProcess(tmp_path / "consumers.log", settings) for _ in range(CONSUMERS)]
    ledger = Ledger("table")
    poster = Poster(server.client, ledger, random_of("table", "poster"))
    poster.start()
    try:
        for number in range(max(1, ROUNDS // 2)):
            choices = random_of("table", number)
            at = choices.randrange(CONSUMERS)
            before = len(ledger.acknowledged)
            await_true(lambda before=before: len(ledger.acknowledged) > before + 100)  # type: ignore[misc]
            if choices.random() < 0.3:
                server.restart()
            elif choices.random() < 0.5:
                consumers[at].send(signal.SIGSTOP)
                stored = stored_tokens(best_database_url, ledger.customer).total()
                # The others go on; what it has locked waits until it goes on, or is killed.
                await_true(lambda: stored_tokens(best_database_url, ledger.customer).total() > stored)  # noqa: B023
                consumers[at].send(signal.SIGCONT)
            else:
                consumers[at].kill()
                consumers[at] = ConsumerProcess(tmp_path / "consumers.log", settings)
        poster.finish()
        await_true(lambda: not waiting(best_database_url), PROCESSED_S)
        await_true(lambda: len(stored_tokens(best_database_url, ledger.customer)) == len(ledger.acknowledged))
        tally("queue in a table", ledger.check(best_database_url))
        for consumer in consumers:
            consumer.terminate()
    finally:
        poster.finish()
        for consumer in consumers:
            consumer.kill()


def test_it_waits_while_nobody_consumes_and_the_server_does_by_itself(serve: Serve, best_database_url: str) -> None:
    """What is in the queue is durable; `serve` processes it, unless told not to."""
    server = serve(best_database_url, COLLECTOR_CONSUME="false")
    ledger = Ledger("waits")
    poster = Poster(server.client, ledger, random_of("waits"))
    poster.start()
    await_true(lambda: len(ledger.acknowledged) > 200)
    poster.finish()
    assert waiting(best_database_url) == len(ledger.acknowledged)
    assert not stored_tokens(best_database_url, ledger.customer)
    server.kill()
    other = serve(best_database_url)
    await_true(lambda: not waiting(best_database_url))
    ledger.check(best_database_url)
    await_true(lambda: other.client.metrics().total("collector_queue_waiting") == 0)
    metrics = other.client.metrics()
    assert metrics.total("collector_stored_total", endpoint="queue") == len(ledger.acknowledged)
