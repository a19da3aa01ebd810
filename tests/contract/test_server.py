"""What only the real server shows: bytes on a socket, chunks as they come, answers before the request has ended."""

import contextlib
import gzip
import http.client
import json
import socket
from collections.abc import Iterator

import pytest
import zstandard

from tests.conftest import Serve
from tests.contract.driver import NDJSON, Table, payload, unique
from tests.harness.client import Client
from tests.harness.server import ServerProcess
from tests.strategies import VALID, encoded

TIMEOUT_S = 30.0
MIB = 1024 * 1024


@pytest.fixture(scope="module")
def server(module_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """One for all tests here, with names of their own: starting it is what takes time."""
    with ServerProcess(module_url, tmp_path_factory.mktemp("server") / "log") as running:
        yield running


def connect(server: ServerProcess) -> socket.socket:
    return socket.create_connection(("127.0.0.1", server.port), timeout=TIMEOUT_S)


def until_closed(connection: socket.socket) -> bytes:
    found = b""
    with contextlib.suppress(ConnectionResetError):
        while data := connection.recv(65536):
            found += data
    return found


def head(*lines: str) -> bytes:
    return "\r\n".join([*lines, "Host: collector", "", ""]).encode("latin-1")


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def test_http_facts_of_singles_and_lines(server: ServerProcess, table: Table) -> None:
    client, customer = server.client, unique("acme")
    body = encoded(payload(customer, 1))
    assert client.post(body).status == 204
    assert client.post(iter([body[:30], body[30:]])).status == 204, "chunked"
    assert client.request("POST", "/stats", body).status == 204, "without a Content-Type"
    assert client.post(gzip.compress(body), {"Content-Encoding": "gzip"}).status == 204
    lines = (encoded(payload(customer, number)) + b"\n" for number in range(2, 5))
    assert client.post_lines(lines).json() == {"accepted": 3, "rejected": 0, "errors": []}
    packed = zstandard.compress(encoded(payload(customer, 5)) + b"\n")
    assert client.post_lines(packed, {"Content-Encoding": "zstd"}).json()["accepted"] == 1
    assert sorted(row.p2p for row in table.payloads(customer)) == [1, 1, 1, 1, 2, 3, 4, 5]
    (row,) = client.get("/stats", customer=customer).json()["rows"]
    assert (row["p2p"], row["cdn"], row["content"]) == (18, 180, "film")

    for status, answer in (
        (400, client.post(b"bad")),
        (415, client.request("POST", "/stats", body, {"Content-Type": "text/plain"})),
        (413, client.post(b" " * 70_000)),
        (404, client.get("/nowhere")),
        (405, client.request("DELETE", "/stats")),
        (400, client.get("/stats", limit=0)),
    ):
        assert (answer.status, answer.headers["content-type"]) == (status, "application/problem+json")
        assert answer.json()["status"] == status
    refused = client.get("/streams/none")
    assert refused.json()["detail"]

    for key in ("a/b", "//x//", "with space", "%2F?#", '"', "~!@$^&*()_+{}|:<>"):
        assert client.post_lines(VALID, {"Idempotency-Key": key}).status == 200
        assert client.stream(key).json() == {"committed": 1, "rejected": 0, "complete": True}, key


def test_a_connection_serves_one_request_after_the_other(server: ServerProcess, table: Table) -> None:
    customer = unique("acme")
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=TIMEOUT_S)
    with contextlib.closing(connection):
        for number in range(1, 6):
            connection.request("POST", "/stats", encoded(payload(customer, number)))
            assert connection.getresponse().read() == b""
            connection.request("POST", "/stats", b"bad")
            assert json.loads(connection.getresponse().read())["status"] == 400
            connection.request("POST", "/stats", iter([b'{"tok', b"en"]), {"Content-Type": NDJSON})
            assert json.loads(connection.getresponse().read())["rejected"] == 1
    assert [row.p2p for row in table.payloads(customer)] == [1, 2, 3, 4, 5]


