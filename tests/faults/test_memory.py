"""A long stream while nothing can be stored: the client waits, and the collector's memory stays small."""

import os
import selectors
import time

import psycopg
import pytest

from tests.conftest import Serve
from tests.faults.books import at_rest, await_true, balanced
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
