"""The command line: `simulate stats` puts load on a running collector, `simulate verify` compares a saved ledger.

Exit status: 0 fine, 1 the database differs from the truth, 2 wrong usage, 3 no collector, 99 a threshold is breached.
"""

from __future__ import annotations

import asyncio
import secrets
import sys
from pathlib import Path
from typing import IO, TYPE_CHECKING

import click
from rich.console import Console

from simulation.parameters import DEFAULT_URL, Duration, Positive, Url, headers, run_name, thresholds

if TYPE_CHECKING:
    from simulation.meter import Threshold
    from simulation.run import Options, Summary
    from simulation.scenario import Scenario

OK, DIFFERENT, USAGE, UNREACHABLE, BREACHED, INTERRUPTED = 0, 1, 2, 3, 99, 130
DEFAULT_DURATION_S = 60.0

EXTRA = ("aiohttp", "hypothesis")

_EPILOG = """\b
Examples:
  simulate stats --verify
      one minute of devices against http://127.0.0.1:8080, then compare
  simulate stats --rate 2000 --duration 5m --threshold 'p99<50ms'
      2,000 payloads a second; exit status 99 if the slowest percent takes 50 ms
  simulate stats --seed 7 --save home.json --ledger truth.json
      keep the scenario, and what was acknowledged
  simulate verify truth.json
      compare again later, for instance after a crash
  simulate stats --write payloads.jsonl --count 1000000
      write the traffic into a file instead of sending it

\b
Exit status: 0 fine, 1 the database differs from what was acknowledged,
2 wrong usage, 3 no collector there, 99 a threshold is breached.
"""


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110}, epilog=_EPILOG)
def cli() -> None:
    """Simulated devices for a collector: load that is honest about latency, and the truth to compare with.

    Hypothesis draws the devices from a seed, a seeded generator makes their traffic, and a ledger keeps what the
    collector has acknowledged.
    """


@cli.command(epilog=_EPILOG)
@click.option("--url", type=Url(), default=DEFAULT_URL, show_default=True, help="The collector.")
@click.option("--seed", type=int, default=1, show_default=True, help="Draws the devices and their traffic.")
@click.option("--speed", type=Positive(), default=60.0, show_default=True, help="Seconds of device time in a second.")
@click.option("--rate", type=Positive(), help="Mean payloads a second, instead of what the viewers come to.")
@click.option(
    "--duration", type=Duration(), help="How long to send: 500ms, 60s, 5m, 1h.  [default: 60s, unless --count]"
)
@click.option("--count", type=click.IntRange(min=1), help="Send so many payloads.")
@click.option("--connections", type=click.IntRange(0, 10_000), default=16, show_default=True, help="For single posts.")
@click.option(
    "--streams", type=click.IntRange(0, 1000), default=2, show_default=True, help="Open streams of JSON lines."
)
@click.option("--settle", type=Duration(), default="30s", show_default=True, help="Retry the last ones so long.")
@click.option("--rotate", type=Duration(), default="15s", show_default=True, help="End a stream and begin a new one.")
@click.option("--verify", is_flag=True, help="Compare `stats` with what was acknowledged.")
@click.option("--ledger", type=click.Path(dir_okay=False, path_type=Path), help="Save what was acknowledged, as JSON.")
@click.option(
    "--scenario",
    "scenario_path",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Replay the devices of this file instead of drawing them.",
)
@click.option("--save", type=click.Path(dir_okay=False, path_type=Path), help="Save the devices as JSON.")
@click.option(
    "--customers-as-is", is_flag=True, help="Don't give the run customers of its own (acme, not acme-1-3fa2c1)."
)
@click.option("--run", "run_name", callback=run_name, help="Name of the run, in tokens and keys.  [default: random]")
@click.option("--threshold", multiple=True, callback=thresholds, help="'p99<50ms', 'stream.p99<2s', 'dropped<1'.")
@click.option("--header", "-H", "headers", multiple=True, callback=headers, help="Sent along: 'Authorization: …'.")
@click.option("--summary-json", type=click.Path(dir_okay=False, path_type=Path), help="Write the result as JSON.")
@click.option(
    "--write", type=click.File("wb", lazy=True), help="Write the traffic as JSON lines (- is stdout), send nothing."
)
@click.option("--quiet", "-q", is_flag=True, help="Print differences and errors only.")
def stats(
    url: str,
    seed: int,
    speed: float,
    rate: float | None,
    duration: float | None,
    count: int | None,
    connections: int,
    streams: int,
    settle: float,
    rotate: float,
    verify: bool,
    ledger: Path | None,
    scenario_path: Path | None,
    save: Path | None,
    customers_as_is: bool,
    run_name: str | None,
    threshold: tuple[Threshold, ...],
    headers: dict[str, str],
    summary_json: Path | None,
    write: IO[bytes] | None,
    quiet: bool,
) -> None:
    """Send stats payloads as devices do: single posts and streams, each session one every 30 s of device time.

    Latency counts from the moment at which a payload was due. 503, 429 and cut connections are retried under the same
    Idempotency-Key; streams resume where the collector stands. Ctrl-C ends the run with its summary.
    """
    from simulation.load import Settings
    from simulation.run import Options

    if connections + streams == 0:
        raise click.UsageError("--connections 0 and --streams 0: nothing can be sent")
    scenario = _scenario(seed, scenario_path, save)
    # Written traffic is the same each time; sent traffic needs tokens that the database has not seen.
    run_id = run_name or (str(seed) if write is not None else f"{seed}-{secrets.token_hex(3)}")
    options = Options(
        scenario=scenario,
        seed=seed,
        run=run_id,
        settings=Settings(
            url=url,
            connections=connections,
            streams=streams,
            settle_s=settle,
            rotate_s=rotate,
            headers=headers,
        ),
        speed=speed,
        rate=rate,
        duration_s=duration if duration is not None or count is not None else DEFAULT_DURATION_S,
        count=count,
        own_customers=not customers_as_is,
        verify=verify,
        thresholds=threshold,
        ledger_path=ledger,
    )
    if write is not None:
        _write(options, write)
        return
    sys.exit(_send(options, summary_json, quiet))


