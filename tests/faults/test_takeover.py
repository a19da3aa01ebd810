"""The same key in two requests at once, and rows that the database refuses."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from tests.conftest import Serve
from tests.faults.books import await_true, balanced
from tests.faults.rounds import random_of, tally
from tests.harness.client import NDJSON, Answer, Client
from tests.harness.ledger import Ledger, stored_tokens
from tests.harness.messages import KINDS, Kind
from tests.harness.server import ServerProcess
from tests.harness.wire import Wire, line_of, lines_of

CUSTOMER = "takeover"
LINES = 200


@pytest.fixture
def pair(serve: Serve, database_url: str) -> Iterator[list[ServerProcess]]:
    """Two collectors on one database: the two requests meet in the database only."""
    yield [serve(database_url), serve(database_url)]


@pytest.mark.parametrize("elsewhere", [0, 1], ids=["same collector", "another collector"])
@pytest.mark.parametrize("receipts", [True, False])
def test_the_newer_request_takes_over(
    pair: list[ServerProcess], database_url: str, elsewhere: int, receipts: bool
) -> None:
    key = {"Idempotency-Key": "taken"}
    old = Wire(pair[0].client.address, key | ({"Accept": NDJSON} if receipts else {}))
    old.send(lines_of(CUSTOMER, "taken", 0, LINES))
    committed = {"committed": LINES, "rejected": 0, "complete": False}
    await_true(lambda: pair[0].client.stream("taken").status == 200)
    await_true(lambda: pair[0].client.stream("taken").json() == committed)
    new = Wire(pair[elsewhere].client.address, key | {"Accept": NDJSON, "Stream-Offset": str(LINES)})
    new.send(lines_of(CUSTOMER, "taken", LINES, 2 * LINES))
    while new.line()["committed"] < 2 * LINES:
        pass
    # The older goes on with lines of its own, which nobody may ever see.
    old.send(lines_of(CUSTOMER, "never", 0, LINES))
    answer = old.rest()[-1]
    assert answer["status"] == 409
    assert answer["committed"] == LINES
    assert old.status == (200 if receipts else 409)
    new.send(lines_of(CUSTOMER, "taken", 2 * LINES, 3 * LINES))
    new.end()
    assert new.rest()[-1] == {"accepted": 3 * LINES, "rejected": 0, "errors": []}
    ledger = Ledger(CUSTOMER)
    ledger.acknowledge(f"taken:{number}" for number in range(3 * LINES))
    ledger.denied |= {f"never:{number}" for number in range(LINES)}
    ledger.sent |= ledger.acknowledged | ledger.denied
    tally("taken over", ledger.check(database_url, at_end=True))
    for server in pair:
        balanced(server.client)


def test_a_race_for_one_key_stores_every_line_once(pair: list[ServerProcess], database_url: str) -> None:
    """Twelve requests at once with the whole stream: one after another takes over, and the last one finishes."""
    body = lines_of(CUSTOMER, "race", 0, 3_000)

    def one(number: int) -> Answer:
        return pair[number % 2].client.post_lines(body, {"Idempotency-Key": "race"})

    with ThreadPoolExecutor(12) as threads:
        answers = list(threads.map(one, range(12)))
    assert {answer.status for answer in answers} <= {200, 409}
    done = [answer for answer in answers if answer.status == 200]
    assert done
    assert all(answer.json() == {"accepted": 3_000, "rejected": 0, "errors": []} for answer in done)
    stored = stored_tokens(database_url, CUSTOMER)
    assert stored.total() == len(stored) == 3_000
    for server in pair:
        balanced(server.client)


def test_the_same_singles_to_two_collectors_at_once(pair: list[ServerProcess], database_url: str) -> None:
    """The same keys from many clients, in opposite orders: no deadlock is seen outside, and each is stored once."""
    numbers = list(range(150))

    def send(client: Client, order: list[int]) -> list[int]:
        return [
            client.post(line_of(CUSTOMER, f"single:{number}"), {"Idempotency-Key": f"single {number}"}).status
            for number in order
        ]

    with ThreadPoolExecutor(8) as threads:
        sent = [threads.submit(send, pair[at % 2].client, numbers[:: (-1) ** at]) for at in range(8)]
        statuses = [status for done in sent for status in done.result()]
    assert set(statuses) == {204}
    stored = stored_tokens(database_url, CUSTOMER)
    assert stored.total() == len(stored) == len(numbers)
    repeated = sum(balanced(server.client)["repeated"] for server in pair)
    assert repeated == 7 * len(numbers)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.path)
def test_one_keyed_batch_to_four_collectors_at_once(serve: Serve, best_database_url: str, kind: Kind) -> None:
    """Each gets all of it, singles and streams, in an order of its own: one copy, and no answer is a 5xx."""
    servers = [serve(best_database_url) for _ in range(4)]
    ledger = Ledger(f"four-{kind.path.strip('/').replace('/', '-')}")
    singles = [f"{ledger.customer}/single:{number}" for number in range(80)]
    streams = [[f"{ledger.customer}/stream {number}:{line}" for line in range(200)] for number in range(8)]
    ledger.sent.update(singles, *streams)

    def send(at: int) -> list[int]:
        client, choices = servers[at].client, random_of("four", kind.path, at)
        statuses = []
        for number in choices.sample(range(len(singles) + len(streams)), len(singles) + len(streams)):
            headers = {"Idempotency-Key": f"key {number}"}
            if number < len(singles):
                target, body = kind.single(ledger.customer, singles[number])
                answer = client.post(body, headers, target)
            else:
                lines = [kind.line(ledger.customer, identity) for identity in streams[number - len(singles)]]
                while (answer := client.post_lines(b"\n".join(lines), headers, kind.path)).status == 409:
                    pass  # another one has taken it over, and is not done
                assert answer.json()["accepted"] == len(lines)
            statuses.append(answer.status)
        return statuses

    with ThreadPoolExecutor(len(servers)) as threads:
        answers = list(threads.map(send, range(len(servers))))
    assert {status for statuses in answers for status in statuses} <= {200, kind.status}
    ledger.acknowledge(ledger.sent)
    tally("four collectors", ledger.check(best_database_url, at_end=True))
    stored = [server.client.metrics().total("collector_stored_total", endpoint=kind.path) for server in servers]
    assert sum(stored) == len(ledger.sent)
    for server in servers:
        balanced(server.client)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.path)
def test_a_key_used_again_for_other_content_changes_nothing(
    pair: list[ServerProcess], database_url: str, kind: Kind
) -> None:
    """422 from either collector, alone or as lines, at once or later; what was stored under the key stays as it is."""
    ledger = Ledger("reused")
    ledger.sent |= {"reused/first:1", "reused/stream:1", "reused/stream:2"}
    target, body = kind.single("reused", "reused/first:1")
    lines = b"".join(kind.line("reused", f"reused/stream:{number}") + b"\n" for number in (1, 2))
    for number, server in enumerate(pair):
        single = server.client.post(body, {"Idempotency-Key": "single"}, target)
        stream = server.client.post_lines(lines, {"Idempotency-Key": "stream"}, kind.path)
        for answer in (single, stream):
            assert answer.headers.get("idempotent-replayed") == (None if not number else "true")
    ledger.acknowledge(ledger.sent)
    other_target, other_body = kind.single("reused", "reused/other:1")
    other_lines = kind.line("reused", "reused/other:2") + b"\n"
    for server in pair:
        for answer in (
            server.client.post(other_body, {"Idempotency-Key": "single"}, other_target),
            server.client.post_lines(other_lines, {"Idempotency-Key": "single"}, kind.path),
            server.client.post_lines(other_lines, {"Idempotency-Key": "stream"}, kind.path),
            server.client.post_lines(lines + other_lines, {"Idempotency-Key": "stream"}, kind.path),
            server.client.post_lines(lines[: len(lines) // 2], {"Idempotency-Key": "stream"}, kind.path),
            server.client.post(other_body, {"Idempotency-Key": "stream"}, other_target),
        ):
            assert answer.status == 422, answer
            assert answer.headers["content-type"] == "application/problem+json"
    verdict = ledger.check(database_url, at_end=True)
    assert verdict.stored == 3
    tally("key reused", verdict)


def test_streams_with_the_same_tokens_do_not_deadlock(pair: list[ServerProcess], database_url: str) -> None:
    """Tokens in opposite orders, from streams on two collectors and singles beside them: all of them succeed."""
    numbers = list(range(4_000))
    lines = [line_of(CUSTOMER, f"token:{number}") for number in numbers]

    def stream(at: int) -> Answer:
        return pair[at % 2].client.post_lines(b"".join(lines[:: (-1) ** (at // 2)]), {"Idempotency-Key": f"d{at}"})

    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(stream, range(8)))
    assert [answer.json() for answer in answers] == [{"accepted": len(lines), "rejected": 0, "errors": []}] * 8
    with psycopg.connect(database_url) as connection:
        found = connection.execute("SELECT count(*), count(*) FILTER (WHERE started) FROM payload").fetchone()
    assert found == (8 * len(lines), len(lines))


@pytest.fixture
def refusing(database_url: str) -> str:
    """A database whose table refuses some tokens."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
            " IF NEW.token LIKE 'bad%' THEN RAISE EXCEPTION 'no % here', NEW.token; END IF; RETURN NEW; END $$"
        )
        connection.execute("CREATE TRIGGER refuse BEFORE INSERT ON payload FOR EACH ROW EXECUTE FUNCTION refuse()")
    return database_url


