"""/analytics: lines against `psql \\copy` of the same rows into the same tables; singles and reads, by wrk, against the
bare handler; reads at a fixed rate while posts go on.
"""

import asyncio
import http.client
import itertools
import random
import re
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec
import psycopg

from collector.messages.hit import HOUR_MS, Hit
from collector.store.hits import as_columns
from collector.store.rows import HIT_COLUMNS, as_csv, timestamp
from simulation.load.histogram import Histogram
from simulation.scenario.strategies import draw
from simulation.traffic.hits import hits
from simulation.traffic.pace import Timing
from tests.benchmarks import singles
from tests.benchmarks.table import Bench
from tests.harness.server import ServerProcess

SEED = 1
RUN = "round-0"
BLOCK_ROWS = 10_000
HIGHEST_US = 60_000_000
CONNECTIONS = 64
BARE = "tests.benchmarks.bare_hits:app"
RATE_PER_S = 1_000
"""Of the open model: half of them reads, as many posts."""
HISTORIC_PERCENT = 5
TABLES = "hit, analytics_user, analytics_hour"
COPIES = {
    "hit": 'hit ("{}")'.format('", "'.join(HIT_COLUMNS)),
    "users": 'analytics_user (hour, "user")',
    "hours": "analytics_hour (hour, shard, unique_users, clicks, impressions)",
}

POST_SCRIPT = """
wrk.method = "POST"
local sent = 0
request = function()
  sent = sent + 1
  local kind = sent %% 3 == 0 and "click" or "impression"
  return wrk.format(nil, "/analytics?timestamp=%d&user=%s-" .. sent %% 5000 .. "&" .. kind)
end
"""
GET_SCRIPT = """
request = function() return wrk.format(nil, "/analytics?timestamp=%d") end
"""


class Rows(msgspec.Struct):
    """`count` hits in files: as JSON lines, and as the CSV of what they become in each table."""

    folder: Path
    count: int

    def lines(self, number: int) -> bytes:
        """The hits as JSON lines; users are those of the round."""
        return (self.folder / "hits.jsonl").read_bytes().replace(b"of round-0", b"of round-%d" % number)


