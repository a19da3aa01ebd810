"""What a synchronous standby costs: single payloads and a stream, each commit waiting for a second server on the same
machine to have it on disk, against the same without waiting; in turn, in one run.
"""

import itertools

import psycopg

from tests.benchmarks import rows, singles, streams
from tests.benchmarks.table import Bench
from tests.harness.engines import folder
from tests.harness.replica import NAME, following
from tests.harness.server import ServerProcess

LEVELS = {"written to its disk": "on", "visible there": "remote_apply"}
"""What a commit waits for, and how `synchronous_commit` says that."""


def run(bench: Bench) -> None:
    """Measure, on servers of its own."""
    with (
        folder("bench") as path,
        bench.engine.private_server(max_connections="250", max_wal_size="8GB") as primary,
        following(bench.engine, primary) as replica,
        ServerProcess(primary.url, path / "collector.log") as server,
    ):
        payloads = rows.make(path, bench.rows // 2)
        numbers = itertools.count()
        for words, level in LEVELS.items():
            lines: list[tuple[float, float]] = []
            alone: list[tuple[float, float]] = []
            for number in range(bench.rounds):
                bench.say(f"a synchronous standby, {words}: round {number + 1} of {bench.rounds}")
                found: dict[bool, tuple[float, float]] = {}
                for waiting in (True, False) if number % 2 else (False, True):
                    _wait_for_standby(primary.url, level if waiting else None)
                    turn = next(numbers)
                    stream = streams.streamed(server, [payloads.lines(turn)], payloads.count)
                    replica.catch_up()
                    single = 0.0
                    if singles.available():
                        single = singles.single_payloads(server.url, 64, bench.seconds, path, f"turn-{turn}")
                        replica.catch_up()
                    found[waiting] = stream, single
                lines.append((found[True][0], found[False][0]))
                alone.append((found[True][1], found[False][1]))
            what = f"with a synchronous standby ({words}), against one that is not waited for"
            bench.table.ratio(f"one stream {what}", lines, "rows/s")
            if singles.available():
                bench.table.ratio(f"single payloads at 64 connections {what}", alone, "/s")
        _wait_for_standby(primary.url, None)


def _wait_for_standby(url: str, level: str | None) -> None:
    """Make commits wait for the standby, or for nobody."""
    settings = {"synchronous_standby_names": NAME if level else "", "synchronous_commit": level or "on"}
    with psycopg.connect(url, autocommit=True) as connection:
        for name, value in settings.items():
            connection.execute(f"ALTER SYSTEM SET {name} = '{value}'".encode())
        connection.execute("SELECT pg_reload_conf()")
        # The reload is under way until the walsender has noticed.
        state = "sync" if level else "async"
        while connection.execute("SELECT sync_state FROM pg_stat_replication").fetchone() != (state,):
            pass
