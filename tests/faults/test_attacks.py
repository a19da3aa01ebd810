"""Attacks that cost the attacker little: each ends in a 4xx or a closed socket, with the memory flat and the number of
metric series constant, and others are served meanwhile.
"""

import asyncio
import contextlib
import gzip
import resource
import socket
import threading
import uuid
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import aiohttp
import pytest
import zstandard

from collector.commands.keyring import create
from collector.database.chosen import Database
from tests.conftest import Serve
from tests.faults.books import balanced
from tests.faults.rounds import tally
from tests.harness.client import JSON, NDJSON, Client
from tests.harness.ledger import Ledger
from tests.harness.messages import STATS
from tests.harness.server import ServerProcess

MIB = 2**20
FLAT_BYTES = 32 * MIB
"""What buffers of sockets and decoders come to, and what an allocator keeps."""
IDLE = 10_000
IDLE_BYTES = 16 * 1024
"""What each of many idle connections may cost."""
SPARE_FILES = 500
CLOSED_S = 60.0
FLOOD_CLIENTS = 16
FLOOD_REQUESTS = 4_000
RATE = 50.0


@pytest.fixture
def server(serve: Serve, best_database_url: str) -> ServerProcess:
    return serve(best_database_url)


class Others:
    """Clients who go on meanwhile, and are to be served: a keyed payload after the other."""

    def __init__(self, client: Client, ledger: Ledger, headers: dict[str, str] | None = None) -> None:
        self._client = client
        self._ledger = ledger
        self._headers = headers or {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._failure: BaseException | None = None

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        assert self._failure is None, self._failure
        assert self._ledger.acknowledged

    def _run(self) -> None:
        number = 0
        try:
            while not self._stop.is_set() or not number:
                identity = f"{self._ledger.customer}/others:{number}"
                number += 1
                self._ledger.sent.add(identity)
                answer = self._client.post(STATS.line(self._ledger.customer, identity), self._headers)
                assert answer.status == 204, answer
                self._ledger.acknowledge([identity])
        except BaseException as exc:
            self._failure = exc


@contextlib.contextmanager
def flat(server: ServerProcess, url: str, allowed_bytes: int = FLAT_BYTES) -> Iterator[Ledger]:
    """Meanwhile others are served, and afterwards the memory is as it was, and what they were told is stored."""
    ledger = Ledger(f"attack-{uuid.uuid4().hex[:8]}")
    with Others(server.client, ledger):
        warm_up(server.client)
        before_bytes = server.peak_bytes()
        yield ledger
    grown = server.peak_bytes() - before_bytes
    assert grown < allowed_bytes, f"{grown / MIB:.0f} MiB more"
    tally("attacks", ledger.check(url, at_end=True))
    balanced(server.client)


def warm_up(client: Client) -> None:
    """What is loaded and allocated once."""
    assert client.post_lines(gzip.compress(b"{}"), {"Content-Encoding": "gzip"}).status == 400
    assert client.post_lines(zstandard.compress(b"{}"), {"Content-Encoding": "zstd"}).status == 400
    assert client.get("/nowhere").status == 404
    assert client.get("/metrics").status == 200


def test_bombs(server: ServerProcess, best_database_url: str) -> None:
    """A gigabyte of nothing in a megabyte of gzip, in 33 KB of zstd, and bombs in bombs, alone and as lines."""
    bombs = {"gzip": gzip.compress(bytes(64 * MIB)) * 16, "zstd": zstandard.compress(bytes(1024 * MIB))}
    with flat(server, best_database_url):
        for coding, bomb in bombs.items():
            assert len(bomb) < 2 * MIB
            for post in (server.client.post, server.client.post_lines):
                answer = post(bomb, {"Content-Encoding": coding})
                assert answer.status in (400, 413), (coding, answer)
        for nested in ("gzip, gzip", "gzip,zstd", "zstd, gzip, zstd", "gzip;q=1", "deflate", "br", "x" * 1_000):
            assert server.client.post_lines(gzip.compress(bombs["gzip"]), {"Content-Encoding": nested}).status == 415
        twice = gzip.compress(bombs["gzip"])
        assert server.client.post_lines(twice, {"Content-Encoding": "gzip"}).status == 400


def raw(server: ServerProcess, data: bytes) -> bytes:
    """What the server says to these bytes until it closes the connection."""
    received = b""
    with socket.create_connection(server.client.address, timeout=CLOSED_S) as connection:
        with contextlib.suppress(OSError):
            connection.sendall(data)
        with contextlib.suppress(ConnectionResetError):
            while more := connection.recv(65_536):
                received += more
    return received


def test_floods_of_headers(server: ServerProcess, best_database_url: str) -> None:
    """One of 100 kB, of a megabyte, thousands of small ones, and a path without end."""
    body = STATS.line("never", "never/never:1")
    floods = {
        "100 kB": b"X: " + b"x" * 100_000,
        "40 kB in four": b"\r\n".join(b"X-%d: %b" % (number, b"x" * 10_000) for number in range(4)),
        "1 MB": b"X: " + b"x" * MIB,
        "thousands": b"\r\n".join(b"X-%d: 1" % number for number in range(5_000)),
        "cookies": b"Cookie: " + b"a=b; " * 20_000,
        "key": b"Idempotency-Key: " + b"k" * 100_000,
        "bearer": b"Authorization: Bearer ck_" + b"k" * 100_000,
    }
    with flat(server, best_database_url):
        for name, flood in floods.items():
            for _ in range(5):
                head = b"POST /stats HTTP/1.1\r\nHost: test\r\nConnection: close\r\nContent-Length: %d\r\n" % len(body)
                answer = raw(server, head + flood + b"\r\n\r\n" + body)
                assert answer == b"" or answer.startswith((b"HTTP/1.1 431 ", b"HTTP/1.1 400 ")), (name, answer[:100])
        for path in (b"/" + b"x" * 100_000, b"/stats?" + b"a=b&" * 100_000, b"/streams/" + b"k" * 60_000):
            answer = raw(server, b"GET %b HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n" % path)
            assert answer == b"" or answer[9:10] == b"4", answer[:100]
        for garbage in (b"\x16\x03\x01\x02\x00", b"\x00" * 10_000, b"GET\r\n\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"):
            answer = raw(server, garbage + b"\r\n\r\n")
            assert answer == b"" or answer.startswith(b"HTTP/1.1 4"), answer[:100]


def test_a_request_that_two_could_read_differently(server: ServerProcess, best_database_url: str) -> None:
    """Two lengths, or a length and chunks: nothing after the first body is taken for a request."""
    inner = b"POST /stats HTTP/1.1\r\nHost: test\r\nContent-Length: 2\r\n\r\n{}"
    heads = (
        b"Content-Length: 0\r\nContent-Length: %d\r\n" % len(inner),
        b"Content-Length: %d\r\nTransfer-Encoding: chunked\r\n" % len(inner),
        b"Transfer-Encoding: gzip, chunked, identity\r\n",
        b"Transfer-Encoding: chunked, chunked\r\n",
        b"Content-Length: +0\r\n",
        b"Content-Length : 0\r\n",
    )
    with flat(server, best_database_url):
        for head in heads:
            answer = raw(server, b"POST /stats HTTP/1.1\r\nHost: test\r\nConnection: close\r\n%b\r\n%b" % (head, inner))
            assert answer.count(b"HTTP/1.1 ") <= 1, answer
            assert answer == b"" or answer.startswith(b"HTTP/1.1 4"), answer[:100]


def test_ten_thousand_idle_connections(serve: Serve, best_database_url: str) -> None:
    """They cost little, hinder nobody, and are closed after a while."""
    server = serve(best_database_url, COLLECTOR_HEADERS_S="20")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    count = min(IDLE, hard - SPARE_FILES)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    try:
        with (
            flat(server, best_database_url, FLAT_BYTES + count * IDLE_BYTES) as ledger,
            contextlib.ExitStack() as stack,
        ):
            idle = []
            for number in range(count):
                connection = stack.enter_context(socket.create_connection(server.client.address, timeout=CLOSED_S))
                if number % 2:
                    connection.sendall(b"POST /stats HTTP/1.1\r\nHost: te")
                idle.append(connection)
            before = len(ledger.acknowledged)
            assert server.client.get("/health/ready").status == 200
            for connection in idle:
                with contextlib.suppress(ConnectionResetError):
                    assert connection.recv(100) == b""
            assert len(ledger.acknowledged) > before, "others were not served meanwhile"
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    print(f"{count} idle connections")


async def flood(url: str, headers: dict[str, str], requests: int = FLOOD_REQUESTS) -> Counter[int]:
    """Many requests as fast as they go; how often each status was the answer."""
    statuses: Counter[int] = Counter()
    body = STATS.line("flood", "flood/flood:1")

    async def client(http: aiohttp.ClientSession) -> None:
        for number in range(requests // FLOOD_CLIENTS):
            key = {"Content-Type": JSON} | ({"Idempotency-Key": "flood"} if number % 2 else {})
            async with http.post(f"{url}/stats", data=body, headers={**headers, **key}) as answer:
                statuses[answer.status] += 1
                if answer.status == 429:
                    assert int(answer.headers["Retry-After"]) >= 1

    async with (
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as http,
        asyncio.TaskGroup() as tasks,
    ):
        for _ in range(FLOOD_CLIENTS):
            tasks.create_task(client(http))
    return statuses


def test_a_flood_with_one_key_takes_nothing_from_others(serve: Serve, best_database_url: str) -> None:
    server = serve(best_database_url, COLLECTOR_API_KEYS="on")
    flooding, good = (
        {"Authorization": f"Bearer {create(Database(best_database_url), name, 'ingest', rate).key}"}
        for name, rate in (("flood", RATE), ("good", None))
    )
    ledger = Ledger("good")
    with Others(server.client, ledger, good):
        assert server.client.post(b"{}", flooding).status == 400  # found, and warm
        before_bytes = server.peak_bytes()
        statuses = asyncio.run(flood(server.url, flooding))
    assert set(statuses) == {204, 429}
    assert statuses.total() == FLOOD_REQUESTS
    assert statuses[429] > statuses[204]
    assert server.peak_bytes() - before_bytes < FLAT_BYTES
    tally("attacks", ledger.check(best_database_url, at_end=True))


def test_a_flood_of_strangers(serve: Serve, best_database_url: str) -> None:
    """No key, nonsense, and keys that look right."""
    server = serve(best_database_url, COLLECTOR_API_KEYS="on")
    good = {"Authorization": f"Bearer {create(Database(best_database_url), 'good', 'ingest', None).key}"}
    ledger = Ledger("strangers")
    with Others(server.client, ledger, good):
        before_bytes = server.peak_bytes()
        for stranger in ({}, {"Authorization": "Bearer nonsense"}):
            assert set(asyncio.run(flood(server.url, stranger))) == {401}
        # These are looked for, a few times a second for all of them together, and have to wait for it.
        right = {"Authorization": f"Bearer ck_abcdefgh_{'x' * 43}"}
        assert set(asyncio.run(flood(server.url, right, 10 * FLOOD_CLIENTS))) == {401}
    assert server.peak_bytes() - before_bytes < FLAT_BYTES
    tally("attacks", ledger.check(best_database_url, at_end=True))


def test_random_paths_make_no_series(server: ServerProcess, best_database_url: str) -> None:
    client = server.client

    def series() -> int:
        text = client.get("/metrics").body.decode()
        return sum(1 for line in text.splitlines() if line and not line.startswith("#"))

    def once(number: int) -> None:
        name = uuid.uuid4().hex
        assert client.get(f"/{name}").status == 404
        assert client.get(f"/stats/{name}?{name}={number}").status == 404
        assert client.get(f"/stats?{name}={number}").status == 400
        assert client.get(f"/streams/{name}").status == 404
        assert client.get(f"/sessions/{name}").status == 200
        assert client.request(name.upper(), "/stats").status == 405
        assert client.post_lines(b'{"%b": 1}\n' % name.encode(), {"Idempotency-Key": name}).status == 400
        assert client.post(b"{}", {"Content-Type": f"x/{name}"}).status == 415
        assert client.post(b"{}", {"Content-Type": NDJSON, "Content-Encoding": name}).status == 415

    with flat(server, best_database_url):
        once(0)
        before = series()
        with ThreadPoolExecutor(4) as threads:
            list(threads.map(once, range(300)))
        assert series() == before
