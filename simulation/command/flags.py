"""The options that the commands which send share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import click

from simulation.command.parameters import (
    DEFAULT_URL,
    Duration,
    Moment,
    Positive,
    StageList,
    Url,
    headers,
    run_name,
    thresholds,
)


def load_options(unit: str, *left_out: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """The options of a command that sends. `unit`: what it sends; `left_out`: those that make no sense for it."""
    file = click.Path(dir_okay=False, path_type=Path)
    existing = click.Path(exists=True, dir_okay=False, path_type=Path)
    count = click.IntRange(min=1)
    options = {
        "url": click.option("--url", type=Url(), default=DEFAULT_URL, show_default=True, help="The collector."),
        "seed": click.option(
            "--seed", type=int, default=1, show_default=True, help="Draws the devices and their traffic."
        ),
        "speed": click.option(
            "--speed", type=Positive(), default=60.0, show_default=True, help="Seconds of device time in a second."
        ),
        "rate": click.option("--rate", type=Positive(), help=f"Mean {unit} a second, instead of what devices come to."),
        "stages": click.option(
            "--stages",
            type=StageList(),
            help="A rate that changes, 30s:100,2m:2000: in each stage it goes in a straight line to the stage's, from "
            "that of the one before; at first from --rate, or 0. 0s:100 jumps.",
        ),
        "start": click.option(
            "--start",
            type=Moment(),
            help="Traffic of the past, from 2026-01-01T18:00:00Z or -12h on: in what it says of its time, time passes "
            "as fast as --speed.",
        ),
        "duration": click.option(
            "--duration",
            type=Duration(),
            help="How long to send: 500ms, 60s, 5m, 1h.  [default: 60s, unless --count or --stages]",
        ),
        "count": click.option("--count", type=count, help=f"Send so many {unit}."),
        "connections": click.option(
            "--connections",
            type=click.IntRange(0, 10_000),
            default=16,
            show_default=True,
            help="For single posts, and for uploads of logs.",
        ),
        "streams": click.option(
            "--streams",
            type=click.IntRange(0, 1000),
            default=2,
            show_default=True,
            help="Open streams of JSON lines.",
        ),
        "clients": click.option(
            "--clients",
            type=click.IntRange(1, 10_000),
            help="Desktop clients at once, on average, a stream each.  [default: as many as the scenario has]",
        ),
        "settle": click.option(
            "--settle", type=Duration(), default="30s", show_default=True, help="Retry the last ones so long."
        ),
        "rotate": click.option(
            "--rotate", type=Duration(), default="15s", show_default=True, help="End a stream and start a new one."
        ),
        "chaos": click.option(
            "--chaos",
            is_flag=True,
            help="Let things go wrong: cut connections, repeats with and without keys, broken lines, stalls.",
        ),
        "verify": click.option("--verify", is_flag=True, help="Compare what is stored with what was acknowledged."),
        "ledger": click.option("--ledger", type=file, help="Save what was acknowledged, as JSON."),
        "scenario_path": click.option(
            "--scenario",
            "scenario_path",
            type=existing,
            help="Replay the devices of this file instead of drawing them.",
        ),
        "save": click.option("--save", type=file, help="Save the devices as JSON."),
        "customers_as_is": click.option(
            "--customers-as-is",
            is_flag=True,
            help="Don't give the run customers of its own (acme, not acme-1-3fa2c1).",
        ),
        "run_name": click.option(
            "--run", "run_name", callback=run_name, help="Name of the run, in tokens and keys.  [default: random]"
        ),
        "threshold": click.option(
            "--threshold", multiple=True, callback=thresholds, help="'p99<50ms', 'stream.p99<2s', 'dropped<1'."
        ),
        "headers": click.option(
            "--header", "-H", "headers", multiple=True, callback=headers, help="Sent along: 'Authorization: …'."
        ),
        "read_headers": click.option(
            "--read-header",
            "read_headers",
            multiple=True,
            callback=headers,
            help="Sent along with what reads, in place of a --header of that name: a key that may send may not read.",
        ),
        "summary_json": click.option("--summary-json", type=file, help="Write the result as JSON."),
        "picture": click.option("--picture", type=file, help="Write the live view as it last was, as SVG."),
        "write": click.option(
            "--write",
            type=click.File("wb", lazy=True),
            help="Write the traffic as JSON lines (- is stdout), send nothing.",
        ),
        "quiet": click.option("--quiet", "-q", is_flag=True, help="Print differences and errors only."),
    }

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        for name in reversed(options):
            if name not in left_out:
                command = options[name](command)
        return command

    return decorate
