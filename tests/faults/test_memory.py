"""A long stream while nothing can be stored: the client waits, and the collector's memory stays small."""

import os
import time

import psycopg
import pytest

from tests.conftest import Serve
from tests.faults.books import at_rest, await_true, balanced
from tests.harness.server import ServerProcess
from tests.harness.wire import Wire, line_of

STREAM_BYTES = int(os.environ.get("COLLECTOR_FAULT_STREAM_BYTES") or 2**30)
PEAK_BYTES = 150_000_000
MANY = 50
WAITING_BYTES = 1_000_000
"""What each of many streams that wait may cost: what the server has read ahead, a piece of it, half a line."""
CHUNK_LINES = 4_096
LINES = [
    line_of("memory", f"a token as long as they are {number:04d}", cdn=1, content="a title like any", timespan=number)
    for number in range(CHUNK_LINES)
]
TAKEN_BYTES = 64 * 2**20
"""More than backlog, reading ahead and the kernels' buffers hold together."""
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


def test_a_stream_that_waits_costs_little(serve: Serve, best_database_url: str) -> None:
    server = serve(best_database_url)
    data = chunk(256)
    wires = [Wire(server.client.address) for _ in range(MANY)]
    with psycopg.connect(best_database_url) as other:
        other.execute("LOCK TABLE payload IN ACCESS EXCLUSIVE MODE")
        sent = [0] * len(wires)
        moved = True
        while moved:
            moved = False
            for number, wire in enumerate(wires):
                fresh = wire.send_some(data[sent[number] % len(data) :], 0.02)
                sent[number] += fresh
                moved = moved or fresh > 0
    for number, wire in enumerate(wires):
        wire.raw(data[sent[number] % len(data) :])
        wire.end()
    accepted = [wire.rest()[0]["accepted"] for wire in wires]
    assert accepted == [(count // len(data) + 1) * 256 for count in sent]
    peak = server.peak_bytes()
    assert peak < PEAK_BYTES + MANY * WAITING_BYTES, f"{peak / 1e6:.0f} MB at the peak"
    await_settled(server, sum(accepted))


def await_settled(server: ServerProcess, lines: int) -> None:
    await_true(lambda: at_rest(server.client).total("collector_stored_total") == lines)
