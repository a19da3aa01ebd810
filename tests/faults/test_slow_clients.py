"""Clients that send a byte now and then are dropped by a deadline, in headers and bodies of every kind; those that send
whole lines with long pauses are not, nor those that the database makes wait.
"""

import contextlib
import gzip
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from collector.settings import Settings
from tests.conftest import Serve
from tests.faults.books import balanced
from tests.faults.rounds import tally
from tests.harness.client import JSON, NDJSON
from tests.harness.ledger import Ledger
from tests.harness.messages import STATS
from tests.harness.server import ServerProcess
from tests.harness.wire import Wire

DEADLINE_S = 2.0
"""Of a line or a single body."""
IDLE_S = 5.0
"""Of headers, and of a stream between two lines."""
BYTE_EVERY_S = 0.2
PAUSE_S = 1.0
"""Of a healthy client, between two lines and between two requests on one connection; it goes on for three deadlines.
"""
GIVEN_UP_S = 60.0
SETTINGS = {
    "COLLECTOR_HEADERS_S": str(IDLE_S),
    "COLLECTOR_LINE_S": str(DEADLINE_S),
    "COLLECTOR_IDLE_S": str(IDLE_S),
}


@pytest.fixture
def ledger() -> Ledger:
    return Ledger("slow")


@pytest.fixture
def server(serve: Serve, best_database_url: str) -> ServerProcess:
    return serve(best_database_url, **SETTINGS)


def line(ledger: Ledger, number: int, name: str = "line") -> bytes:
    identity = f"{ledger.customer}/{name}:{number}"
    ledger.sent.add(identity)
    return STATS.line(ledger.customer, identity) + b"\n"


@contextlib.contextmanager
def trickling(raw: socket.socket, data: bytes) -> Iterator[None]:
    """Meanwhile the bytes go out, one now and then, until nobody takes them any more."""
    stop = threading.Event()

    def send() -> None:
        with contextlib.suppress(OSError):
            for at in range(len(data)):
                raw.sendall(data[at : at + 1])
                if stop.wait(BYTE_EVERY_S):
                    return

    thread = threading.Thread(target=send)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def answer_to(server: ServerProcess, head: bytes, data: bytes) -> bytes:
    """What comes back to a head that is sent at once and to data that trickles, until the connection is closed."""
    with socket.create_connection(server.client.address, timeout=GIVEN_UP_S) as raw:
        raw.sendall(head)
        received = b""
        with trickling(raw, data), contextlib.suppress(ConnectionResetError):
            while more := raw.recv(65_536):
                received += more
    return received


def head_of(*lines: str) -> bytes:
    return "\r\n".join(["POST /stats HTTP/1.1", "Host: test", *lines, "", ""]).encode()


def test_a_byte_now_and_then_is_too_slow(server: ServerProcess, ledger: Ledger, best_database_url: str) -> None:
    """In headers the connection is closed, in a body of whatever kind there is an answer first."""
    body = line(ledger, 0, "never") * 20
    chunked = ("Transfer-Encoding: chunked", f"Content-Type: {NDJSON}")
    packed = gzip.compress(body)
    cases = {
        "headers": (b"", head_of(f"X-Slow: {'x' * 1_000}")),
        "nothing": (b"", b""),
        "single": (head_of(f"Content-Type: {JSON}", "Content-Length: 400"), body),
        "single, chunked": (head_of("Transfer-Encoding: chunked"), b"200\r\n" + body),
        "single, silent": (head_of("Content-Length: 400"), b"{"),
        "single, chunked and silent": (head_of("Transfer-Encoding: chunked"), b""),
        "line, silent": (head_of(*chunked), b"3\r\n{}"),
        "line": (head_of(*chunked), b"400\r\n" + body),
        "line, compressed": (
            head_of(f"Content-Type: {NDJSON}", "Content-Encoding: gzip", "Content-Length: 400"),
            packed,
        ),
        "form": (b"POST /login HTTP/1.1\r\nHost: test\r\nContent-Length: 200\r\n\r\n", b"key=" + b"x" * 190),
    }
    with ThreadPoolExecutor(len(cases)) as threads:
        tried = {name: threads.submit(answer_to, server, *case) for name, case in cases.items()}
        answers = {name: done.result() for name, done in tried.items()}
    assert answers.pop("headers") == answers.pop("nothing") == b""
    # Compressed data gives nothing for a while: until then it is only silent.
    for name, answer in answers.items():
        assert answer.startswith(b"HTTP/1.1 408 "), (name, answer)
        assert b"application/problem+json" in answer, name
    tally("slow clients", ledger.check(best_database_url, at_end=True))
    balanced(server.client)


