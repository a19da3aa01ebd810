"""The database away at the start and for a while, and a database that does not answer."""

import asyncio
import functools
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import psycopg

from tests.conftest import Serve
from tests.faults.books import await_true, balanced
from tests.faults.rounds import ROUNDS, random_of, tally
from tests.harness.client import Answer
from tests.harness.engines import Engine
from tests.harness.ledger import Ledger, stored_tokens
from tests.harness.load import Load
from tests.harness.messages import KINDS
from tests.harness.server import ServerProcess
from tests.harness.wire import Wire, line_of, lines_of

CUSTOMER = "away"
SINGLE_WAIT_S = 0.5
BACK_S = 12.0
"""After its return, however long it was away: the pool's longest pause, 2 s, and a try, on a busy machine."""
AWAY_S = 60.0 if ROUNDS >= 50 else 15.0
"""A minute, where time is taken for it."""
SLOW_ROWS_PER_S = 50
WAITING = 400
PIECES = 30
GRACE_S = 7.0
"""Over the wait, for a busy machine; less than the wait is by default, so that the setting is seen to count."""


def turned_away(server: ServerProcess, token: str, key: str | None = None) -> Answer:
    """A single payload that cannot be stored now: 503 with Retry-After, in time."""
    began = time.monotonic()
    answer = server.client.post(line_of(CUSTOMER, token), {"Idempotency-Key": key} if key else {})
    took_s = time.monotonic() - began
    assert answer.status == 503, answer
    assert 1 <= int(answer.headers["retry-after"]) <= 60
    assert answer.headers["content-type"] == "application/problem+json"
    assert took_s < SINGLE_WAIT_S + GRACE_S, f"answered after {took_s:.1f} s"
    return answer


def taken(server: ServerProcess, token: str) -> bool:
    """Whether a payload under a key of its own name is accepted now."""
    return server.client.post(line_of(CUSTOMER, token), {"Idempotency-Key": token}).status == 204


def test_all_goes_on_when_the_database_comes_back(serve: Serve, engine: Engine) -> None:
    with engine.private_server() as database:
        database.stop()
        server = serve(database.url, start=False, COLLECTOR_SINGLE_WAIT_S=str(SINGLE_WAIT_S))
        server.start(ready=False)
        for away in range(2):
            assert server.status("/health/live") == 200
            server.await_answer("/health/ready", 503)
            stream = Wire(server.client.address)
            stream.send(lines_of(CUSTOMER, f"stream {away}", 0, 500))
            turned_away(server, f"single {away}")
            turned_away(server, f"keyed {away}", key=f"keyed {away}")
            with ThreadPoolExecutor() as threads:
                others = [
                    threads.submit(server.client.get, "/stats"),
                    threads.submit(server.client.stream, "waiting"),
                    threads.submit(server.client.post_lines, b"", {"Idempotency-Key": "a key"}),
                ]
            for other in others:
                assert other.result().status == 503
                assert other.result().headers["retry-after"].isdigit()
            database.ensure_running()
            server.await_answer("/health/ready", timeout_s=BACK_S)
            server.await_answer("/stats", timeout_s=BACK_S)
            stream.send(lines_of(CUSTOMER, f"stream {away}", 500, 1_000))
            stream.end()
            assert stream.rest() == [{"accepted": 1_000, "rejected": 0, "errors": []}]
            before = (away + 1) * 1_001 - 1
            assert stored_tokens(database.url, CUSTOMER).total() == before, "what was answered 503 is stored"
            # As a device does: the first answers may still be 503, while connections are made again.
            await_true(functools.partial(taken, server, f"keyed {away}"))
            stored = stored_tokens(database.url, CUSTOMER)
            assert stored.total() == len(stored) == before + 1
            balanced(server.client)
            if not away:
                database.stop("immediate")


def test_a_minute_without_the_database(serve: Serve, best_engine: Engine) -> None:
    """Under load at every endpoint: nothing is acknowledged meanwhile, whoever asks is told so at once, and work goes
    on soon after the return, however long that took, without a restart.
    """
    with best_engine.private_server() as database:
        server = serve(database.url, COLLECTOR_SINGLE_WAIT_S=str(SINGLE_WAIT_S))
        first = server.worker_pids()
        ledger = Ledger("minute")

        async def without() -> None:
            load = Load([server.url], ledger, random_of("minute"), KINDS)
            async with asyncio.TaskGroup() as tasks:
                running = tasks.create_task(load.run())
                await load.acknowledged(1_000)
                await asyncio.to_thread(database.stop)
                for _ in range(10):  # answers that were on their way are there by then
                    await load.met_failure()
                acknowledged = len(ledger.acknowledged)
                await asyncio.to_thread(nothing_but_503, server)
                assert len(ledger.acknowledged) == acknowledged, "acknowledged without a database"
                await asyncio.to_thread(database.ensure_running)
                await asyncio.to_thread(server.await_answer, "/health/ready", timeout_s=BACK_S)
                await load.acknowledged(500)
                load.finish()
                async with asyncio.timeout(60):
                    await asyncio.wait([running])

        asyncio.run(without())
        tally("database away", ledger.check(database.url, at_end=True))
        assert server.worker_pids() == first
        await_true(lambda: balanced(server.client)["stored"] > 0)


