"""What a person sees while the load runs: rich on a terminal, plain lines elsewhere, and a picture for others."""

from __future__ import annotations

import asyncio
import io
import re
from collections.abc import Callable, Mapping

from rich.console import Console, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from simulation.command.pulse import Pulse
from simulation.command.view import chaos_text, errors_text, human_ms, latency_text
from simulation.load.fleet import Fleet, Running

REFRESH_S = 0.5  # of the live view
LINE_EVERY_S = 5.0  # of the plain lines
PICTURE_COLUMNS = 112

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


class View:
    """The live view of a run. `wanted`: the rate that each kind is to have."""

    def __init__(self, loads: Fleet, wanted: Mapping[str, RateAt], pulse: Pulse) -> None:
        self._loads = loads
        self._wanted = wanted
        self._pulse = pulse
        self._rates = {kind: Rate(load) for kind, load in loads.loads.items()}
        self._last: RenderableType | None = None

    async def show(self, console: Console) -> None:
        """Until cancelled."""
        if console.is_terminal:
            await live(console, self.table)
        rate = Rate(self._loads)
        while True:
            await asyncio.sleep(LINE_EVERY_S)
            console.print(progress_line(self._loads, rate(), self._pulse), highlight=False, soft_wrap=True)
            self.table()

    def table(self) -> RenderableType:
        """The run as it stands; each kind has a line of its own where there are several."""
        loads, meter = self._loads, self._loads.meter
        rates = {kind: rate() for kind, rate in self._rates.items()}
        table = Table(box=None, padding=(0, 2), show_header=False)
        table.add_column(style="bold")
        table.add_column()
        state = "settling what is under way" if loads.settling else "Ctrl-C ends it"
        table.add_row("running", f"{loads.elapsed_s:,.1f} s, {state}")
        if len(loads.loads) > 1:
            for kind, load in loads.loads.items():
                table.add_row(kind, _kind_text(load, rates[kind]))
        wanted = sum(rate(loads.elapsed_s) for rate in self._wanted.values())
        table.add_row("rate", f"{sum(rates.values()):,.0f}/s acknowledged, {wanted:,.0f}/s scheduled on average")
        table.add_row("acknowledged", f"{meter.acknowledged:,} of {meter.scheduled:,}, {loads.waiting:,} waiting")
        trouble = f"{errors_text(meter)}, {meter.retries:,} retries, {meter.late:,} late, {meter.dropped:,} dropped"
        table.add_row("errors", Text(trouble, style="yellow" if meter.errors or meter.dropped else ""))
        if meter.chaos:
            table.add_row("chaos", chaos_text(meter))
        for lane in ("single", "stream"):
            latency = meter.latency(lane)
            if latency.count:
                table.add_row(f"latency, {lane}", latency_text(latency))
        table.add_row("backlog", self._pulse.backlog)
        table.add_row("lag", self._pulse.lag)
        if not loads.settling:
            self._last = table
        return table

    def picture(self, title: str) -> str:
        """The view as it last was while the load was running, as SVG that loads nothing."""
        return picture(self._last or self.table(), title)


def _kind_text(load: Running, rate: float) -> str:
    """A kind of several, in short."""
    meter, latency = load.meter, load.meter.latency("all")
    text = f"{rate:,.0f}/s, {meter.acknowledged:,} of {meter.scheduled:,} acknowledged"
    return f"{text}, p50 {human_ms(latency.p50)}, p99 {human_ms(latency.p99)}"


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
