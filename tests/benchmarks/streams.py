"""Streams of JSON lines, against `psql \\copy` of the same rows into the same table; each pair in turn, in one run."""

import http.client
import subprocess
import threading
import time
from pathlib import Path

import msgspec
import psycopg

from collector.store.rows import PAYLOAD_COLUMNS
from tests.benchmarks.rows import Rows
from tests.harness.server import ServerProcess

STREAMS_AT_ONCE = 8


class Round(msgspec.Struct):
    """Rows a second of one round."""

    copy: float
    one_stream: float
    many_streams: float


def measure(server: ServerProcess, psql: Path, rows: Rows, number: int) -> Round:
    """One round; each part begins with an empty table after a checkpoint. Raises AssertionError for a lost row."""
    return Round(
        _timed(server.database_url, rows.count, lambda: _copy(server.database_url, psql, rows)),
        streamed(server, [rows.lines(2 * number)], rows.count),
        streamed(server, rows.part(2 * number + 1, STREAMS_AT_ONCE), rows.count),
    )


def _timed(url: str, count: int, work: object) -> float:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("TRUNCATE payload")
        connection.execute("CHECKPOINT")
        began = time.perf_counter()
        assert callable(work)
        work()
        took_s = time.perf_counter() - began
        stored = connection.execute("SELECT count(*) FROM payload").fetchone()
    assert stored == (count,), f"{stored} of {count} rows are there"
    return count / took_s


def _copy(url: str, psql: Path, rows: Rows) -> None:
    command = f"\\copy payload ({', '.join(PAYLOAD_COLUMNS)}) FROM '{rows.csv}' (FORMAT csv)"
    subprocess.run([psql, "--no-psqlrc", "--quiet", "-d", url, "-c", command], check=True)


def streamed(server: ServerProcess, bodies: list[bytes], count: int) -> float:
    """Rows a second of these streams at once."""
    answers: list[dict[str, int]] = []

    def send_all() -> None:
        threads = [
            threading.Thread(target=lambda body=body: answers.append(post(server.port, body))) for body in bodies
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    rate = _timed(server.database_url, count, send_all)
    assert sum(answer["accepted"] for answer in answers) == count
    return rate


def post(port: int, body: bytes, path: str = "/stats", status: int = 200) -> dict[str, int]:
    """Send lines; the answer comes after the last of them is committed."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=300)
    connection.request("POST", path, body, {"Content-Type": "application/x-ndjson"})
    answer = connection.getresponse()
    summary: dict[str, int] = msgspec.json.decode(answer.read())
    assert answer.status == status, summary
    connection.close()
    return summary
