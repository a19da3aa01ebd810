"""`simulate stats` without its command line: traffic, load, ledger, verification, summary."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Iterator
from itertools import islice, takewhile
from pathlib import Path

import msgspec
from msgspec import Struct
from rich.console import Console

from simulation import ledger as ledgers
from simulation import view
from simulation.client import connect, reach
from simulation.ledger import Ledger
from simulation.load import Load, Settings, Stop
from simulation.meter import Latency, Threshold
from simulation.meter import Verdict as ThresholdVerdict
from simulation.scenario import Scenario
from simulation.traffic import Message, customer_name, payloads_per_s, traffic
from simulation.verify import Verdict, found_sums, verify


class Options(Struct, frozen=True):
    """What to send. `duration_s` and `count` limit the traffic, whichever comes first; None: no limit."""

    scenario: Scenario
    seed: int
    run: str
    settings: Settings
    speed: float = 60.0
    rate: float | None = None
    duration_s: float | None = 60.0
    count: int | None = None
    own_customers: bool = True
    verify: bool = False
    thresholds: tuple[Threshold, ...] = ()
    ledger_path: Path | None = None


class Summary(Struct):
    """What `--summary-json` writes. Latencies in milliseconds from the scheduled moment."""

    run: str
    seed: int
    url: str
    elapsed_s: float
    scheduled: int
    acknowledged: int
    rejected: int
    unknown: int
    dropped: int
    late: int
    retries: int
    replayed: int
    bytes_sent: int
    rate_per_s: float
    errors: dict[str, int]
    latency_ms: dict[str, Latency]
    thresholds: list[ThresholdVerdict]
    verify: Verdict | None = None


def messages(options: Options) -> Iterator[Message]:
    """The traffic of these options, limited as they say."""
    endless = traffic(
        options.scenario,
        seed=options.seed,
        run=options.run,
        speed=options.speed,
        rate=options.rate,
        own_customers=options.own_customers,
    )
    limit_s = options.duration_s
    limited = endless if limit_s is None else takewhile(lambda message: message.offset_s < limit_s, endless)
    return limited if options.count is None else islice(limited, options.count)


def new_ledger(options: Options) -> Ledger:
    """An empty ledger for the customers of these options."""
    suffix = options.run if options.own_customers else None
    return Ledger(options.run, [customer_name(customer, suffix) for customer in options.scenario.customers])


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
    async with connect(settings.headers) as http:
        await reach(http, settings.url)
        ledger = new_ledger(options)
        if (options.verify or options.ledger_path) and not options.own_customers:
            # Others may have written for these customers before: their sums are subtracted.
            ledger.before = await found_sums(http, settings.url, ledger.customers)
        load = Load(http, settings, messages(options), ledger, stop)
        with stop_on_signals(stop):
            try:
                await _shown(load, options, console)
            finally:
                if options.ledger_path is not None:
                    ledgers.save(ledger.saved(), options.ledger_path)
        result = summarize(load, options)
        if console is not None:
            view.show(console, view.summary(load, result.thresholds))
        if options.verify:
            result.verify = await verify(http, settings.url, ledger.saved())
    return result


async def _shown(load: Load, options: Options, console: Console | None) -> None:
    if console is None:
        return await load.run()
    expected = payloads_per_s(options.scenario, options.speed, options.rate)
    watching = asyncio.create_task(view.watch(console, load, expected))
    try:
        await load.run()
    finally:
        watching.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await watching


def summarize(load: Load, options: Options) -> Summary:
    """The numbers of a finished run."""
    meter, elapsed_s = load.meter, load.elapsed_s
    return Summary(
        run=options.run,
        seed=options.seed,
        url=options.settings.url,
        elapsed_s=round(elapsed_s, 3),
        scheduled=meter.scheduled,
        acknowledged=meter.acknowledged,
        rejected=meter.rejected,
        unknown=meter.unknown,
        dropped=meter.dropped,
        late=meter.late,
        retries=meter.retries,
        replayed=meter.replayed,
        bytes_sent=meter.bytes_sent,
        rate_per_s=round(meter.acknowledged / elapsed_s, 1) if elapsed_s else 0.0,
        errors=dict(meter.errors),
        latency_ms={lane: meter.latency(lane) for lane in ("all", "single", "stream")},
        thresholds=[meter.judge(threshold, elapsed_s) for threshold in options.thresholds],
    )


def write_summary(summary: Summary, path: Path) -> None:
    """Write the summary as indented JSON. Raises OSError."""
    path.write_bytes(msgspec.json.format(msgspec.json.encode(summary), indent=2) + b"\n")
