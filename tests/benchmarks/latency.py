"""Latency of single payloads at a fixed rate while a stream runs beside them: an open model.

A payload is due at its moment whatever became of those before it, and its latency counts from that moment, so that a
server which stalls is not measured less often for it.
"""

import asyncio
import http.client
import itertools
import multiprocessing
import time
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Event

import msgspec

from simulation.load.histogram import Histogram
from tests.benchmarks.streams import post
from tests.harness.server import ServerProcess

RATE_PER_S = 500
CONNECTIONS = 64
HIGHEST_US = 60_000_000
RESPONSE = b"HTTP/1.1 204"


class Latency(msgspec.Struct):
    """Milliseconds; `rows_per_s` is what the stream beside did."""

    sent: int
    p50: float
    p99: float
    worst: float
    rows_per_s: float


def measure(server: ServerProcess, lines: bytes, duration_s: int) -> Latency:
    """Singles for `duration_s`, beside a stream that is sent again and again."""
    spawn = multiprocessing.get_context("spawn")  # in this process it would take turns with the clock's reader
    stop, accepted = spawn.Event(), spawn.Queue()
    sender = spawn.Process(target=_stream, args=(server.port, lines, stop, accepted))
    began = time.perf_counter()
    sender.start()
    try:
        histogram = asyncio.run(_singles(server.port, duration_s))
    finally:
        stop.set()
        rows = accepted.get(timeout=60)
        sender.join()
    took_s = time.perf_counter() - began
    p50, p99 = (value / 1000 for value in histogram.percentiles(50, 99))
    return Latency(histogram.count, p50, p99, histogram.max / 1000, rows / took_s)


def _stream(port: int, lines: bytes, stop: Event, accepted: "Queue[int]") -> None:
    rows = 0
    while not stop.is_set():
        rows += post(port, lines)["accepted"]
    accepted.put(rows)


async def _singles(port: int, duration_s: int) -> Histogram:
    histogram = Histogram(HIGHEST_US)
    idle: asyncio.Queue[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = asyncio.Queue()
    for _ in range(CONNECTIONS):
        idle.put_nowait(await asyncio.open_connection("127.0.0.1", port))
    began = time.perf_counter()
    numbers = itertools.count()

    async def send(due: float) -> None:
        reader, writer = await idle.get()
        writer.write(_request(next(numbers)))
        head = await reader.readuntil(b"\r\n\r\n")
        histogram.record(int((time.perf_counter() - due) * 1_000_000))
        if not head.startswith(RESPONSE):
            raise http.client.HTTPException(head.decode())
        idle.put_nowait((reader, writer))

    async with asyncio.TaskGroup() as tasks:
        for number in range(duration_s * RATE_PER_S):
            due = began + number / RATE_PER_S
            wait_s = due - time.perf_counter()
            if wait_s > 0:
                await asyncio.sleep(wait_s)
            tasks.create_task(send(due))
    while not idle.empty():
        idle.get_nowait()[1].close()
    return histogram


def _request(number: int) -> bytes:
    body = (
        b'{"token":"latency-%d","customer":"acme","content":"film-7","timespan":30000,"p2p":1,"cdn":2,"sessionDuration":%d}'
        % (number // 10, number % 10 * 30_000)
    )
    return b"POST /stats HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (
        len(body),
        body,
    )
