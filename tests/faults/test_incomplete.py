"""Bodies that end before they are complete, by FIN, by RST, by half a close, under a Content-Length and in chunks:
never taken as complete. What was whole of a stream stays, and it goes on from there.
"""

import contextlib
import functools
import socket
import struct
from urllib.parse import quote

import pytest

from tests.conftest import Serve
from tests.faults.books import at_rest, await_true, balanced
from tests.faults.rounds import tally
from tests.harness.client import JSON, NDJSON, Client
from tests.harness.ledger import Ledger, stored
from tests.harness.messages import KINDS, STATS, Kind
from tests.harness.server import ServerProcess

TIMEOUT_S = 30.0
WHOLE, ALL = 5, 8
"""Lines that arrive, and lines of the stream."""
ENDS = ("FIN", "RST", "half a close")
FRAMINGS = ("length", "chunked")
CUTS = {"after a line": 0, "in a line": 25, "before its newline": -1}
"""How far into the line after the whole ones."""
SINGLES = [kind for kind in KINDS if kind.path != "/analytics"]
"""A single hit is in the query; it has no body that could break off."""


def begun(client: Client, path: str, *headers: str) -> socket.socket:
    """A connection on which the head of a POST was sent."""
    connection = socket.create_connection(client.address, timeout=TIMEOUT_S)
    connection.sendall("\r\n".join([f"POST {path} HTTP/1.1", "Host: test", *headers, "", ""]).encode())
    return connection


def framed(framing: str, data: bytes) -> bytes:
    return data if framing == "length" else b"%x\r\n%b\r\n" % (len(data), data)


def header_of(framing: str, length: int) -> str:
    return f"Content-Length: {length}" if framing == "length" else "Transfer-Encoding: chunked"


def ended(connection: socket.socket, end: str) -> bytes:
    """End it; returns what was answered, if anybody could hear it."""
    answer = b""
    with connection:
        if end == "RST":
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        elif end == "half a close":
            connection.shutdown(socket.SHUT_WR)
            with contextlib.suppress(ConnectionResetError):
                while more := connection.recv(65_536):
                    answer += more
    return answer


def state(client: Client, kind: Kind, key: str) -> dict[str, object]:
    answer = client.get(f"/streams/{quote(key, safe='')}", endpoint=kind.path)
    return answer.json() if answer.status == 200 else {}


def is_committed(client: Client, kind: Kind, key: str) -> bool:
    return state(client, kind, key).get("committed") == WHOLE


@pytest.fixture
def server(serve: Serve, best_database_url: str) -> ServerProcess:
    return serve(best_database_url)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.path)
def test_a_stream_that_breaks_off_is_not_complete_and_goes_on(
    server: ServerProcess, best_database_url: str, kind: Kind
) -> None:
    client = server.client
    ledger = Ledger(f"broken{kind.path.replace('/', '-')}")
    lines: dict[str, list[bytes]] = {}
    for end in ENDS:
        for framing in FRAMINGS:
            for cut, at in CUTS.items():
                key = f"{end}, {framing}, {cut}"
                identities = [f"{ledger.customer}/{key}:{number}" for number in range(ALL)]
                ledger.sent.update(identities)
                lines[key] = [kind.line(ledger.customer, identity) + b"\n" for identity in identities]
                connection = begun(
                    client,
                    kind.path,
                    f"Content-Type: {NDJSON}",
                    f"Idempotency-Key: {key}",
                    header_of(framing, sum(map(len, lines[key]))),
                )
                connection.sendall(framed(framing, b"".join(lines[key][:WHOLE])))
                if part := lines[key][WHOLE][:at]:
                    connection.sendall(framed(framing, part))
                if end == "RST":  # it may overtake what was sent before it
                    await_true(functools.partial(is_committed, client, kind, key))
                answer = ended(connection, end)
                assert answer == b"" or answer.startswith(b"HTTP/1.1 400 "), (key, answer)
    at_rest(client)
    for key, each in lines.items():
        assert state(client, kind, key) == {"committed": WHOLE, "rejected": 0, "complete": False}, key
        rest = client.post_lines(
            b"".join(each[WHOLE:]), {"Idempotency-Key": key, "Stream-Offset": str(WHOLE)}, kind.path
        )
        assert rest.json() == {"accepted": ALL, "rejected": 0, "errors": []}, key
    ledger.acknowledge(ledger.sent)
    tally("broken off", ledger.check(best_database_url, at_end=True))
    balanced(client)


@pytest.mark.parametrize("kind", SINGLES, ids=lambda kind: kind.path)
def test_a_single_message_that_breaks_off_is_not_stored(
    server: ServerProcess, best_database_url: str, kind: Kind
) -> None:
    """What has come is a whole message already; only blanks are missing. Sent again, it is new."""
    client = server.client
    ledger = Ledger(f"half{kind.path.replace('/', '-')}")
    repeated = []
    for end in ENDS:
        for framing in FRAMINGS:
            key = f"{end}, {framing}"
            identity = f"{ledger.customer}/{key}:1"
            body = kind.line(ledger.customer, identity)
            connection = begun(
                client,
                kind.path,
                f"Content-Type: {JSON}",
                f"Idempotency-Key: {key}",
                header_of(framing, len(body) + 20),
            )
            connection.sendall(framed(framing, body + b" " * 10))
            answer = ended(connection, end)
            assert answer == b"" or answer.startswith(b"HTTP/1.1 400 "), (key, answer)
            repeated.append((key, identity, body))
    at_rest(client)
    assert not stored(best_database_url, ledger.customer)
    for key, identity, body in repeated:
        ledger.sent.add(identity)
        again = client.post(body, {"Idempotency-Key": key}, kind.path)
        assert (again.status, again.headers.get("idempotent-replayed")) == (kind.status, None)
        ledger.acknowledge([identity])
    tally("broken off", ledger.check(best_database_url, at_end=True))
    balanced(client)


def test_more_than_the_length_says_is_nothing(server: ServerProcess, best_database_url: str) -> None:
    """A Content-Length that ends in a line: that line is rejected and named, and what follows is no request."""
    client, ledger = server.client, Ledger("short")
    identities = [f"short/line:{number}" for number in range(3)]
    lines = b"".join(STATS.line("short", identity) + b"\n" for identity in identities)
    connection = begun(
        client, "/stats", f"Content-Type: {NDJSON}", "Idempotency-Key: short", f"Content-Length: {len(lines) - 30}"
    )
    connection.sendall(lines)
    answer = ended(connection, "half a close")
    assert b'{"accepted":2,"rejected":1,"errors":[{"line":3,' in answer
    assert not answer.partition(b"\r\n\r\n")[2].partition(b"HTTP/1.1 ")[2].startswith(b"2")
    ledger.sent.update(identities[:2])
    ledger.acknowledge(ledger.sent)
    tally("broken off", ledger.check(best_database_url, at_end=True))
    balanced(client)
