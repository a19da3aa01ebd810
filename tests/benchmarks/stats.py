"""The figures of /stats: streams, singles, latency, memory, bytes on disk."""

from tests.benchmarks import latency, rows, singles, storage, streams
from tests.benchmarks.table import Bench

MIB = 1024 * 1024


def run(bench: Bench) -> None:
    """Measure, and put the figures into the table."""
    server, table, rounds = bench.server, bench.table, bench.rounds
    bench.say(f"drawing {bench.rows:,} payloads")
    made = rows.make(bench.folder, bench.rows)
    measured = []
    for number in range(rounds):
        bench.say(f"streams and \\copy, round {number + 1} of {rounds}")
        measured.append(streams.measure(server, bench.psql, made, number))
    lines = f"{bench.rows:,} lines"
    table.ratio(f"one stream of {lines}, against `\\copy`", [(m.one_stream, m.copy) for m in measured], "rows/s", 0.7)
    table.ratio(
        f"{streams.STREAMS_AT_ONCE} streams, together {lines}, against `\\copy`",
        [(m.many_streams, m.copy) for m in measured],
        "rows/s",
        0.7,
    )
    bench.say("bytes on disk")
    disk = storage.measure(server.database_url, has_timescaledb=bench.engine.has_timescaledb)
    if singles.available():
        with singles.bare_server(bench.folder) as bare_url:
            for connections in singles.CONNECTIONS:
                bench.say(f"single payloads at {connections} connections")
                pairs = [
                    singles.measure(server, bare_url, connections, bench.seconds, bench.folder, number)
                    for number in range(rounds)
                ]
                what = f"single payloads at {connections} connections, against a bare handler"
                table.ratio(what, [(pair.collector, pair.bare) for pair in pairs], "/s", 0.45)
    else:
        table.figure("single payloads", "not measured: wrk is not installed")
    bench.say("latency beside a stream")
    waits = latency.measure(server, made.lines(1_000), 3 * bench.seconds)
    what = f"p99 of a single payload at {latency.RATE_PER_S}/s beside a stream of {waits.rows_per_s:,.0f} rows/s"
    table.figure(what, f"{waits.p99:.1f} ms (p50 {waits.p50:.1f} ms)", "50 ms")
    table.figure("peak memory of the worker through all of this", f"{server.peak_bytes() / MIB:.0f} MiB", "150 MB")
    table.figure("on disk", f"{disk.plain:.0f} bytes a row")
    if disk.columnstore is not None:
        table.figure("on disk in the columnstore", f"{disk.columnstore:.1f} bytes a row")
