"""The command line: `simulate stats` and its neighbours put load on a running collector, `simulate verify` compares a
saved ledger.

Exit status: 0 fine, 1 the database differs from the truth, 2 wrong usage or API key, 3 no collector, 99 a threshold is
breached.
"""

from __future__ import annotations

import asyncio
import math
import secrets
import sys
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import click
from rich.console import Console

from simulation.command.exits import BREACHED as BREACHED
from simulation.command.exits import DIFFERENT as DIFFERENT
from simulation.command.exits import INTERRUPTED as INTERRUPTED
from simulation.command.exits import OK as OK
from simulation.command.exits import UNREACHABLE as UNREACHABLE
from simulation.command.exits import USAGE as USAGE
from simulation.command.exits import fail
from simulation.command.flags import load_options
from simulation.command.parameters import DEFAULT_URL, Url, headers

if TYPE_CHECKING:
    from simulation.load.meter import Threshold
    from simulation.traffic.pace import Stage, Stages

DEFAULT_DURATION_S = 60.0
ALL = ("stats", "payloads", "analytics", "sessions")
WRITTEN_START_MS = 1_767_225_600_000  # 2026-01-01: written traffic is the same each time

EXTRA = ("aiohttp", "hypothesis")

_EXIT = """\b
Exit status: 0 fine, 1 the database differs from what was acknowledged,
2 wrong usage or API key, 3 no collector there, 99 a threshold is breached.
"""

_EXAMPLES = {
    "stats": """
  simulate stats --verify
      one minute of devices against http://127.0.0.1:8080, then compare
  simulate stats --rate 2000 --duration 5m --threshold 'p99<50ms'
      2,000 payloads a second; exit status 99 if the slowest percent takes 50 ms
  simulate stats --stages 30s:100,2m:2000
      from nothing to 100 payloads a second, and on to 2,000
  simulate stats --seed 7 --save home.json --ledger truth.json
      keep the scenario, and what was acknowledged
  simulate stats --write payloads.jsonl --count 1000000
      write the traffic into a file instead of sending it
""",
    "payloads": """
  simulate payloads --rate 500 --verify
      500 payloads a second into the queue; compare when it is consumed
""",
    "analytics": """
  simulate analytics --rate 1000 --duration 30s --verify
      1,000 clicks and impressions a second, then compare each hour
""",
    "sessions": """
  simulate sessions --clients 200 --duration 5m --verify
      200 desktop clients with a stream each, and their logs
  simulate sessions --start -12h --speed 720 --duration 60s
      what desktop clients did in the last twelve hours, in a minute
""",
    "all": """
  simulate all --rate 2000 --chaos --verify
      every kind of traffic at once, with faults, and every number compared
""",
    "verify": """
  simulate verify truth.json
      compare again later, for instance after a crash
""",
}


def _epilog(*commands: str) -> str:
    """Examples of these commands, and how the program ends."""
    examples = "\n".join(_EXAMPLES[command].strip("\n") for command in commands)
    return f"\b\nExamples:\n{examples}\n\n{_EXIT}"


@click.group(
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110}, epilog=_epilog(*_EXAMPLES)
)
def cli() -> None:
    """Simulated devices for a collector: load that is honest about latency, and the truth to compare with.

    Hypothesis draws the devices from a seed, a seeded generator makes their traffic, and a ledger keeps what the
    collector has acknowledged.
    """


@cli.command(epilog=_epilog("stats"))
@load_options("payloads", "clients")
def stats(**flags: Any) -> None:
    """Send stats payloads as devices do: single posts and streams, each session one every 30 s of device time.

    Latency counts from the moment at which a payload was due. 503, 429 and cut connections are retried under the same
    Idempotency-Key; streams resume where the collector stands. Ctrl-C ends the run with its summary.
    """
    _command(("stats",), **flags)


@cli.command(epilog=_epilog("payloads"))
@load_options("payloads", "clients")
def payloads(**flags: Any) -> None:
    """Send stats payloads through the queue.

    Viewers as those of `simulate stats`, but others, post to /payloads. --verify gives the queue a minute to be
    consumed.
    """
    _command(("payloads",), **flags)


@cli.command(epilog=_epilog("analytics"))
@load_options("hits", "clients", "customers_as_is")
def analytics(**flags: Any) -> None:
    """Send clicks and impressions of an audience: single posts and streams, some of them of hours gone by.

    --verify compares every hour that was touched: unique users, clicks, impressions. Nobody else may write to these
    hours meanwhile.
    """
    _command(("analytics",), **flags)


@cli.command(epilog=_epilog("sessions"))
@load_options("messages", "streams", "rotate", "customers_as_is")
def sessions(**flags: Any) -> None:
    """Be desktop clients: a stream of CPU samples and app events each, open for as long as there is a network.

    Their clocks are off, and their networks fail at times; then they upload their logs. In some of them something burns
    CPU: a cause that is drawn with the devices. --verify compares every message and its time (to 2 s, for the clocks
    are corrected by received − sent).
    """
    _command(("sessions",), **flags)


@cli.command("all", epilog=_epilog("all"))
@load_options("messages of all kinds", "write")
def everything(**flags: Any) -> None:
    """Send every kind of traffic at once: stats, payloads, analytics, sessions.

    --rate and --count are shared out evenly; --connections and --streams are those of each kind.
    """
    _command(ALL, **flags)