def _scenario(seed: int, path: Path | None, save: Path | None) -> Scenario:
    from simulation import scenario as scenarios
    from simulation.strategies import draw

    try:
        scenario = scenarios.read(path) if path is not None else draw(seed)
        if save is not None:
            scenarios.save(scenario, save)
    except scenarios.ScenarioError as exc:
        raise click.UsageError(str(exc)) from exc
    return scenario


def _write(options: Options, target: IO[bytes]) -> None:
    from simulation.run import messages

    for message in messages(options):
        target.write(message.body)
        target.write(b"\n")


def _send(options: Options, summary_json: Path | None, quiet: bool) -> int:
    from simulation import view
    from simulation.client import ReadError, UnreachableError
    from simulation.ledger import LedgerError
    from simulation.run import run, write_summary

    console = Console()
    if not quiet:
        what = f"{len(options.scenario.profiles)} device profiles, seed {options.seed}, run {options.run}"
        console.print(f"{what} → {options.settings.url}", highlight=False, soft_wrap=True)
    try:
        summary = asyncio.run(run(options, None if quiet else console))
        if summary_json is not None:
            write_summary(summary, summary_json)
    except UnreachableError as exc:
        return _fail(UNREACHABLE, str(exc))
    except ReadError as exc:
        return _fail(DIFFERENT, str(exc))
    except (LedgerError, OSError) as exc:
        return _fail(USAGE, str(exc))
    except KeyboardInterrupt:
        return _fail(INTERRUPTED, "interrupted while comparing")
    if summary.verify is not None and (summary.verify.differences or not quiet):
        view.show(console, view.verdict(summary.verify))
    return _status(summary)


def _status(summary: Summary) -> int:
    """A wrong number outweighs a slow one."""
    if summary.verify is not None and summary.verify.differences:
        return DIFFERENT
    if summary.scheduled and not summary.acknowledged:
        return _fail(UNREACHABLE, "the collector has acknowledged nothing")
    if breached := [verdict.threshold for verdict in summary.thresholds if not verdict.ok]:
        return _fail(BREACHED, f"breached: {', '.join(breached)}")
    return OK


@cli.command("verify")
@click.argument("ledger", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--url", type=Url(), default=DEFAULT_URL, show_default=True, help="The collector.")
@click.option("--header", "-H", "headers", multiple=True, callback=headers, help="Sent along: 'Authorization: …'.")
@click.option("--quiet", "-q", is_flag=True, help="Print differences only.")
def verify_command(ledger: Path, url: str, headers: dict[str, str], quiet: bool) -> None:
    """Compare a saved LEDGER with what the collector shows now. Exit status 1 and a table where they differ."""
    from simulation import ledger as ledgers
    from simulation import view
    from simulation.client import ReadError, UnreachableError, connect
    from simulation.verify import Verdict, verify

    async def compare() -> Verdict:
        async with connect(headers) as http:
            return await verify(http, url, ledgers.read(ledger))

    try:
        verdict = asyncio.run(compare())
    except UnreachableError as exc:
        sys.exit(_fail(UNREACHABLE, str(exc)))
    except ReadError as exc:
        sys.exit(_fail(DIFFERENT, str(exc)))
    except ledgers.LedgerError as exc:
        raise click.UsageError(str(exc)) from exc
    if verdict.differences or not quiet:
        view.show(Console(), view.verdict(verdict))
    sys.exit(DIFFERENT if verdict.differences else OK)


def _fail(status: int, message: str) -> int:
    click.echo(f"simulate: {message}", err=True)
    return status


def missing_extra() -> str | None:
    """What to do about a package of the `simulation` extra that is not installed."""
    from importlib.util import find_spec

    absent = [name for name in EXTRA if find_spec(name) is None]
    if not absent:
        return None
    return f"the simulator needs {', '.join(absent)}: pip install 'collector[simulation]'"


def main() -> None:
    """Entry point of the console script."""
    if (message := missing_extra()) is not None:
        sys.exit(_fail(USAGE, message))
    cli(prog_name="simulate")


if __name__ == "__main__":
    main()
