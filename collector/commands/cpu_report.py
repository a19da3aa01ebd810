"""`collector report cpu`: the report from the database, without a server."""

import asyncio
import time

import msgspec
from rich.console import Console
from rich.text import Text

from collector.database.chosen import database_of
from collector.migrate import bring_up
from collector.report.making import Reports
from collector.report.model import CpuReport
from collector.report.question import Question
from collector.report.text import lines
from collector.settings import Settings
from collector.store.reading import Store


def cpu_report(settings: Settings, question: Question) -> CpuReport:
    """The report of the database in use. Raises CollectorError."""
    with database_of(settings) as database:
        bring_up(database.url, own=database.private is not None)
        return asyncio.run(_make(database.url, settings.read_database_url, question))


async def _make(url: str, read_url: str | None, question: Question) -> CpuReport:
    store = Store(url, read_url)
    await store.open()
    try:
        return await Reports(store.cpu_refresh, store.cpu, time.time).cpu(question)
    finally:
        await store.close()


def show(report: CpuReport) -> None:
    """The tree, with colours where it is read on a terminal that has them; lines stay whole elsewhere."""
    console = Console(highlight=False)
    for number, line in enumerate(lines(report)):
        text = Text(line, style="bold" if number == 0 else "")
        text.highlight_regex(r"(?<![\d.])\d+(?:\.\d+)?%", "bold cyan")
        text.highlight_regex(r"^[└├│ ]+", "dim")
        console.print(text, soft_wrap=not console.is_terminal)


def as_json(report: CpuReport) -> str:
    """What GET /reports/cpu answers, laid out."""
    return msgspec.json.format(msgspec.json.encode(report)).decode()
