"""/sessions: lines against `psql \\copy` of the same rows into the same table; and many connections held open, each
with a few messages a second.
"""

import asyncio
import multiprocessing
import random
import statistics
import subprocess
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import msgspec
import psycopg

from collector.messages.session import LiveReader
from collector.store.rows import CSV_OPTIONS, timestamp
from collector.store.session_rows import SESSION_COLUMNS, encode_csv
from simulation.scenario.model import Scenario
from simulation.scenario.strategies import draw
from simulation.traffic.desktops import Moment, messages
from simulation.traffic.message import Message
from simulation.traffic.pace import Timing
from tests.benchmarks.streams import post
from tests.benchmarks.table import Bench
from tests.harness.server import ServerProcess, status_bytes

SEED = 1
SESSIONS = 2_000
SPREAD_S = 60
"""Of what is written at once: the last minute."""
CONNECTIONS = 2_000
MESSAGES_PER_S = 10
KEPT_DAYS = 30.0
MIB = 2**20


class Pair(msgspec.Struct):
    """Rows a second of one round."""

    copy: float
    stream: float


class Held(msgspec.Struct):
    """What open connections got: messages sent and stored, seconds until one was visible, memory of the worker."""

    sent: int
    stored: int
    visible_s: list[float]
    peak_bytes: int
    cpu_share: float


def devices() -> Scenario:
    """The simulator's, with clocks that are right: their lines come without the one that would say otherwise."""
    scenario = draw(SEED)
    profiles = tuple(msgspec.structs.replace(profile, skew_s=0) for profile in scenario.profiles)
    return msgspec.structs.replace(scenario, profiles=profiles)


def make(path: Path, count: int) -> tuple[Path, Path]:
    """Messages of desktop clients as JSON lines, and the CSV of the same rows."""
    now_ms = int(time.time() * 1000)
    timing = Timing(rate=count / SPREAD_S, start_ms=now_ms - SPREAD_S * 1000)
    made = messages(devices(), seed=SEED, run="bench", clients=SESSIONS, timing=timing)
    data = b"".join(message.body + b"\n" for message in islice(made, count))
    rows = LiveReader(KEPT_DAYS).decode(data, count, now_ms).rows
    assert len(rows) == count
    body, csv = path / "sessions.jsonl", path / "sessions.csv"
    body.write_bytes(data)
    csv.write_bytes(encode_csv((timestamp(now_ms), row) for row in rows))
    return body, csv


def measure(server: ServerProcess, psql: Path, body: Path, csv: Path, count: int) -> Pair:
    """One round; each part begins with an empty table after a checkpoint. Raises AssertionError for a lost row."""

    def timed(stream: bool) -> float:
        with psycopg.connect(server.database_url, autocommit=True) as connection:
            connection.execute("TRUNCATE session_message")
            connection.execute("CHECKPOINT")
            data = body.read_bytes()
            began = time.perf_counter()
            if stream:
                assert post(server.port, data, "/sessions")["accepted"] == count
            else:
                command = f"\\copy session_message ({', '.join(SESSION_COLUMNS)}) FROM '{csv}' ({CSV_OPTIONS})"
                subprocess.run([psql, "--no-psqlrc", "--quiet", "-d", server.database_url, "-c", command], check=True)
            took_s = time.perf_counter() - began
            assert connection.execute("SELECT count(*) FROM session_message").fetchone() == (count,)
        return count / took_s

    return Pair(timed(stream=False), timed(stream=True))