@pytest.mark.parametrize("receipts", [False, True])
def test_what_was_whole_is_kept_and_told(
    server: ServerProcess, ledger: Ledger, best_database_url: str, receipts: bool
) -> None:
    """A line that is not ended in time ends the stream, with a word on how far it is; it goes on from there."""
    wire = Wire(server.client.address, {"Idempotency-Key": "slow"} | ({"Accept": NDJSON} if receipts else {}))
    wire.send(line(ledger, 0) + line(ledger, 1) + line(ledger, 2)[:-40])
    last = wire.rest()[-1]
    assert (last["status"], last["committed"]) == (408, 2)
    assert "2 s" in last["detail"]
    assert wire.status == (200 if receipts else 408)
    rest = server.client.post_lines(line(ledger, 2), {"Idempotency-Key": "slow", "Stream-Offset": "2"})
    assert rest.json() == {"accepted": 3, "rejected": 0, "errors": []}
    ledger.acknowledge(ledger.sent)
    tally("slow clients", ledger.check(best_database_url, at_end=True))
    balanced(server.client)


def test_a_stream_that_says_nothing_ends_and_one_with_pauses_does_not(
    server: ServerProcess, ledger: Ledger, best_database_url: str
) -> None:
    """Healthy ones: lines, blank lines, and requests on one connection, with pauses, for three deadlines."""
    silent = Wire(server.client.address, {"Idempotency-Key": "silent"})
    silent.send(line(ledger, 0, "silent"))
    healthy = Wire(server.client.address, {"Idempotency-Key": "healthy", "Accept": NDJSON})
    blank = Wire(server.client.address, {"Idempotency-Key": "blank"})
    kept = socket.create_connection(server.client.address, timeout=GIVEN_UP_S)
    rounds = round(3 * max(IDLE_S, DEADLINE_S) / PAUSE_S)
    for number in range(rounds):
        healthy.send(line(ledger, number, "healthy"))
        assert healthy.line()["committed"] == number + 1
        blank.send(b"\n")
        body = line(ledger, number, "kept")
        kept.sendall(head_of(f"Content-Type: {JSON}", f"Content-Length: {len(body)}") + body)
        assert kept.recv(65_536).startswith(b"HTTP/1.1 204 ")
        time.sleep(PAUSE_S)  # the pause is what is tested
    healthy.end()
    blank.end()
    assert healthy.rest()[-1] == {"accepted": rounds, "rejected": 0, "errors": []}
    assert blank.rest() == [{"accepted": 0, "rejected": 0, "errors": []}]
    (problem,) = silent.rest()
    assert (problem["status"], problem["committed"]) == (408, 1)
    kept.close()
    ledger.acknowledge(ledger.sent)
    tally("slow clients", ledger.check(best_database_url, at_end=True))


def test_what_the_database_makes_a_client_wait_does_not_count(
    serve: Serve, best_database_url: str, ledger: Ledger
) -> None:
    server = serve(best_database_url, **SETTINGS, COLLECTOR_BACKLOG_ROWS="1", COLLECTOR_BATCH_ROWS="1")
    wire = Wire(server.client.address, {"Idempotency-Key": "patient"})
    with psycopg.connect(best_database_url) as other:
        other.execute("LOCK TABLE payload IN ACCESS EXCLUSIVE MODE")
        for number in range(5):
            wire.send(line(ledger, number) + line(ledger, number + 100)[:-20])
            wire.send(line(ledger, number + 100)[-20:])
        last = line(ledger, 200)
        wire.send(last[:50])
        time.sleep(2 * DEADLINE_S)  # it is the deadline that is tested
    wire.send(last[50:])
    wire.end()
    assert wire.rest() == [{"accepted": 11, "rejected": 0, "errors": []}]
    ledger.acknowledge(ledger.sent)
    tally("slow clients", ledger.check(best_database_url, at_end=True))


def test_by_default_a_pause_of_30_s_is_no_reason_to_drop_anybody() -> None:
    settings = Settings()
    assert settings.headers_s >= 2 * 30
    assert settings.idle_s >= 10 * 30
    assert settings.line_s >= 30