def make(folder: Path, count: int) -> Rows:
    """Draw an audience, as the simulator does, and let it hit `count` times."""
    now_ms = int(time.time() * 1000)
    rows = Rows(folder, count)
    messages = islice(hits(draw(SEED), seed=SEED, run=RUN, timing=Timing(rate=100_000, start_ms=now_ms)), count)
    users: set[tuple[int, str]] = set()
    kinds: Counter[tuple[int, str]] = Counter()
    with (folder / "hits.jsonl").open("wb") as lines, (folder / "hit.csv").open("wb") as csv:
        while block := [message.body for message in islice(messages, BLOCK_ROWS)]:
            lines.write(b"\n".join(block) + b"\n")
            decoded = [msgspec.json.decode(body, type=Hit) for body in block]
            users |= {(hit.timestamp // HOUR_MS, hit.user) for hit in decoded}
            kinds.update((hit.timestamp // HOUR_MS, hit.kind) for hit in decoded)
            encoded = as_csv(as_columns(decoded), (timestamp(now_ms).isoformat(),))
            assert encoded is not None
            csv.write(encoded)
    unique = Counter(hour for hour, _ in users)
    _write(folder / "users.csv", ((_begin(hour), f'"{user}"') for hour, user in sorted(users)))
    _write(
        folder / "hours.csv",
        ((_begin(hour), 0, unique[hour], kinds[hour, "click"], kinds[hour, "impression"]) for hour in sorted(unique)),
    )
    return rows


def _begin(hour: int) -> str:
    return timestamp(hour * HOUR_MS).isoformat()


def _write(path: Path, lines: Iterator[tuple[object, ...]]) -> None:
    path.write_text("".join(",".join(map(str, line)) + "\n" for line in lines))


class Round(msgspec.Struct):
    """Rows a second of one round."""

    copy: float
    one_stream: float


def measure_lines(server: ServerProcess, psql: Path, rows: Rows, number: int) -> Round:
    """One round; each part begins with empty tables after a checkpoint. Raises AssertionError for a lost row."""
    copies = [f"\\copy {target} FROM '{rows.folder / name}.csv' (FORMAT csv)" for name, target in COPIES.items()]
    command = [str(psql), "--no-psqlrc", "--quiet", "--single-transaction", "-d", server.database_url]
    options = [word for copy in copies for word in ("-c", copy)]
    body = rows.lines(number)
    return Round(
        _timed(server.database_url, rows.count, lambda: subprocess.run([*command, *options], check=True)),
        _timed(server.database_url, rows.count, lambda: _post(server.port, body)),
    )


def _timed(url: str, count: int, work: Any) -> float:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"TRUNCATE {TABLES}".encode())
        connection.execute("CHECKPOINT")
        began = time.perf_counter()
        work()
        took_s = time.perf_counter() - began
        stored = connection.execute(
            "SELECT (SELECT count(*) FROM hit), (SELECT sum(clicks + impressions)::bigint FROM analytics),"
            " (SELECT count(*) FROM analytics_user) - (SELECT sum(unique_users)::bigint FROM analytics)"
        ).fetchone()
    assert stored == (count, count, 0), f"{stored} of {count} rows are there"
    return count / took_s


def _post(port: int, body: bytes) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=300)
    connection.request("POST", "/analytics", body, {"Content-Type": "application/x-ndjson"})
    answer = connection.getresponse()
    assert answer.status == 200, answer.read()
    answer.read()
    connection.close()


def measure_posts(
    server: ServerProcess, bare_url: str, connections: int, duration_s: int, folder: Path, run_name: str
) -> tuple[float, float]:
    """Posts a second, and the same of the bare handler."""
    script = POST_SCRIPT % (int(time.time() * 1000), f"wrk-{run_name}")
    return _pair(server, bare_url, script, connections, duration_s, folder)


def measure_reads(
    server: ServerProcess, bare_url: str, connections: int, duration_s: int, folder: Path
) -> tuple[float, float]:
    """Reads of the current hour a second, and the same of the bare handler."""
    return _pair(server, bare_url, GET_SCRIPT % int(time.time() * 1000), connections, duration_s, folder)


def _pair(
    server: ServerProcess, bare_url: str, script: str, connections: int, duration_s: int, folder: Path
) -> tuple[float, float]:
    ours = singles.wrk(server.url, script, connections, duration_s, folder)
    return ours, singles.wrk(bare_url, script, connections, duration_s, folder)


class Latency(msgspec.Struct):
    """Milliseconds."""

    p50: float
    p99: float
    worst: float


def measure_mix(server: ServerProcess, duration_s: int) -> tuple[Latency, Latency]:
    """Reads and posts, as many of each, at a fixed rate; the latency counts from the moment at which each was due."""
    return asyncio.run(_mix(server.port, duration_s))


async def _mix(port: int, duration_s: int) -> tuple[Latency, Latency]:
    histograms = Histogram(HIGHEST_US), Histogram(HIGHEST_US)
    idle: asyncio.Queue[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = asyncio.Queue()
    for _ in range(CONNECTIONS):
        idle.put_nowait(await asyncio.open_connection("127.0.0.1", port))
    choices = random.Random(SEED)
    began = time.perf_counter()

    async def send(number: int, due: float) -> None:
        reader, writer = await idle.get()
        hours_back = choices.randrange(1, 48) if choices.random() * 100 < HISTORIC_PERCENT else 0
        at = int(time.time() * 1000) - hours_back * HOUR_MS
        if number % 2:
            writer.write(b"GET /analytics?timestamp=%d HTTP/1.1\r\nHost: b\r\n\r\n" % at)
            head = await reader.readuntil(b"\r\n\r\n")
            length = re.search(rb"content-length: (\d+)", head, re.IGNORECASE)
            assert length is not None, head
            await reader.readexactly(int(length[1]))
        else:
            target = b"/analytics?timestamp=%d&user=mix-%d&click" % (at, choices.randrange(100_000))
            writer.write(b"POST %b HTTP/1.1\r\nHost: b\r\nContent-Length: 0\r\n\r\n" % target)
            head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith((b"HTTP/1.1 200", b"HTTP/1.1 204")), head
        histograms[number % 2].record(int((time.perf_counter() - due) * 1_000_000))
        idle.put_nowait((reader, writer))

    async with asyncio.TaskGroup() as tasks:
        for number in itertools.islice(itertools.count(), duration_s * RATE_PER_S):
            due = began + number / RATE_PER_S
            if (wait_s := due - time.perf_counter()) > 0:
                await asyncio.sleep(wait_s)
            tasks.create_task(send(number, due))
    while not idle.empty():
        idle.get_nowait()[1].close()
    found = []
    for histogram in histograms:
        p50, p99 = (value / 1000 for value in histogram.percentiles(50, 99))
        found.append(Latency(p50, p99, histogram.max / 1000))
    return found[1], found[0]


def run(bench: Bench) -> None:
    """Measure, and put the figures into the table."""
    server, table, rounds = bench.server, bench.table, bench.rounds
    bench.say("drawing clicks and impressions")
    rows = make(bench.folder, bench.rows // 2)
    measured = []
    for number in range(rounds):
        bench.say(f"clicks and impressions, and \\copy, round {number + 1} of {rounds}")
        measured.append(measure_lines(server, bench.psql, rows, number))
    what = f"/analytics, {rows.count:,} lines, against `\\copy` into its tables"
    table.ratio(what, [(each.one_stream, each.copy) for each in measured], "rows/s", 0.6)
    if singles.available():
        with singles.bare_server(bench.folder, BARE) as bare_url:
            for connections in singles.CONNECTIONS:
                bench.say(f"/analytics at {connections} connections")
                posts, reads = [], []
                for number in range(rounds):
                    run_name = f"{connections}-{number}"
                    posts.append(measure_posts(server, bare_url, connections, bench.seconds, bench.folder, run_name))
                    reads.append(measure_reads(server, bare_url, connections, bench.seconds, bench.folder))
                table.ratio(f"POST /analytics at {connections} connections, against a bare handler", posts, "/s", 0.4)
                table.ratio(f"GET /analytics at {connections} connections, against a bare handler", reads, "/s", 0.4)
    bench.say("latency of reading, beside posts")
    reading, posting = measure_mix(server, 2 * bench.seconds)
    what = f"p99 of GET /analytics at {RATE_PER_S // 2}/s beside as many posts"
    table.figure(what, f"{reading.p99:.1f} ms (of the posts {posting.p99:.1f} ms)", "20 ms")