def nothing_but_503(server: ServerProcess) -> None:
    """For as long as the database is to be away."""
    asked = 0
    deadline = time.monotonic() + AWAY_S
    while time.monotonic() < deadline:
        assert server.status("/health/ready") == 503
        asked += 1
        turned_away(server, "away", key="away")
    assert asked > 3


def test_retry_after_is_what_the_backlog_takes(serve: Serve, best_database_url: str) -> None:
    """A table that takes 50 rows a second, and some hundred payloads that wait: who is turned away is told to come back
    when they will be done.
    """
    with psycopg.connect(best_database_url, autocommit=True) as connection:
        connection.execute(
            "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS"
            f" $$ BEGIN PERFORM pg_sleep({1 / SLOW_ROWS_PER_S}); RETURN NEW; END $$"
        )
        connection.execute("CREATE TRIGGER slow BEFORE INSERT ON payload FOR EACH ROW EXECUTE FUNCTION slow()")
    settings = {"COLLECTOR_BATCH_ROWS": "10", "COLLECTOR_BACKLOG_ROWS": str(WAITING), "COLLECTOR_SINGLE_WAIT_S": "4"}
    server = serve(best_database_url, **settings)
    ledger = Ledger(CUSTOMER)

    def post(token: str) -> Answer:
        ledger.sent.add(token)
        answer = server.client.post(line_of(CUSTOMER, token))
        if answer.status == 204:
            ledger.acknowledge([token])
        elif "not stored" in answer.json()["detail"]:
            ledger.denied.add(token)
        return answer

    for number in range(20):  # its rate becomes known
        assert post(f"warm {number}").status == 204
    with ThreadPoolExecutor(WAITING + 50) as threads:
        answers = list(threads.map(post, [f"many {number}" for number in range(WAITING + 50)]))
    told = sorted(int(answer.headers["retry-after"]) for answer in answers if answer.status == 503)
    assert {answer.status for answer in answers} == {204, 503}
    # Of those that wait for the whole backlog, and of those that are given back when some of it is done.
    full_s = WAITING / SLOW_ROWS_PER_S
    assert full_s / 4 <= told[len(told) // 2] <= 2 * full_s, told
    await_true(lambda: not server.client.metrics().backlog_rows)
    assert post("again").status == 204
    balanced(server.client)
    tally("slow database", ledger.check(best_database_url, at_end=True))


def test_a_database_that_does_not_answer(serve: Serve, best_database_url: str) -> None:
    """A lock on the table: what is under way is answered 503, too, though nobody knows, and is stored once."""
    server = serve(best_database_url, COLLECTOR_SINGLE_WAIT_S=str(SINGLE_WAIT_S))
    assert server.client.post(line_of(CUSTOMER, "first")).status == 204
    with psycopg.connect(best_database_url) as other:
        other.execute("LOCK TABLE payload IN ACCESS EXCLUSIVE MODE")
        under_way = turned_away(server, "under way", key="under way")
        assert "not known" in under_way.json()["detail"]
        behind = turned_away(server, "behind")
        assert "not stored" in behind.json()["detail"]
    again = server.client.post(line_of(CUSTOMER, "under way"), {"Idempotency-Key": "under way"})
    assert (again.status, again.headers.get("idempotent-replayed")) == (204, "true")
    assert stored_tokens(best_database_url, CUSTOMER) == {"first": 1, "under way": 1}
    balanced(server.client)


def test_backends_that_are_ended_by_an_administrator(serve: Serve, best_database_url: str) -> None:
    """pg_terminate_backend over and over, in the middle of everything."""
    server = serve(best_database_url)
    stop = threading.Event()

    def terminate() -> None:
        with psycopg.connect(best_database_url, autocommit=True) as admin:
            while not stop.wait(0.1):
                admin.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                    " WHERE datname = current_database() AND pid <> pg_backend_pid()"
                )

    killer = threading.Thread(target=terminate)
    killer.start()
    try:
        wire = Wire(server.client.address)
        for piece in range(PIECES):
            wire.send(lines_of(CUSTOMER, "ended", piece * 100, piece * 100 + 100))
            assert server.client.post(line_of(CUSTOMER, f"single {piece}")).status == 204
        wire.end()
        assert wire.rest() == [{"accepted": PIECES * 100, "rejected": 0, "errors": []}]
    finally:
        stop.set()
        killer.join()
    stored = stored_tokens(best_database_url, CUSTOMER)
    assert stored.total() == len(stored) == PIECES * 101
    assert server.client.metrics().total("collector_retries_total") > 0
    await_true(lambda: balanced(server.client)["stored"] == PIECES * 101)