async def _client(port: int, made: Iterator[Message[Moment]], until: float, every_s: float, messages: int) -> int:
    """One connection: so many messages in a chunk, every so often."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(
        b"POST /sessions HTTP/1.1\r\nHost: bench\r\nContent-Type: application/x-ndjson\r\n"
        b"Transfer-Encoding: chunked\r\n\r\n"
    )
    sent = 0
    due = time.monotonic() + every_s * random.random()
    while due < until:
        await asyncio.sleep(due - time.monotonic())
        data = b"".join(message.body + b"\n" for message in islice(made, messages))
        writer.write(b"%x\r\n%b\r\n" % (len(data), data))
        sent += messages
        due += every_s
    writer.write(b"0\r\n\r\n")
    head = await reader.readuntil(b"\r\n\r\n")
    assert b" 200 " in head, head
    writer.close()
    return sent


async def _clients(port: int, connections: int, seconds: float, per_chunk: int) -> int:
    every_s, scenario = per_chunk / MESSAGES_PER_S, devices()
    timing = Timing(rate=MESSAGES_PER_S, start_ms=int(time.time() * 1000))
    made = [messages(scenario, seed=n, run=f"held-{n}", clients=1, timing=timing) for n in range(connections)]
    until = time.monotonic() + seconds
    return sum(await asyncio.gather(*(_client(port, each, until, every_s, per_chunk) for each in made)))


def _run_clients(
    port: int, connections: int, seconds: float, per_chunk: int, result: "multiprocessing.Queue[int]"
) -> None:
    result.put(asyncio.run(_clients(port, connections, seconds, per_chunk)))


def hold(server: ServerProcess, connections: int, seconds: float, per_chunk: int) -> Held:
    """Connections held open by a process of its own, while one message after the other is waited for here."""
    with psycopg.connect(server.database_url, autocommit=True) as connection:
        connection.execute("TRUNCATE session_message")
    result: multiprocessing.Queue[int] = multiprocessing.Queue()
    process = multiprocessing.Process(target=_run_clients, args=(server.port, connections, seconds, per_chunk, result))
    (worker,) = server.worker_pids()
    cpu_before, began = _cpu_s(worker), time.monotonic()
    process.start()
    visible = asyncio.run(_watch(server, seconds - 1))
    cpu_share = (_cpu_s(worker) - cpu_before) / (time.monotonic() - began)
    sent = result.get()
    process.join()
    with psycopg.connect(server.database_url, autocommit=True) as connection:
        row = connection.execute("SELECT count(*) FROM session_message WHERE session LIKE '%-held-%'").fetchone()
    assert row is not None
    return Held(sent, row[0], visible, status_bytes(worker, "VmHWM"), cpu_share)


async def _watch(server: ServerProcess, seconds: float) -> list[float]:
    """Seconds from sending a message until a query sees it, again and again."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(
        b"POST /sessions HTTP/1.1\r\nHost: bench\r\nContent-Type: application/x-ndjson\r\n"
        b"Transfer-Encoding: chunked\r\n\r\n"
    )
    session = f"watch-{random.getrandbits(32)}"
    waited: list[float] = []
    until = time.monotonic() + seconds
    async with await psycopg.AsyncConnection.connect(server.database_url, autocommit=True) as connection:
        while time.monotonic() < until:
            data = b'{"session":"%b","seq":%d}\n' % (session.encode(), len(waited))
            began = time.monotonic()
            writer.write(b"%x\r\n%b\r\n" % (len(data), data))
            while True:
                cursor = await connection.execute("SELECT count(*) FROM session_message WHERE session = %s", [session])
                if await cursor.fetchone() == (len(waited) + 1,):
                    break
                await asyncio.sleep(0.01)
            waited.append(time.monotonic() - began)
            await asyncio.sleep(0.1)
    writer.write(b"0\r\n\r\n")
    await reader.readuntil(b"\r\n\r\n")
    writer.close()
    return waited


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100


def run(bench: Bench) -> None:
    """Measure, and put the figures into the table."""
    bench.say("drawing messages of sessions")
    count = bench.rows // 2
    body, csv = make(bench.folder, count)
    pairs = []
    for number in range(bench.rounds):
        bench.say(f"messages of sessions, and \\copy, round {number + 1} of {bench.rounds}")
        pairs.append(measure(bench.server, bench.psql, body, csv, count))
    what = f"/sessions, {count:,} lines, against `\\copy`"
    bench.table.ratio(what, [(pair.stream, pair.copy) for pair in pairs], "rows/s", 0.6)
    for per_chunk, chunks in ((MESSAGES_PER_S, "in one chunk"), (1, "in ten chunks")):
        bench.say(f"{CONNECTIONS:,} open connections, {chunks}")
        held = hold(bench.server, CONNECTIONS, 2 * bench.seconds, per_chunk)
        assert held.stored == held.sent, f"{held.stored} of {held.sent} messages are there"
        what = f"{CONNECTIONS:,} connections held open, {MESSAGES_PER_S} messages a second each {chunks}: visible after"
        middle_s, longest_s = statistics.median(held.visible_s), max(held.visible_s)
        bench.table.figure(what, f"{middle_s:.2f} s (at most {longest_s:.2f} s)", "2 s")
        bench.table.figure("peak memory of the worker by then", f"{held.peak_bytes / MIB:.0f} MiB")
