"""Streams and single messages while nothing can be stored: the clients wait, and the collector's memory stays small."""

import asyncio
import os
import selectors
import time
from collections.abc import Sequence

import aiohttp
import psycopg
import pytest

from collector.batch import SINGLES_BYTES
from collector.settings import Settings
from tests.conftest import Serve
from tests.faults.books import at_rest, await_true, balanced
from tests.faults.rounds import tally
from tests.harness.client import JSON
from tests.harness.ledger import Ledger
from tests.harness.server import ServerProcess
from tests.harness.wire import Wire, line_of

STREAM_BYTES = int(os.environ.get("COLLECTOR_FAULT_STREAM_BYTES") or 2**30)
PEAK_BYTES = 150_000_000
MANY = 1_000
WAITING_BYTES = 500_000
"""What each of many streams that wait may cost: what the server has read ahead, a piece of it, half a line."""
SEND_BYTES = 64 * 1024
"""Of the kernel's for each of them, on the client's side: what waits there is not the collector's."""
CHUNK_LINES = 4_096
LINES = [
    line_of("memory", f"a token as long as they are {number:04d}", cdn=1, content="a title like any", timespan=number)
    for number in range(CHUNK_LINES)
]
TAKEN_BYTES = 64 * 2**20
"""More than backlog, reading ahead and the kernels' buffers hold together."""
BIG = 800
"""Single messages at once, each nearly as large as one may be."""
BIG_BYTES = 60_000
BIG_WAITING_BYTES = 250_000
"""What each of them may cost while it waits: the message, and what the server holds of its connection."""
BATCH_BYTES = Settings().batch_bytes + SINGLES_BYTES + 2 * BIG_BYTES
"""Of a batch that ends with a whole segment."""
SINGLE_WAIT_S = 5.0
STALLED_S = 3.0
UNLOCKED_S = 240.0


def chunk(lines: int) -> bytes:
    data = b"".join(LINES[:lines])
    return b"%x\r\n%b\r\n" % (len(data), data)


def taken_until_it_stalls(wire: Wire, data: bytes) -> int:
    """Send until nothing has moved for a while; returns how many bytes of `data`, over and over, have gone."""
    sent = 0
    while moved := wire.send_some(data[sent % len(data) :], STALLED_S):
        sent += moved
        assert sent < TAKEN_BYTES, f"{sent} bytes were taken while nothing could be stored"
    return sent


