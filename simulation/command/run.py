"""`simulate` without its command line: traffic, load, ledger, verification, summary."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import aiohttp
import msgspec
from msgspec import Struct, field
from rich.console import Console

from simulation.command import live, view
from simulation.command.kinds import KINDS, Ledgers, messages, rate_at
from simulation.command.options import Options
from simulation.command.pulse import Pulse
from simulation.load.engine import Load, Stop
from simulation.load.fleet import Fleet, Running
from simulation.load.meter import COUNTS, Latency
from simulation.load.meter import Verdict as ThresholdVerdict
from simulation.load.reception import ServerClock
from simulation.truth import saved
from simulation.truth.client import connect, may_read, may_send, reach
from simulation.truth.verdict import Verdict
from simulation.truth.verify import verify


class Summary(Struct):
    """What `--summary-json` writes. Latencies in milliseconds from the scheduled moment.

    `parts`: the same of each kind, where there are several.
    """

    kind: str
    run: str
    seed: int
    url: str
    elapsed_s: float
    scheduled: int
    acknowledged: int
    repeated: int
    rejected: int
    unknown: int
    dropped: int
    skipped: int
    late: int
    retries: int
    replayed: int
    copies: int
    bytes_sent: int
    rate_per_s: float
    errors: dict[str, int]
    chaos: dict[str, int]
    latency_ms: dict[str, Latency]
    thresholds: list[ThresholdVerdict]
    parts: list[Summary] = field(default_factory=list)
    verify: list[Verdict] | None = None


def fleet(http: aiohttp.ClientSession, options: Options, ledgers: Ledgers, stop: Stop) -> Fleet:
    """A load of each kind, ready to run."""
    server = ServerClock()  # all of them talk to one
    return Fleet(
        {
            kind: Load(
                http,
                options.settings,
                messages(options.of(kind)),
                ledgers.of(kind),
                stop,
                make_lanes=KINDS[kind].lanes,
                server=server,
            )
            for kind in options.kinds
        }
    )


@contextlib.contextmanager
def stop_on_signals(stop: Stop) -> Iterator[None]:
    """SIGINT, SIGTERM and a closed terminal press `stop` while inside."""
    loop = asyncio.get_running_loop()
    numbers = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
    before = {number: signal.getsignal(number) for number in numbers}
    for number in numbers:
        signal.signal(number, lambda *_: loop.call_soon_threadsafe(stop.press))
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


async def run(options: Options, console: Console | None) -> Summary:
    """Send, settle, and verify if asked to. Shows itself on `console`, unless None.

    Raises UnreachableError, ReadError, LedgerError. The ledger is saved before the verification, which may fail.
    """
    settings, stop = options.settings, Stop()
    async with connect(settings.headers) as http, connect(settings.headers, options.read_headers) as reader:
        await reach(http, settings.url)
        await may_send(http, settings.url)
        ledgers = Ledgers(options)
        if options.verify:
            await may_read(reader, settings.url)
        if options.verify or options.ledger_path:
            await ledgers.look(reader)
        loads = fleet(http, options, ledgers, stop)
        with stop_on_signals(stop):
            try:
                await _shown(Pulse(reader, settings.url), loads, options, console)
            finally:
                if options.ledger_path is not None:
                    saved.save(ledgers.saved(), options.ledger_path)
        result = summarize(loads, options)
        if console is not None:
            view.show(console, view.summary(loads, options.name, result.thresholds))
        if options.verify:
            say = None if console is None else lambda text: view.show(console, text)
            result.verify = await verify(reader, settings.url, ledgers.saved(), say)
    return result


async def _shown(pulse: Pulse, loads: Fleet, options: Options, console: Console | None) -> None:
    """Run them, and show it."""
    shown = live.View(
        loads, {kind: partial(rate_at, options.of(kind)) for kind in options.kinds}, pulse, options.duration_s
    )
    watching = [] if console is None else [shown.show(console), pulse.watch()]
    tasks = [asyncio.create_task(each) for each in watching]
    try:
        await loads.run()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    if options.picture_path is not None:
        options.picture_path.write_text(shown.picture(f"simulate {options.name}"), encoding="utf-8")


def summarize(loads: Fleet, options: Options) -> Summary:
    """The numbers of a finished run: of all kinds, and of each."""
    result = _summary(loads, options, options.name)
    if len(loads.loads) > 1:
        result.parts = [_summary(load, options, kind) for kind, load in loads.loads.items()]
    return result


def _summary(load: Running, options: Options, kind: str) -> Summary:
    meter, elapsed_s = load.meter, load.elapsed_s
    return Summary(
        kind=kind,
        run=options.run,
        seed=options.seed,
        url=options.settings.url,
        elapsed_s=round(elapsed_s, 3),
        **{name: getattr(meter, name) for name in COUNTS},
        rate_per_s=round(meter.acknowledged / elapsed_s, 1) if elapsed_s else 0.0,
        errors=dict(meter.errors),
        chaos=dict(meter.chaos),
        latency_ms={lane: meter.latency(lane) for lane in ("all", "single", "stream")},
        thresholds=[meter.judge(threshold, elapsed_s) for threshold in options.thresholds],
    )


def write_summary(summary: Summary, path: Path) -> None:
    """Write the summary as indented JSON. Raises OSError."""
    path.write_bytes(msgspec.json.format(msgspec.json.encode(summary), indent=2) + b"\n")
