"""`make bench`: one table of ratios, each measured against its yardstick in turn, in one run on one machine.

Absolute figures of such machines say little; a ratio of neighbours in time says more, and the median of several most.
"""

import os
import platform
from collections.abc import Callable

import click
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from tests.benchmarks import analytics, cpu, dashboards, keys, queue, replication, sessions, simulator, stats
from tests.benchmarks.table import Bench, Table
from tests.harness.engines import Engines, folder
from tests.harness.server import ServerProcess

PARTS: dict[str, Callable[[Bench], None]] = {
    "stats": stats.run,
    "sessions": sessions.run,
    "analytics": analytics.run,
    "queue": queue.run,
    "replication": replication.run,
    "keys": keys.run,
    "simulator": simulator.run,
    "dashboards": dashboards.run,
    "cpu": cpu.run,
}


@click.command()
@click.option("--rows", default=1_000_000, show_default=True, help="Rows of a stream.")
@click.option("--rounds", default=3, show_default=True, help="Pairs; the median counts.")
@click.option("--seconds", default=5, show_default=True, help="Length of a run of single payloads.")
@click.option("--engine", "name", type=click.Choice(["timescaledb", "plain"]), help="Default: the best that is there.")
@click.option("--only", multiple=True, type=click.Choice(list(PARTS)), help="Some of it.")
def main(rows: int, rounds: int, seconds: int, name: str | None, only: tuple[str, ...]) -> None:
    """Measure, and print the table as Markdown."""
    console = Console(stderr=True)
    engines = Engines()
    engine = engines.best() if name is None else engines.get("plain" if name == "plain" else "timescaledb")
    if engine is None:
        raise click.ClickException("no such engine on this machine")
    columns = SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn()
    table = Table()
    try:
        with Progress(*columns, console=console) as progress:
            task = progress.add_task("")
            for part in only or PARTS:
                with (
                    folder("bench") as path,
                    # A checkpoint in the middle would hit one side of a pair by chance.
                    engine.private_server(max_wal_size="8GB") as database,
                    # The queue is measured with consumers of its own.
                    ServerProcess(
                        database.url, path / "collector.log", environment={"COLLECTOR_CONSUME": "false"}
                    ) as server,
                ):
                    PARTS[part](
                        Bench(
                            engine=engine,
                            server=server,
                            folder=path,
                            rows=rows,
                            rounds=rounds,
                            seconds=seconds,
                            say=lambda text: progress.update(task, description=text),
                            table=table,
                        )
                    )
    finally:
        engines.close()
        click.echo("\n".join(table.lines))
    cores = os.cpu_count()
    system = f"{platform.system()} {platform.machine()}"
    click.echo(f"\n{engine.version}, Python {platform.python_version()}, {cores} cores, {system}")


if __name__ == "__main__":
    main()
