"""The demo's screen: the newest windows of `stats` beside what the devices know to be acknowledged, and a line each for
sessions, analytics and the queue.
"""

from __future__ import annotations

import asyncio
import contextlib
from datetime import datetime
from time import monotonic

import aiohttp
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from simulation.command import live, view
from simulation.command.kinds import Ledgers
from simulation.command.options import now_ms
from simulation.load.fleet import Fleet
from simulation.traffic.hits import HOUR_MS
from simulation.truth.client import ReadError, StatsRow, UnreachableError, hour_counts, queue_waiting, stats_rows
from simulation.truth.hours import Counts

POLL_S = 1.0  # between two reads of stats
LINE_EVERY_S = 3.0  # without a terminal
OTHER_LINES = 18  # of the terminal, for everything but the rows
CLOCK_MARGIN_MS = 60_000  # the server's clock may be behind ours; windows before the run have none of its customers


class Screen:
    """Reads `stats` again and again, and draws it."""

    def __init__(
        self, http: aiohttp.ClientSession, url: str, load: Fleet, ledgers: Ledgers, speed: float, cause: str
    ) -> None:
        self._http = http
        self._url = url
        self._load = load
        self._ledgers = ledgers
        self._speed = speed
        self._cause = cause
        self._rate = live.Rate(load)
        self._since_ms = now_ms() - CLOCK_MARGIN_MS
        self._rows: list[StatsRow] = []
        self._hour: Counts | None = None
        self._queue: float | None = None
        self._behind = 0  # bytes that were acknowledged before the read and did not show in it
        self._read_s = 0.0
        self._trouble = "nothing read yet"

    async def show(self, console: Console) -> None:
        """Read and draw until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._poll())
            group.create_task(self._draw(console))

    async def look(self) -> None:
        """Read once."""
        try:
            await self._read()
        except (ReadError, UnreachableError) as exc:
            self._trouble = str(exc)

    async def _poll(self) -> None:
        while True:
            await self.look()
            await asyncio.sleep(POLL_S)

    async def _read(self) -> None:
        ledger = self._ledgers.stats
        # Taken before the question: all of it has to be in the answer.
        acknowledged = ledger.size_bytes
        customers, asked_s = set(ledger.customers), monotonic()
        answer = stats_rows(self._http, self._url, **{"from": str(self._since_ms)})
        self._rows = [row async for row in answer if row.customer in customers]
        self._read_s = monotonic() - asked_s
        self._behind = max(0, acknowledged - sum(row.cdn + row.p2p for row in self._rows))
        if "analytics" in self._load.loads:
            self._hour = await hour_counts(self._http, self._url, now_ms() // HOUR_MS * HOUR_MS)
        if "payloads" in self._load.loads:
            self._queue = await queue_waiting(self._http, self._url)
        self._trouble = ""

    async def _draw(self, console: Console) -> None:
        if console.is_terminal:
            await live.live(console, lambda: self._table(console.height))
        console.print(*self._notes(), sep="\n", highlight=False, soft_wrap=True)
        while True:
            await asyncio.sleep(LINE_EVERY_S)
            console.print(self._line(), highlight=False, soft_wrap=True)

    def _notes(self) -> list[str]:
        return [
            f"{self._url}/?hours=1 is the page; Ctrl-C ends it and compares",
            f"{self._speed:g} s of device time a second; the newest window of 5 minutes is still filling",
            f"what burns CPU, planted in the desktop clients: {self._cause}",
        ]

    def _lag(self) -> str:
        if self._trouble:
            return self._trouble
        took = f"read in {view.human_ms(self._read_s * 1000)}"
        if not self._behind:
            return f"none: all that is acknowledged is visible, {took}"
        return f"{view.human_bytes(self._behind)} acknowledged and not visible yet, {took}"

    def _line(self) -> str:
        line = live.progress_line(self._load, self._rate())
        newest = max((row.time for row in self._rows), default=None)
        if newest is not None:
            rows = [row for row in self._rows if row.time == newest]
            cdn, p2p = sum(row.cdn for row in rows), sum(row.p2p for row in rows)
            sums = f"cdn {view.human_bytes(cdn)}  p2p {view.human_bytes(p2p)}"
            line += f"  window {_clock(newest)}: {sums}  sessions {sum(row.sessions for row in rows):,}"
        others = "".join(f"  {name} {text}" for name, text in self._others())
        return f"{line}{others}  lag {self._lag()}"

    def _others(self) -> list[tuple[str, str]]:
        """What is not stats, by its name."""
        lines: list[tuple[str, str]] = []
        if (sessions := self._load.loads.get("sessions")) is not None:
            told = f"{self._ledgers.diaries.messages:,} messages acknowledged, {sessions.waiting:,} waiting"
            lines.append(("sessions", told))
        if (hour := self._hour) is not None:
            counts = f"{hour.unique_users:,} users, {hour.clicks:,} clicks, {hour.impressions:,} impressions this hour"
            lines.append(("analytics", counts))
        if (queued := self._load.loads.get("payloads")) is not None:
            waiting = "" if self._queue is None else f", {self._queue:,.0f} waiting to be applied"
            lines.append(("queue", f"{queued.meter.acknowledged:,} payloads acknowledged{waiting}"))
        return lines

    def _table(self, height: int) -> RenderableType:
        load, meter = self._load, self._load.meter
        latency = meter.latency("all")
        head = Table(box=None, padding=(0, 2), show_header=False)
        head.add_column(style="bold", no_wrap=True)
        head.add_column()
        state = "  settling what is under way" if load.settling else ""
        head.add_row("ingest", f"{self._rate():,.0f} messages/s, {load.elapsed_s:,.0f} s{state}")
        latencies = f"p50 {view.human_ms(latency.p50)}, p99 {view.human_ms(latency.p99)}"
        head.add_row("acknowledged", f"{meter.acknowledged:,} of {meter.scheduled:,}, {latencies}")
        if meter.errors:
            head.add_row("errors", Text(f"{view.errors_text(meter)}, {meter.retries:,} retries", style="yellow"))
        for name, text in self._others():
            head.add_row(name, text)
        head.add_row("lag", Text(self._lag()))
        notes = [Text(note, style="dim") for note in self._notes()]
        return Group(*notes, head, self._windows(max(3, height - OTHER_LINES)))

    def _windows(self, limit: int) -> RenderableType:
        """The newest windows, the busiest titles of each first."""
        rows = sorted(self._rows, key=lambda row: row.cdn + row.p2p, reverse=True)
        rows.sort(key=lambda row: row.time, reverse=True)
        table = Table(title="stats", title_justify="left", title_style="bold")
        table.add_column("window ends")
        table.add_column("customer")
        table.add_column("content")
        for name in ("cdn", "p2p", "sessions"):
            table.add_column(name, justify="right")
        for row in rows[:limit]:
            sizes = view.human_bytes(row.cdn), view.human_bytes(row.p2p)
            table.add_row(_clock(row.time), row.customer, row.content, *sizes, f"{row.sessions:,}")
        left = len(rows) - limit
        return Group(table, Text(f"and {left} more rows" if left > 0 else "", style="dim"))


def _clock(moment: str) -> str:
    """`14:05 UTC` of an RFC 3339 time; the text itself where it is none."""
    with contextlib.suppress(ValueError):
        return f"{datetime.fromisoformat(moment):%H:%M} UTC"
    return moment
