"""COLLECTOR_READ_DATABASE_URL: what is read from a streaming replica, and what must be read from the primary is."""

import time
from collections.abc import Iterator

import pytest

from tests.conftest import Serve
from tests.faults.books import await_true
from tests.harness.client import Answer, Client
from tests.harness.engines import Engine
from tests.harness.replica import Replica, following
from tests.harness.server import ServerProcess
from tests.harness.wire import line_of, lines_of


@pytest.fixture(scope="module")
def pair(best_engine: Engine) -> Iterator[tuple[str, Replica]]:
    """The primary's URL, and its replica."""
    with best_engine.private_server(max_connections="250") as primary, following(best_engine, primary) as replica:
        yield primary.url, replica


@pytest.fixture
def replica(pair: tuple[str, Replica]) -> Replica:
    return pair[1]


@pytest.fixture
def server(serve: Serve, pair: tuple[str, Replica]) -> ServerProcess:
    return serve(pair[0], COLLECTOR_READ_DATABASE_URL=pair[1].url)


def windows(client: Client, customer: str) -> int:
    """Bytes of the CDN, as GET /stats has them."""
    answer = client.get("/stats", customer=customer)
    assert answer.status == 200, answer
    return sum(row["cdn"] for row in answer.json()["rows"])


def click(client: Client, user: str) -> Answer:
    return client.request("POST", f"/analytics?timestamp={int(time.time() * 1000)}&user={user}&click")


def test_what_may_lag_is_read_from_the_replica_and_what_may_not_from_the_primary(
    server: ServerProcess, replica: Replica
) -> None:
    client = server.client
    now_ms = int(time.time() * 1000)
    assert client.post(line_of("reader", "before")).status == 204
    assert click(client, "ann").status == 204
    replica.catch_up()
    assert windows(client, "reader") == 2
    replica.pause()
    try:
        assert client.post(line_of("reader", "after")).status == 204
        assert client.post_lines(b'{"session": "read", "cpu": 1}\n', path="/sessions").status == 200
        assert click(client, "ben").status == 204
        assert client.post_lines(lines_of("reader", "key", 0, 3), {"Idempotency-Key": "read"}).status == 200
        # From the replica: as it was.
        assert windows(client, "reader") == 2
        assert client.get("/sessions/read").json()["rows"] == []
        hours = client.get("/analytics/range", from_=now_ms - 3_600_000).json()["rows"]
        assert sum(hour["clicks"] for hour in hours) == 1
        # From the primary: an hour has every hit that was acknowledged, a stream what is committed, a repeat is known.
        assert client.get("/analytics", timestamp=now_ms).body.startswith(b"unique_users,2\nclicks,2\n")
        assert client.stream("read").json() == {"committed": 3, "rejected": 0, "complete": True}
        again = client.post_lines(lines_of("reader", "key", 0, 3), {"Idempotency-Key": "read"})
        assert again.headers["idempotent-replayed"] == "true"
        assert client.get("/health/ready").status == 200
    finally:
        replica.resume()
    replica.catch_up()
    assert windows(client, "reader") == 2 + 2 + 3 * 2
    assert len(client.get("/sessions/read").json()["rows"]) == 1


def test_without_the_replica_all_goes_on_but_what_is_read_there(server: ServerProcess, replica: Replica) -> None:
    client = server.client
    assert client.post(line_of("away", "one")).status == 204
    replica.catch_up()
    assert windows(client, "away") == 2
    replica.kill()
    try:
        answer = client.get("/stats", customer="away")
        assert answer.status == 503
        assert int(answer.headers["retry-after"]) >= 1
        assert client.post(line_of("away", "two")).status == 204
        assert click(client, "cy").status == 204
        assert client.get("/analytics", timestamp=int(time.time() * 1000)).status == 200
        assert client.get("/health/ready").status == 200
    finally:
        replica.start()
    replica.catch_up()
    await_true(lambda: client.get("/stats", customer="away").status == 200)
    assert windows(client, "away") == 4


def test_the_replica_cannot_be_written_to(serve: Serve, replica: Replica) -> None:
    """As DATABASE_URL it is not ready, and says why."""
    reader = serve(replica.url, start=False)
    reader.start(ready=False)
    answer = reader.client.get("/health/ready")
    assert (answer.status, "read-only" in answer.json()["detail"]) == (503, True)
    refused = reader.client.post(line_of("nobody", "one"), {"Content-Type": "application/json"})
    assert refused.status == 503