@pytest.mark.parametrize("key", [None, "refused"])
def test_a_refused_line_is_quarantined_and_its_neighbours_stored(serve: Serve, refusing: str, key: str | None) -> None:
    server = serve(refusing)
    bad = {3, 77, 78, 499, 500}
    lines = [line_of(CUSTOMER, f"bad {number}" if number in bad else f"good {number}") for number in range(1, 501)]
    lines[9] = b"not json\n"
    lines[10] = b"\n"
    answer = server.client.post_lines(b"".join(lines), {"Idempotency-Key": key} if key else {})
    summary = answer.json()
    assert (answer.status, summary["accepted"], summary["rejected"]) == (200, 500 - 1 - 1 - len(bad), len(bad) + 1)
    assert sorted(error["line"] for error in summary["errors"]) == sorted(bad | {10})
    with psycopg.connect(refusing) as connection:
        rows = connection.execute("SELECT line, reason, raw FROM rejected ORDER BY line").fetchall()
    assert [line for line, _, _ in rows] == sorted(bad | {10})
    for line, reason, raw in rows:
        if line in bad:
            assert reason == f"refused: no bad {line} here"
            assert raw + b"\n" == lines[line - 1]
    stored = stored_tokens(refusing, CUSTOMER)
    assert set(stored) == {f"good {number}" for number in range(1, 501)} - {f"good {number}" for number in (10, 11)} - {
        f"good {number}" for number in bad
    }
    assert set(stored.values()) == {1}
    assert server.client.metrics().total("collector_rejected_total", reason="refused") == len(bad)
    balanced(server.client)
    if key:
        again = server.client.post_lines(b"".join(lines), {"Idempotency-Key": key})
        assert again.headers["idempotent-replayed"] == "true"
        assert again.json()["accepted"] == summary["accepted"]
        assert sorted(error["line"] for error in again.json()["errors"]) == sorted(bad | {10})


def test_a_refused_single_is_answered_400_and_its_neighbours_204(serve: Serve, refusing: str) -> None:
    server = serve(refusing)
    barrier = threading.Barrier(30)

    def one(number: int) -> int:
        token = f"bad {number}" if number % 7 == 0 else f"good {number}"
        headers = {"Idempotency-Key": f"k{number}"} if number % 2 else {}
        barrier.wait()
        return server.client.post(line_of(CUSTOMER, token), headers).status

    with ThreadPoolExecutor(30) as threads:
        statuses = list(threads.map(one, range(30)))
    assert statuses == [400 if number % 7 == 0 else 204 for number in range(30)]
    answer = server.client.post(line_of(CUSTOMER, "bad alone"))
    assert answer.status == 400
    assert "no bad alone here" in answer.json()["detail"]
    stored = stored_tokens(refusing, CUSTOMER)
    assert stored.total() == len(stored) == statuses.count(204)
    balanced(server.client)