def _command(
    kinds: tuple[str, ...],
    *,
    url: str,
    seed: int,
    speed: float,
    rate: float | None,
    duration: float | None,
    count: int | None,
    connections: int,
    settle: float,
    verify: bool,
    ledger: Path | None,
    scenario_path: Path | None,
    save: Path | None,
    run_name: str | None,
    threshold: tuple[Threshold, ...],
    headers: dict[str, str],
    read_headers: dict[str, str],
    summary_json: Path | None,
    quiet: bool,
    stages: tuple[Stage, ...] | None,
    start: float | None,
    chaos: bool,
    picture: Path | None,
    streams: int = 0,
    rotate: float = 0.0,
    clients: int | None = None,
    customers_as_is: bool = False,
    write: IO[bytes] | None = None,
) -> None:
    """A run with what the command line says."""
    from simulation.command.options import Options, now_ms
    from simulation.load.engine import Settings

    if connections + streams == 0 and kinds != ("sessions",):
        raise click.UsageError("--connections 0 and --streams 0: nothing can be sent")
    from simulation.command.sending import scenario_of, send, write_traffic

    rate, paced, duration = _paced(rate, stages, duration, count)
    now = now_ms() if write is None else WRITTEN_START_MS
    if start is not None:
        duration = _within_the_past(start, speed, duration, now_ms())
    scenario = scenario_of(seed, scenario_path, save)
    # Written traffic is the same each time; sent traffic needs tokens that the database has not seen.
    run_id = run_name or (str(seed) if write is not None else f"{seed}-{secrets.token_hex(3)}")
    options = Options(
        scenario=scenario,
        seed=seed,
        run=run_id,
        kinds=kinds,
        settings=Settings(
            url=url,
            connections=connections,
            streams=streams,
            settle_s=settle,
            rotate_s=rotate,
            headers=headers,
            chaos=chaos,
        ),
        speed=speed,
        rate=rate,
        stages=paced,
        duration_s=duration,
        count=count,
        clients=clients,
        start_ms=int(now if start is None else start),
        past=start is not None,
        own_customers=not customers_as_is,
        read_headers=read_headers,
        verify=verify,
        thresholds=threshold,
        ledger_path=ledger,
        picture_path=picture,
    )
    if write is not None:
        write_traffic(options, write)
        return
    sys.exit(send(options, summary_json, quiet))


def _paced(
    rate: float | None, stages: tuple[Stage, ...] | None, duration: float | None, count: int | None
) -> tuple[float | None, Stages | None, float | None]:
    """The mean rate, its stages, and how long they or the traffic are."""
    from simulation.traffic.pace import Stages

    if stages is None:
        return rate, None, DEFAULT_DURATION_S if duration is None and count is None else duration
    if duration is not None:
        raise click.UsageError("--stages and --duration: the stages say how long it is")
    try:
        paced = Stages(stages, rate or 0.0)
    except ValueError as exc:
        raise click.BadParameter(str(exc), param_hint="--stages") from exc
    return paced.mean_rate, paced, paced.length_s


def _within_the_past(start_ms: float, speed: float, duration_s: float | None, now_ms: int) -> float | None:
    """How long traffic of the past may be; UsageError where it would reach the future."""
    ago_s = (now_ms - start_ms) / 1000
    longest_s = ago_s / (speed - 1) if speed > 1 else math.inf  # time goes on meanwhile
    if ago_s <= 0 or (duration_s is not None and duration_s > longest_s):
        raise click.UsageError(
            f"--start: at --speed {speed:g} that reaches the present after {max(0.0, longest_s):.1f} s of --duration;"
            " start earlier, or make it shorter"
        )
    return longest_s if duration_s is None and speed > 1 else duration_s


@cli.command("verify", epilog=_epilog("verify"))
@click.argument("ledger", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--url", type=Url(), default=DEFAULT_URL, show_default=True, help="The collector.")
@click.option("--header", "-H", "headers", multiple=True, callback=headers, help="Sent along: 'Authorization: …'.")
@click.option("--read-header", "read_headers", multiple=True, callback=headers, help="The same.")
@click.option("--quiet", "-q", is_flag=True, help="Print differences only.")
def verify_command(ledger: Path, url: str, headers: dict[str, str], read_headers: dict[str, str], quiet: bool) -> None:
    """Compare a saved LEDGER with what the collector shows now. Exit status 1 and a table where they differ."""
    from simulation.command import view
    from simulation.truth import saved
    from simulation.truth.client import KeyNeededError, ReadError, UnreachableError, connect
    from simulation.truth.verdict import Verdict, differing
    from simulation.truth.verify import verify

    console = Console()

    async def compare() -> list[Verdict]:
        async with connect(headers, read_headers) as http:
            say = None if quiet else lambda text: view.show(console, text)
            return await verify(http, url, saved.read(ledger), say)

    try:
        verdicts = asyncio.run(compare())
    except UnreachableError as exc:
        sys.exit(fail(UNREACHABLE, str(exc)))
    except KeyNeededError as exc:
        sys.exit(fail(USAGE, str(exc)))
    except ReadError as exc:
        sys.exit(fail(DIFFERENT, str(exc)))
    except saved.LedgerError as exc:
        raise click.UsageError(str(exc)) from exc
    if differing(verdicts) or not quiet:
        view.show(console, view.verdict(verdicts))
    sys.exit(DIFFERENT if differing(verdicts) else OK)


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
        sys.exit(fail(USAGE, message))
    cli(prog_name="simulate")


if __name__ == "__main__":
    main()
