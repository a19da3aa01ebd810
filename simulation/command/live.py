"""What a person sees while the load runs: rich on a terminal, plain lines elsewhere, and a picture for others."""

from __future__ import annotations

import asyncio
import io
import re
from collections import deque
from collections.abc import Callable, Iterable, Mapping

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.live import Live
from rich.table import Table
from rich.text import Text

from simulation.command.pulse import Pulse
from simulation.command.view import chaos_text, errors_text, human_ms, latency_text
from simulation.load.fleet import Fleet, Running

REFRESH_S = 0.5  # of the live view
LINE_EVERY_S = 5.0  # of the plain lines
PICTURE_COLUMNS = 104
WIDE_COLUMNS = 100  # a narrower terminal is not shown the slowest in a thousand
HISTORY = 64  # rates that are drawn: of the last 32 seconds, which fit into 80 columns
BARS = "▁▂▃▄▅▆▇█"

RateAt = Callable[[float], float]  # messages a second that are wanted, by the seconds since the start


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


def progress_line(load: Running, rate: float, pulse: Pulse | None = None) -> str:
    """One line about the run as it stands."""
    meter, latency = load.meter, load.meter.latency("all")
    line = (
        f"{load.elapsed_s:7.1f} s  {rate:,.0f}/s  acknowledged {meter.acknowledged:,}  waiting {load.waiting:,}"
        f"  errors {errors_text(meter)}"
        f"  p50 {human_ms(latency.p50)}  p99 {human_ms(latency.p99)}  p99.9 {human_ms(latency.p999)}"
    )
    if pulse is not None:
        line += f"  backlog {pulse.backlog}  lag {pulse.lag}"
    return f"{line}  (settling)" if load.settling else line


class ByWidth:
    """What is shown where there is room for it, and what elsewhere."""

    def __init__(self, wide: RenderableType, narrow: RenderableType) -> None:
        self._wide = wide
        self._narrow = narrow

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield self._wide if options.max_width >= WIDE_COLUMNS else self._narrow


class View:
    """The live view of a run. `wanted`: the rate that each kind is to have; `until_s`: how long it takes, if that is
    known.
    """

    def __init__(self, loads: Fleet, wanted: Mapping[str, RateAt], pulse: Pulse, until_s: float | None = None) -> None:
        self._loads = loads
        self._wanted = wanted
        self._pulse = pulse
        self._until_s = until_s
        self._rates = {kind: Rate(load) for kind, load in loads.loads.items()}
        self._history: deque[float] = deque(maxlen=HISTORY)
        self._last: RenderableType | None = None

    async def show(self, console: Console) -> None:
        """Until cancelled."""
        if console.is_terminal:
            await live(console, self.draw)
        rate, shown_s = Rate(self._loads), 0.0
        while True:
            await asyncio.sleep(REFRESH_S)
            self.draw()
            if self._loads.elapsed_s - shown_s >= LINE_EVERY_S:
                shown_s = self._loads.elapsed_s
                console.print(progress_line(self._loads, rate(), self._pulse), highlight=False, soft_wrap=True)

    def draw(self) -> RenderableType:
        """The run as it stands: a line for each kind, all of them together, and what else there is to know."""
        loads = self._loads
        rates = {kind: rate() for kind, rate in self._rates.items()}
        self._history.append(sum(rates.values()))
        wide, narrow = (Group(self._kinds(rates, wide), Text(), self._others(wide)) for wide in (True, False))
        drawn = ByWidth(wide, narrow)
        if not loads.settling:
            self._last = drawn
        return drawn

    def picture(self, title: str) -> str:
        """The view as it last was while the load was running, as SVG that loads nothing."""
        return picture(self._last or self.draw(), title)

    def _kinds(self, rates: Mapping[str, float], wide: bool) -> Table:
        table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
        table.add_column("", no_wrap=True)
        names = ("due/s", "ack/s", "acknowledged", "waiting", "errors", "p50 ms", "p99 ms", "p99.9 ms")
        for name in names if wide else names[:-1]:
            table.add_column(name, justify="right", no_wrap=True)
        wanted = {kind: rate_at(self._loads.elapsed_s) for kind, rate_at in self._wanted.items()}
        if len(self._loads.loads) > 1:
            for kind, load in self._loads.loads.items():
                table.add_row(*_cells(kind, load, wanted[kind], rates[kind])[: len(table.columns)])
        name = next(iter(rates)) if len(rates) == 1 else "all"
        cells = _cells(name, self._loads, sum(wanted.values()), sum(rates.values()))
        table.add_row(*cells[: len(table.columns)], style="bold")
        return table

    def _others(self, wide: bool) -> Table:
        loads, meter = self._loads, self._loads.meter
        table = Table(box=None, padding=(0, 2, 0, 0), show_header=False)
        table.add_column(style="dim", no_wrap=True)
        table.add_column()
        until = "" if self._until_s is None else f" of {self._until_s:,.0f} s"
        table.add_row("time", f"{loads.elapsed_s:,.1f} s{until}, {'settling' if loads.settling else 'Ctrl-C ends it'}")
        table.add_row("rate", Text(sparkline(self._history), style="cyan"))
        for lane in ("single", "stream"):
            latency = meter.latency(lane)
            if latency.count:
                table.add_row(lane, latency_text(latency, wide))
        table.add_row("errors", Text(errors_text(meter), style="yellow" if meter.errors else ""))
        trouble = f"{meter.retries:,} retries, {meter.late:,} sent late, {meter.dropped:,} dropped"
        table.add_row("", Text(trouble, style="yellow" if meter.dropped else ""))
        if meter.chaos:
            table.add_row("chaos", chaos_text(meter))
        table.add_row("backlog", self._pulse.backlog)
        table.add_row("lag", self._pulse.lag)
        return table


def _cells(name: str, load: Running, wanted: float, rate: float) -> list[RenderableType]:
    meter, latency = load.meter, load.meter.latency("all")
    errors = sum(meter.errors.values())
    return [
        name,
        f"{wanted:,.0f}",
        f"{rate:,.0f}",
        f"{meter.acknowledged:,}",
        f"{load.waiting:,}",
        Text(f"{errors:,}", style="yellow" if errors else ""),
        *(f"{value:,.1f}" for value in (latency.p50, latency.p99, latency.p999)),
    ]


def sparkline(values: Iterable[float]) -> str:
    """A bar for each value, the highest one full."""
    drawn = list(values)
    top = max(drawn, default=0.0) or 1.0
    return "".join(BARS[round(value / top * (len(BARS) - 1))] for value in drawn)


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


def picture(shown: RenderableType, title: str) -> str:
    """What a terminal would show, as SVG that loads nothing: rich's own asks for a font from somewhere."""
    console = Console(
        record=True, file=io.StringIO(), width=PICTURE_COLUMNS, force_terminal=True, color_system="truecolor"
    )
    console.print(shown)
    svg = console.export_svg(title=title, unique_id="live")
    return re.sub(r"<!--.*?-->\s*|@font-face \{.*?\}\s*", "", svg, flags=re.DOTALL)
