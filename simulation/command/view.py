"""Texts for a person: what came of a run, and what a comparison has found."""

from __future__ import annotations

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from simulation.load.fleet import Fleet, Running
from simulation.load.meter import Latency, Meter
from simulation.load.meter import Verdict as ThresholdVerdict
from simulation.truth.verdict import Verdict

MAX_DIFFERENCES = 50  # rows printed; the summary file has them all


def human_bytes(size: float) -> str:
    """`1.5 GB`, in powers of 1000."""
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if abs(size) < 1000:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} PB"


def human_ms(value_ms: float) -> str:
    """`3.2 ms`, `320 ms`, `1.25 s`."""
    if value_ms >= 1000:
        return f"{value_ms / 1000:.2f} s"
    return f"{value_ms:.1f} ms" if value_ms < 100 else f"{value_ms:.0f} ms"


def errors_text(meter: Meter) -> str:
    """`3 (503 ×2, ClientOSError ×1)`, or `0`."""
    total = sum(meter.errors.values())
    if not total:
        return "0"
    return f"{total:,} (" + ", ".join(f"{kind} ×{count:,}" for kind, count in meter.errors.most_common(4)) + ")"


def latency_text(latency: Latency, wide: bool = True) -> str:
    """Percentiles of a lane; the slowest in a thousand only where it is `wide`."""
    slowest = f"  p99.9 {human_ms(latency.p999)}" if wide else ""
    return (
        f"p50 {human_ms(latency.p50)}  p90 {human_ms(latency.p90)}  p99 {human_ms(latency.p99)}"
        f"{slowest}  max {human_ms(latency.max)}"
    )


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
        f"  unknown {meter.unknown:,}  dropped {meter.dropped:,}"
        f"  repeated {meter.repeated:,}  not measured {meter.skipped:,}",
        f"{rate:,.0f}/s over {load.elapsed_s:,.1f} s, {human_bytes(meter.bytes_sent)} of bodies"
        f"  late {meter.late:,}  retries {meter.retries:,}  errors {errors_text(meter)}",
    ]
    for lane in ("single", "stream"):
        latency = meter.latency(lane)
        if latency.count:
            lines.append(f"{lane:<6} {latency.count:,}  {latency_text(latency)}")
    if meter.chaos:
        lines.append(f"chaos: {chaos_text(meter)}; {meter.copies:,} stored once more")
    return lines


def chaos_text(meter: Meter) -> str:
    """`12 cuts, 3 stalls`."""
    return ", ".join(f"{count:,} {what}" for what, count in sorted(meter.chaos.items()) if count)


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
