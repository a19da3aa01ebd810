"""Sessions while nothing can be stored, or collectors die: sockets are not read, and every message is stored once."""

import functools
import http.client
import json
import threading
import time

import psycopg
import pytest
from psycopg.rows import TupleRow

from tests.conftest import Serve
from tests.faults.books import await_true, balanced
from tests.faults.test_memory import taken_until_it_stalls
from tests.harness.client import NDJSON
from tests.harness.server import ServerProcess
from tests.harness.wire import Wire

CHUNK_LINES = 4_096
CHUNKS_AFTER = 3
PEAK_BYTES = 150_000_000
VISIBLE_S = 60.0
"""For one that never is; how long it takes is measured by the benchmarks."""
LOG_LINES = 60_000
ROUNDS = 3
RETRY_S = 60.0


def lines(session: str, first: int, count: int) -> bytes:
    return b"".join(
        b'{"session":"%b","seq":%d,"cpu":%d,"properties":{"n":%d}}\n' % (session.encode(), seq, seq % 100, seq)
        for seq in range(first, first + count)
    )


def chunked(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def numbers(url: str, session: str) -> tuple[int, int, int]:
    """How many messages of a session are stored, how many numbers they have, and the highest."""
    with psycopg.connect(url) as connection:
        row = connection.execute(
            "SELECT count(*), count(DISTINCT seq), max(seq) FROM session_message WHERE session = %s", [session]
        ).fetchone()
    assert row is not None
    return row


def visible(connection: psycopg.Connection[TupleRow], count: int) -> bool:
    """Whether so many live messages can be read."""
    query = "SELECT count(*) FROM session_message WHERE event = 'live'"
    return connection.execute(query).fetchone() == (count,)


@pytest.mark.timeout(300)
def test_a_live_stream_waits_while_the_table_is_locked_and_loses_nothing(serve: Serve, database_url: str) -> None:
    server = serve(database_url)
    wire = Wire(server.client.address, {"Idempotency-Key": "live"}, path="/sessions")
    # A whole request's worth of lines, in chunks that follow each other.
    chunks = [chunked(lines("live", number * CHUNK_LINES, CHUNK_LINES)) for number in range(150)]
    raw = b"".join(chunks)
    with psycopg.connect(database_url) as other:
        other.execute("LOCK TABLE session_message IN ACCESS EXCLUSIVE MODE")
        sent = taken_until_it_stalls(wire, raw)
        assert sent < len(raw) // 2, "the socket was read on although nothing could be stored"
        assert server.status("/health/live") == 200
        assert server.peak_bytes() < PEAK_BYTES
    begun = 0
    number = 0
    while begun < sent or number < CHUNKS_AFTER:
        begun += len(chunks[number])
        number += 1
    wire.raw(raw[sent:begun])
    wire.end()
    total = number * CHUNK_LINES
    assert wire.rest() == [{"accepted": total, "rejected": 0, "errors": []}]
    assert numbers(database_url, "live") == (total, total, total - 1)
    assert balanced(server.client)["stored"] == total
    assert server.peak_bytes() < PEAK_BYTES


def test_live_messages_get_in_between_uploads_of_logs(serve: Serve, best_database_url: str) -> None:
    """Live messages wait for the transaction of a log, not for the log."""
    server = serve(best_database_url)
    done = threading.Event()
    logs: list[int] = []

    def upload() -> None:
        began_ms = int(time.time() * 1000) - 3_600_000
        data = b"".join(
            b'{"session":"logged-%d","seq":%d,"time":%d}\n' % (seq % 200, seq, began_ms) for seq in range(LOG_LINES)
        )
        logs.extend(post(server, "/sessions/logs", data) for _ in range(3))
        done.set()

    thread = threading.Thread(target=upload)
    thread.start()
    wire = Wire(server.client.address, path="/sessions")
    beside = 0
    with psycopg.connect(best_database_url, autocommit=True) as connection:
        number = 0
        while not done.is_set() or number < 5:
            # Of the same sessions, so that the locks are the same; what no log has.
            wire.send(b'{"session":"logged-%d","seq":%d,"event":"live"}\n' % (number % 200, LOG_LINES + number))
            number += 1
            await_true(functools.partial(visible, connection, number), VISIBLE_S)
            beside += not done.is_set()
    thread.join()
    wire.end()
    assert wire.rest()[-1]["accepted"] == number
    assert logs == [LOG_LINES] * 3
    assert beside > len(logs), "live messages waited for whole uploads"


def post(server: ServerProcess, path: str, data: bytes, **headers: str) -> int:
    """Send lines; returns how many were accepted. Raises OSError, HTTPException where the collector dies."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    try:
        connection.request("POST", path, data, {"Content-Type": NDJSON, **named})
        answer = connection.getresponse()
        document = json.loads(answer.read())
        if answer.status != 200:
            raise OSError(f"{answer.status}: {document}")
        accepted: int = document["accepted"]
        return accepted
    finally:
        connection.close()


@pytest.mark.timeout(300)
def test_a_log_sent_to_collectors_that_die_is_stored_once(serve: Serve, best_database_url: str) -> None:
    servers = [serve(best_database_url), serve(best_database_url)]
    for number in range(ROUNDS):
        session = f"round-{number}"
        live_lines = LOG_LINES // 2
        assert post(servers[0], "/sessions", lines(session, 0, live_lines)) == live_lines
        now_ms = int(time.time() * 1000)
        log = b"".join(
            b'{"session":"%b","seq":%d,"time":%d}\n' % (session.encode(), seq, now_ms) for seq in range(LOG_LINES)
        )
        found: list[int] = []

        def until_accepted(which: ServerProcess, *, log: bytes, found: list[int], key: str) -> None:
            deadline = time.monotonic() + RETRY_S
            while time.monotonic() < deadline:
                try:
                    found.append(post(which, "/sessions/logs", log, idempotency_key=key))
                except (OSError, http.client.HTTPException):
                    time.sleep(0.1)
                else:
                    return

        threads = [
            threading.Thread(
                target=until_accepted, args=(which,), kwargs={"log": log, "found": found, "key": f"{session}-{at}"}
            )
            for at, which in enumerate(servers)
        ]
        for thread in threads:
            thread.start()
        time.sleep(0.15 + 0.2 * number)
        servers[number % 2].restart()
        for thread in threads:
            thread.join()
        assert found == [LOG_LINES] * 2
        assert numbers(best_database_url, session) == (LOG_LINES, LOG_LINES, LOG_LINES - 1)