@pytest.mark.timeout(600)
def test_memory_stays_small_while_a_gigabyte_waits(serve: Serve, best_database_url: str) -> None:
    server = serve(best_database_url)
    data = chunk(CHUNK_LINES)
    chunks = -(-STREAM_BYTES // len(data))
    wire = Wire(server.client.address, {"Idempotency-Key": "long"})
    with psycopg.connect(best_database_url) as other:
        other.execute("LOCK TABLE payload IN ACCESS EXCLUSIVE MODE")
        sent = taken_until_it_stalls(wire, data)
        assert server.status("/health/live") == 200
        assert server.client.metrics().total("collector_received_total") * len(LINES[0]) <= sent
        assert server.peak_bytes() < PEAK_BYTES
    wire.raw(data[sent % len(data) :])
    deadline = time.monotonic() + UNLOCKED_S
    for _ in range(chunks - sent // len(data) - 1):
        wire.raw(data)
        assert time.monotonic() < deadline
    wire.end()
    lines = chunks * CHUNK_LINES
    assert wire.rest() == [{"accepted": lines, "rejected": 0, "errors": []}]
    assert server.peak_bytes() < PEAK_BYTES, f"{server.peak_bytes() / 1e6:.0f} MB at the peak"
    with psycopg.connect(best_database_url) as connection:
        assert connection.execute("SELECT count(*), sum(cdn) FROM payload").fetchone() == (lines, lines)
    assert balanced(server.client)["stored"] == lines
    print(f"{lines} lines, {chunks * len(data) / 1e9:.2f} GB, peak {server.peak_bytes() / 1e6:.0f} MB")


@pytest.mark.timeout(600)
def test_a_thousand_streams_that_wait_cost_little(serve: Serve, best_database_url: str) -> None:
    """Each of them pushes until nothing more is taken; then all of it is stored."""
    server = serve(best_database_url)
    data = chunk(256)
    wires = [Wire(server.client.address, send_bytes=SEND_BYTES) for _ in range(MANY)]
    idle_bytes = server.peak_bytes()
    with psycopg.connect(best_database_url) as other:
        other.execute("LOCK TABLE payload IN ACCESS EXCLUSIVE MODE")
        sent = pushed_until_all_stall(wires, data)
        assert server.status("/health/live") == 200
        waiting = server.peak_bytes()
    for number, wire in enumerate(wires):
        wire.raw(data[sent[number] % len(data) :])
        wire.end()
    accepted = [wire.rest()[0]["accepted"] for wire in wires]
    assert accepted == [(count // len(data) + 1) * 256 for count in sent]
    peak = server.peak_bytes()
    assert peak < PEAK_BYTES + MANY * WAITING_BYTES, f"{peak / 1e6:.0f} MB at the peak"
    await_settled(server, sum(accepted))
    with psycopg.connect(best_database_url) as connection:
        assert connection.execute("SELECT count(*), sum(cdn) FROM payload").fetchone() == (sum(accepted),) * 2
    print(
        f"{MANY} streams, {sum(sent) / 1e6:.0f} MB pushed: {idle_bytes / 1e6:.0f} MB open, {waiting / 1e6:.0f} MB "
        f"waiting, {peak / 1e6:.0f} MB at the peak"
    )


def pushed_until_all_stall(wires: list[Wire], data: bytes) -> list[int]:
    """Send `data`, over and over, on each of them, until nothing has moved for a while; returns how many bytes went."""
    sent = [0] * len(wires)
    with selectors.DefaultSelector() as selector:
        for number, wire in enumerate(wires):
            selector.register(wire, selectors.EVENT_WRITE, number)
        while ready := selector.select(STALLED_S):
            for key, _ in ready:
                number = key.data
                sent[number] += wires[number].send_some(data[sent[number] % len(data) :], 0)
                assert sent[number] < TAKEN_BYTES, "a stream was read while nothing could be stored"
    return sent


def await_settled(server: ServerProcess, lines: int) -> None:
    await_true(lambda: at_rest(server.client).total("collector_stored_total") == lines)


class Bulky:
    """Clients with a big message each, and what they were told."""

    def __init__(self, url: str, ledger: Ledger) -> None:
        self._url = url
        self._ledger = ledger
        self._http: aiohttp.ClientSession
        self.denied = self.unknown = 0
        """503, by whether it is known that the message was not stored."""

    def unacknowledged(self, name: str, count: int = BIG) -> list[str]:
        """Of so many messages of a session."""
        every = [f"{self._ledger.customer}/{name}:{number}" for number in range(count)]
        return [identity for identity in every if identity not in self._ledger.acknowledged]

    async def send(self, keyed: list[str], alone: Sequence[str] = ()) -> None:
        """All of them at once, with a key and without."""
        self.denied = self.unknown = 0
        connector, timeout = aiohttp.TCPConnector(limit=0), aiohttp.ClientTimeout(total=None)
        async with (
            aiohttp.ClientSession(connector=connector, timeout=timeout) as self._http,
            asyncio.TaskGroup() as clients,
        ):
            for identity in keyed:
                clients.create_task(self._one(identity, {"Idempotency-Key": identity}))
            for identity in alone:
                clients.create_task(self._one(identity, {}))

    async def _one(self, identity: str, key: dict[str, str]) -> None:
        session, _, number = identity.partition(":")
        message = {"session": session, "seq": int(number), "properties": {"text": "x" * BIG_BYTES}}
        headers = {"Content-Type": JSON, **key}
        self._ledger.sent.add(identity)
        async with self._http.post(f"{self._url}/sessions", json=message, headers=headers) as answer:
            if answer.status == 204:
                self._ledger.acknowledge([identity])
                return
            assert answer.status == 503, await answer.text()
            if "not known" in (await answer.json(content_type=None))["detail"]:
                self.unknown += 1
            else:
                self.denied += 1
                if not key:
                    self._ledger.denied.add(identity)


@pytest.mark.timeout(600)
def test_memory_stays_small_while_big_single_messages_wait(serve: Serve, best_database_url: str) -> None:
    """They count by their bytes: of all that come only a backlog is taken, and it goes on in batches of their size."""
    server = serve(best_database_url, COLLECTOR_SINGLE_WAIT_S=str(SINGLE_WAIT_S))
    ledger = Ledger("bulky")
    bulky = Bulky(server.url, ledger)

    def metric(name: str, **labels: str) -> float:
        return server.client.metrics().total(name, **labels)

    async def locked_for_long() -> None:
        with psycopg.connect(best_database_url) as other:
            other.execute("LOCK TABLE session_message IN ACCESS EXCLUSIVE MODE")
            await bulky.send(bulky.unacknowledged("keyed", BIG // 2), bulky.unacknowledged("alone", BIG // 2))
        assert not ledger.acknowledged
        assert bulky.denied + bulky.unknown == BIG
        assert bulky.unknown <= BATCH_BYTES // BIG_BYTES

    async def locked_for_a_while() -> None:
        with psycopg.connect(best_database_url) as other:
            other.execute("LOCK TABLE session_message IN ACCESS EXCLUSIVE MODE")
            sending = asyncio.create_task(bulky.send(bulky.unacknowledged("keyed")))
            await asyncio.to_thread(await_true, lambda: metric("collector_received_total") == 2 * BIG, 60.0)
            assert await asyncio.to_thread(metric, "collector_backlog_bytes") <= Settings().backlog_bytes + BATCH_BYTES
        await sending

    def batches() -> float:
        return metric("collector_batches_total", writer="singles /sessions")

    asyncio.run(locked_for_long())
    before = batches()
    asyncio.run(locked_for_a_while())
    while left := bulky.unacknowledged("keyed"):  # as clients do that are told to come again
        asyncio.run(bulky.send(left))
    assert batches() - before >= BIG * BIG_BYTES // BATCH_BYTES - 1  # one may have been under way
    peak = server.peak_bytes()
    assert peak < PEAK_BYTES + BIG * BIG_WAITING_BYTES, f"{peak / 1e6:.0f} MB at the peak"
    balanced(server.client)
    verdict = ledger.check(best_database_url, at_end=True)
    assert verdict.acknowledged == BIG
    tally("big single messages", verdict)
    print(f"{BIG} messages of {BIG_BYTES} bytes at once: {peak / 1e6:.0f} MB at the peak")
