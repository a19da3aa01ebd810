"""`make bench`: one table of ratios, each measured against its yardstick in turn, in one run on one machine.

Absolute figures of such machines say little; a ratio of neighbours in time says more, and the median of several most.
"""

import os
import platform
import statistics
from collections.abc import Callable
from pathlib import Path

import click
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from tests.benchmarks import latency, rows, singles, storage, streams
from tests.harness.engines import Engine, Engines, folder
from tests.harness.server import ServerProcess

MIB = 1024 * 1024


class Table:
    """Markdown, a line a figure: what, value, yardstick, ratio, target."""

    def __init__(self) -> None:
        self.lines = ["| what | measured | yardstick | ratio | target |", "|---|---:|---:|---:|---:|"]

    def ratio(self, what: str, pairs: list[tuple[float, float]], unit: str, target: float) -> None:
        """The median of the ratios, beside the medians of both."""
        ours, theirs = (statistics.median(side) for side in zip(*pairs, strict=True))
        ratio = statistics.median(mine / other for mine, other in pairs)
        self.lines.append(f"| {what} | {ours:,.0f} {unit} | {theirs:,.0f} {unit} | **{ratio:.2f}** | {target} |")

    def figure(self, what: str, value: str, target: str = "") -> None:
        """A figure without a yardstick."""
        self.lines.append(f"| {what} | {value} | | | {target} |")


@click.command()
@click.option("--rows", "count", default=1_000_000, show_default=True, help="Rows of a stream.")
@click.option("--rounds", default=3, show_default=True, help="Pairs; the median counts.")
@click.option("--seconds", default=5, show_default=True, help="Length of a run of single payloads.")
@click.option("--engine", "name", type=click.Choice(["timescaledb", "plain"]), help="Default: the best that is there.")
def main(count: int, rounds: int, seconds: int, name: str | None) -> None:
    """Measure, and print the table as Markdown."""
    console = Console(stderr=True)
    engines = Engines()
    engine = engines.best() if name is None else engines.get("plain" if name == "plain" else "timescaledb")
    if engine is None:
        raise click.ClickException("no such engine on this machine")
    columns = SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn()
    try:
        with Progress(*columns, console=console) as progress, folder("bench") as path:
            task = progress.add_task("")
            table = run(engine, path, count, rounds, seconds, lambda text: progress.update(task, description=text))
    finally:
        engines.close()
    click.echo("\n".join(table.lines))
    cores = os.cpu_count()
    system = f"{platform.system()} {platform.machine()}"
    click.echo(f"\n{engine.version}, Python {platform.python_version()}, {cores} cores, {system}")


def run(engine: Engine, path: Path, count: int, rounds: int, seconds: int, say: Callable[[str], None]) -> Table:
    """All measurements on one engine."""
    table = Table()
    say(f"drawing {count:,} payloads")
    made = rows.make(path, count)
    settings = {"max_wal_size": "8GB"}  # a checkpoint in the middle would hit one side of a pair by chance
    with (
        engine.private_server(**settings) as database,
        ServerProcess(database.url, path / "collector.log") as server,
        singles.bare_server(path) as bare_url,
    ):
        psql = engine.installation.bin_dir / "psql"
        measured = []
        for number in range(rounds):
            say(f"streams and \\copy, round {number + 1} of {rounds}")
            measured.append(streams.measure(server, psql, made, number))
        lines = f"{count:,} lines"
        table.ratio(
            f"one stream of {lines}, against `\\copy`", [(m.one_stream, m.copy) for m in measured], "rows/s", 0.7
        )
        table.ratio(
            f"{streams.STREAMS_AT_ONCE} streams, together {lines}, against `\\copy`",
            [(m.many_streams, m.copy) for m in measured],
            "rows/s",
            0.7,
        )
        say("bytes on disk")
        disk = storage.measure(database.url, has_timescaledb=engine.has_timescaledb)
        for connections in singles.CONNECTIONS if singles.available() else ():
            say(f"single payloads at {connections} connections")
            pairs = [singles.measure(server, bare_url, connections, seconds, path, number) for number in range(rounds)]
            what = f"single payloads at {connections} connections, against a bare handler"
            table.ratio(what, [(pair.collector, pair.bare) for pair in pairs], "/s", 0.45)
        say("latency beside a stream")
        waits = latency.measure(server, made.lines(1_000), 3 * seconds)
        what = f"p99 of a single payload at {latency.RATE_PER_S}/s beside a stream of {waits.rows_per_s:,.0f} rows/s"
        table.figure(what, f"{waits.p99:.1f} ms (p50 {waits.p50:.1f} ms)", "50 ms")
        table.figure("peak memory of the worker through all of this", f"{server.peak_bytes() / MIB:.0f} MiB", "150 MB")
        table.figure("on disk", f"{disk.plain:.0f} bytes a row")
        if disk.columnstore is not None:
            table.figure("on disk in the columnstore", f"{disk.columnstore:.1f} bytes a row")
        if not singles.available():
            table.figure("single payloads", "not measured: wrk is not installed")
        return table


if __name__ == "__main__":
    main()