def test_receipts_come_while_the_request_goes_on(server: ServerProcess, table: Table) -> None:
    """Each line is acknowledged before the next one is sent, on one request, in pieces cut anywhere."""
    customer = unique("acme")
    with connect(server) as connection:
        connection.sendall(
            head(
                "POST /stats HTTP/1.1",
                f"Content-Type: {NDJSON}",
                f"Accept: {NDJSON}",
                "Transfer-Encoding: chunked",
                f"Idempotency-Key: {customer}",
                "Connection: close",
            )
        )
        received = b""
        for number in range(1, 6):
            line = encoded(payload(customer, number)) + b"\n"
            connection.sendall(chunk(line[:40]))
            connection.sendall(chunk(line[40:]))
            while b'"committed":%d' % number not in received:
                data = connection.recv(65536)
                assert data, received
                received += data
            assert len(table.payloads(customer)) == number
        assert received.startswith(b"HTTP/1.1 200 ")
        connection.sendall(b"0\r\n\r\n")
        received += until_closed(connection)
    assert b'{"accepted":5,"rejected":0,"errors":[]}' in received
    assert server.client.stream(customer).json()["complete"] is True


@pytest.mark.parametrize("chunked", [False, True])
def test_a_client_that_goes_away_in_the_middle_of_a_line(server: ServerProcess, table: Table, chunked: bool) -> None:
    """What was whole stays; the stream is not complete, and goes on."""
    customer = unique("acme")
    lines = b"".join(encoded(payload(customer, number)) + b"\n" for number in range(10))
    cut = len(lines) - 30
    framing = "Transfer-Encoding: chunked" if chunked else f"Content-Length: {len(lines)}"
    headers = [f"Content-Type: {NDJSON}", f"Idempotency-Key: {customer}", f"Accept: {NDJSON}", framing]
    with connect(server) as connection:
        connection.sendall(head("POST /stats HTTP/1.1", *headers))
        connection.sendall(chunk(lines[:cut]) if chunked else lines[:cut])
        received = b""
        while b'"committed":9' not in received:
            data = connection.recv(65536)
            assert data, received
            received += data
    assert server.client.stream(customer).json() == {"committed": 9, "rejected": 0, "complete": False}
    rest = b"".join(lines.splitlines(keepends=True)[9:])
    answer = server.client.post_lines(rest, {"Idempotency-Key": customer, "Stream-Offset": "9"})
    assert answer.json() == {"accepted": 10, "rejected": 0, "errors": []}
    assert len(table.payloads(customer)) == 10


def test_a_zstd_bomb_and_a_line_without_end_with_memory_flat(server: ServerProcess) -> None:
    client = server.client
    assert client.post(VALID).status == 204
    before_bytes = server.peak_bytes()
    bomb = zstandard.compress(bytes(1024 * MIB))
    assert client.post_lines(bomb, {"Content-Encoding": "zstd"}).status == 413
    assert client.post(bomb, {"Content-Encoding": "zstd"}).status == 413
    deep = b"[" * 100_000
    assert client.post_lines(deep + b"\n" + VALID).json()["accepted"] == 1
    endless = client.post_lines(b"x" * MIB for _ in range(64))
    assert (endless.status, endless.json()["rejected"]) == (400, 1)
    # Of the 1 GB, the 64 MB and the rest nothing is held: buffers of the sockets and of the decoders remain.
    assert server.peak_bytes() - before_bytes < 32 * MIB


def test_several_workers_answer_for_each_other(serve: Serve, module_url: str, table: Table) -> None:
    server = serve(module_url, workers=2)
    customer = unique("acme")
    client: Client = server.client
    for number in range(20):
        assert client.post(encoded(payload(customer, number, session_duration=0))).status == 204
        assert client.post_lines(VALID, {"Idempotency-Key": f"w{number}"}).status == 200
        assert client.stream(f"w{number}").json()["complete"] is True
    (row,) = client.get("/stats", customer=customer).json()["rows"]
    assert row["sessions"] == 20
    balance = client.metrics().balance()
    assert balance["received"] == balance["stored"] == 40
    assert len(table.payloads(customer)) == 20
