"""What a person sees while the load runs and when it is over: rich on a terminal, plain lines elsewhere."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from simulation.load.fleet import Fleet, Running
from simulation.load.meter import Latency, Meter
from simulation.load.meter import Verdict as ThresholdVerdict
from simulation.truth.verdict import Verdict

REFRESH_S = 0.5  # of the live view
LINE_EVERY_S = 5.0  # of the plain lines
MAX_DIFFERENCES = 50  # rows printed; the summary file has them all


def human_bytes(size: float) -> str:
    """`1.5 GB`, in powers of 1000."""
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if abs(size) < 1000:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} PB"


def human_ms(value_ms: float) -> str:
    """`3.2 ms`, `1.25 s`."""
    return f"{value_ms:.1f} ms" if value_ms < 1000 else f"{value_ms / 1000:.2f} s"


class Rate:
    """What was acknowledged in a second, over the time since the call before."""

    def __init__(self, load: Running) -> None:
        self._load = load
        self._before = (0.0, 0)

    def __call__(self) -> float:
        now_s, count = self._load.elapsed_s, self._load.meter.acknowledged
        before_s, before = self._before
        self._before = (now_s, count)
        return (count - before) / (now_s - before_s) if now_s > before_s else 0.0


def errors_text(meter: Meter) -> str:
    """`3 (503 ×2, ClientOSError ×1)`, or `0`."""
    total = sum(meter.errors.values())
    if not total:
        return "0"
    return f"{total:,} (" + ", ".join(f"{kind} ×{count:,}" for kind, count in meter.errors.most_common(4)) + ")"


def progress_line(load: Running, rate: float) -> str:
    """One line about the run as it stands."""
    meter, latency = load.meter, load.meter.latency("all")
    line = (
        f"{load.elapsed_s:7.1f} s  {rate:,.0f}/s  acknowledged {meter.acknowledged:,}  waiting {load.waiting:,}"
        f"  errors {errors_text(meter)}  p50 {human_ms(latency.p50)}  p99 {human_ms(latency.p99)}"
    )
    return f"{line}  (settling)" if load.settling else line


def progress_table(loads: Fleet, rates: Mapping[str, float], target_rates: Mapping[str, float]) -> Table:
    """The live view; each kind has a line of its own where there are several."""
    meter = loads.meter
    table = Table(box=None, padding=(0, 2), show_header=False)
    table.add_column(style="bold")
    table.add_column()
    state = "settling what is under way" if loads.settling else "Ctrl-C ends it"
    table.add_row("running", f"{loads.elapsed_s:,.1f} s, {state}")
    if len(loads.loads) > 1:
        for kind, load in loads.loads.items():
            table.add_row(kind, kind_text(load, rates[kind]))
    scheduled = f"{sum(target_rates.values()):,.0f} scheduled on average"
    table.add_row("rate", f"{sum(rates.values()):,.0f}/s acknowledged, {scheduled}")
    table.add_row("acknowledged", f"{meter.acknowledged:,} of {meter.scheduled:,}, {loads.waiting:,} waiting")
    trouble = f"{errors_text(meter)}, {meter.retries:,} retries, {meter.late:,} late, {meter.dropped:,} dropped"
    table.add_row("errors", Text(trouble, style="yellow" if meter.errors or meter.dropped else ""))
    for lane in ("single", "stream"):
        latency = meter.latency(lane)
        if latency.count:
            table.add_row(f"latency, {lane}", _latency_text(latency))
    return table


def kind_text(load: Running, rate: float) -> str:
    """A kind of several, in short."""
    meter, latency = load.meter, load.meter.latency("all")
    text = f"{rate:,.0f}/s, {meter.acknowledged:,} of {meter.scheduled:,} acknowledged"
    return f"{text}, p50 {human_ms(latency.p50)}, p99 {human_ms(latency.p99)}"


def _latency_text(latency: Latency) -> str:
    return (
        f"p50 {human_ms(latency.p50)}  p90 {human_ms(latency.p90)}  p99 {human_ms(latency.p99)}"
        f"  p99.9 {human_ms(latency.p999)}  max {human_ms(latency.max)}"
    )


async def watch(console: Console, loads: Fleet, target_rates: Mapping[str, float]) -> None:
    """Show the run until cancelled."""
    if not console.is_terminal:
        rate = Rate(loads)
        while True:
            await asyncio.sleep(LINE_EVERY_S)
            console.print(progress_line(loads, rate()), highlight=False, soft_wrap=True)
    rates = {kind: Rate(load) for kind, load in loads.loads.items()}
    await live(console, lambda: progress_table(loads, {kind: rate() for kind, rate in rates.items()}, target_rates))


async def live(console: Console, render: Callable[[], RenderableType]) -> None:
    """Draw again and again until cancelled; the last state stays on the screen."""
    with Live(render(), console=console, auto_refresh=False) as display:
        try:
            while True:
                await asyncio.sleep(REFRESH_S)
                # Drawing a large table takes 50 ms, which would be measured as the collector's latency.
                await asyncio.to_thread(display.update, render(), refresh=True)
        finally:
            display.update(render(), refresh=True)


def show(console: Console, result: RenderableType) -> None:
    """Print a result; where there is no terminal, long lines stay whole."""
    console.print(result, soft_wrap=not console.is_terminal, highlight=False)


def summary(loads: Fleet, kind: str, thresholds: list[ThresholdVerdict]) -> RenderableType:
    """The result of a run; of several kinds, of each and of all."""
    lines: list[str] = []
    if len(loads.loads) > 1:
        for name, load in loads.loads.items():
            lines += [f"{name}:", *(f"  {line}" for line in _summary_lines(load))]
        lines.append(f"{kind}:")
    lines += _summary_lines(loads)
    text = Text("\n".join([*lines, *(f"error: {example}" for example in loads.meter.examples)]))
    for verdict in thresholds:
        measured = "nothing measured" if verdict.value is None else f"{verdict.value:,.3f}{verdict.unit}"
        mark, style = ("holds", "green") if verdict.ok else ("BREACHED", "bold red")
        text.append(f"\nthreshold {verdict.threshold} {mark}: {measured}", style=style)
    return text


def _summary_lines(load: Running) -> list[str]:
    meter = load.meter
    rate = meter.acknowledged / load.elapsed_s if load.elapsed_s else 0.0
    lines = [
        f"scheduled {meter.scheduled:,}  acknowledged {meter.acknowledged:,}  rejected {meter.rejected:,}"
        f"  unknown {meter.unknown:,}  dropped {meter.dropped:,}",
        f"{rate:,.0f}/s over {load.elapsed_s:,.1f} s, {human_bytes(meter.bytes_sent)} of bodies"
        f"  late {meter.late:,}  retries {meter.retries:,}  errors {errors_text(meter)}",
    ]
    for lane in ("single", "stream"):
        latency = meter.latency(lane)
        if latency.count:
            lines.append(f"{lane:<6} {latency.count:,}  {_latency_text(latency)}")
    return lines


def verdict(results: list[Verdict]) -> RenderableType:
    """The result of a comparison: one line where everything agrees, else a table of the differences."""
    return Group(*map(_verdict, results))


def _verdict(result: Verdict) -> RenderableType:
    unknown = f"; {result.unknown:,} of unknown fate may be in it or not" if result.unknown else ""
    if not result.differences:
        return Text(f"verified: {result.agrees}{unknown}", style="bold green")
    table = Table(title=None)
    for name in (*result.columns, "field"):
        table.add_column(name, overflow="fold")
    for name in ("expected", "found", "difference"):
        table.add_column(name, justify="right")
    for item in result.differences[:MAX_DIFFERENCES]:
        expected = f"{item.expected:,}" + (f" to {item.expected + item.unknown:,}" if item.unknown else "")
        nearest = item.expected if item.found < item.expected else item.expected + item.unknown
        table.add_row(*item.row, item.field, expected, f"{item.found:,}", f"{item.found - nearest:+,}")
    left = len(result.differences) - MAX_DIFFERENCES
    head = f"{result.kind}: {len(result.differences)} differences in {result.compared} rows{unknown}"
    tail = Text(f"… and {left} more") if left > 0 else Text("")
    return Group(Text(head, style="bold red"), table, tail)
