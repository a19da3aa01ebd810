"""`collector import`: files into the database, by the way that a request of lines takes, without a server.

To the code that reads a request a file is one: its bytes come from the disk instead of a socket, and its
Idempotency-Key is what is in it. So an import that was cut goes on where it was committed, and a file that was imported
before is found out, under whatever name it comes.
"""

import asyncio
import functools
import hashlib
import signal
from collections.abc import Callable
from io import BufferedReader
from pathlib import Path
from typing import Any

import click
import msgspec
from prometheus_client import REGISTRY
from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from collector import logs
from collector.commands.options import show_json
from collector.database.chosen import database_of
from collector.endpoints import IMPORTED, Endpoint
from collector.errors import CollectorError, Problem
from collector.http.lines import LinesRequest
from collector.migrate import bring_up
from collector.service import Service
from collector.settings import Settings

READ_BYTES = 64 * 1024
"""Of a file at once: what one turn of the event loop decodes."""
SHOWN_ERRORS = 5
"""Rejected lines that are spelled out; all of them are in the table `rejected`."""
INTERRUPTED = 130
# What a file begins with.
CODINGS = {b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd"}

Advance = Callable[[int, int], None]
"""Told how many bytes were read, and how many lines are committed."""


class Imported(msgspec.Struct):
    """What became of a file. `new` lines were stored by this import, the others that are accepted before it."""

    file: str
    to: str
    accepted: int = 0
    rejected: int = 0
    new: int = 0
    complete: bool = False
    """Whether the file was read to its end; if not, the same command goes on where this one stopped."""
    before: bool = False
    """Whether the whole file had been imported before."""
    problem: str | None = None
    errors: list[dict[str, Any]] = []
    """The first rejected lines."""

    @property
    def fine(self) -> bool:
        """All of its lines are stored."""
        return self.complete and not self.rejected


def import_files(settings: Settings, files: tuple[Path, ...], to: str, *, as_json: bool) -> int:
    """Import the files one after the other; returns the exit status. Raises CollectorError where it cannot begin."""
    logs.configure(settings, quiet=True)
    for file in files:
        if not file.is_file():
            raise CollectorError(f"{file}: not a file")
    with database_of(settings) as database:
        bring_up(database.url, own=database.private is not None)
        found, interrupted = asyncio.run(
            _import(lambda: Service(msgspec.structs.replace(settings, consume=False), database.url), files, to)
        )
    if as_json:
        show_json(found)
    else:
        for imported in found:
            click.echo("\n".join(_sentences(imported)))
    if interrupted:
        return INTERRUPTED
    return 0 if all(imported.fine for imported in found) else 1


async def _import(make_service: Callable[[], Service], files: tuple[Path, ...], to: str) -> tuple[list[Imported], bool]:
    service = make_service()
    await service.start()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, service.drain)
    console = Console(stderr=True)
    columns = (
        *(TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn()),
        *(TextColumn("{task.fields[lines]:,} lines stored"), TimeRemainingColumn()),
    )
    found: list[Imported] = []
    interrupted = False
    try:
        with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
            for file in files:
                task = progress.add_task(file.name, total=file.stat().st_size, lines=0)
                found.append(await _import_file(service, file, to, functools.partial(_show, progress, task)))
                if service.draining:
                    interrupted = True
                    break
    finally:
        await service.stop()
    return found, interrupted


async def _import_file(service: Service, path: Path, to: str, advance: Advance) -> Imported:
    """Import one file. Raises StoreError where the database is away at the beginning."""
    endpoint = IMPORTED[to]
    imported = Imported(str(path), to)
    stored_before = _stored(endpoint)
    with path.open("rb") as file:
        headers = {
            b"accept": b"application/x-ndjson",
            b"content-encoding": _coding(file).encode(),
            b"idempotency-key": b"import " + _fingerprint(file).encode(),
        }
        answer = _Answer(advance)
        try:
            request = LinesRequest(
                service, endpoint, headers, lambda: _read(file, answer), answer.send, retention="imports"
            )
            await request.run()
        except Problem as problem:
            imported.problem = problem.detail
    last = answer.last
    imported.accepted, imported.rejected = last.get("accepted", 0), last.get("rejected", 0)
    imported.errors = last.get("errors", [])
    imported.complete = "accepted" in last and "detail" not in last
    imported.before = imported.complete and answer.replayed
    imported.problem = imported.problem or last.get("detail")
    imported.new = _stored(endpoint) - stored_before
    return imported


def _show(progress: Progress, task: TaskID, read_bytes: int, lines: int) -> None:
    progress.update(task, completed=read_bytes, lines=lines)


class _Answer:
    """Reads the answer of a request: receipts, then the summary or a problem."""

    def __init__(self, advance: Advance) -> None:
        self._advance = advance
        self.last: dict[str, Any] = {}
        self.replayed = False
        self.read_bytes = 0

    async def send(self, message: Any) -> None:
        if message["type"] == "http.response.start":
            self.replayed = any(name == b"idempotent-replayed" for name, _ in message["headers"])
            return
        self.last = msgspec.json.decode(message["body"])
        self._advance(self.read_bytes, self.last.get("committed", self.last.get("accepted", 0)))


async def _read(file: BufferedReader, answer: _Answer) -> dict[str, Any]:
    """The file's next bytes, as a server passes on those of a request."""
    data = await asyncio.to_thread(file.read, READ_BYTES)
    answer.read_bytes += len(data)
    return {"type": "http.request", "body": data, "more_body": bool(data)}


def _coding(file: BufferedReader) -> str:
    head = file.read(4)
    file.seek(0)
    return next((coding for magic, coding in CODINGS.items() if head.startswith(magic)), "")


def _fingerprint(file: BufferedReader) -> str:
    """Of what is in the file."""
    digest = hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()
    file.seek(0)
    return digest


def _stored(endpoint: Endpoint) -> int:
    """Lines that this process has stored."""
    return round(REGISTRY.get_sample_value("collector_stored_total", {"endpoint": endpoint.path}) or 0)


def _sentences(imported: Imported) -> list[str]:
    """What to tell people."""
    told = f"{imported.file}: {imported.accepted:,} lines accepted"
    if imported.before:
        told += ", all of them before: nothing new"
    elif imported.new < imported.accepted:
        told += f", {imported.new:,} of them new"
    if imported.rejected:
        told += f"; {imported.rejected:,} rejected"
    sentences = [told]
    sentences += [f"  line {error['line']}: {error['detail']}" for error in imported.errors[:SHOWN_ERRORS]]
    if imported.rejected > SHOWN_ERRORS:
        sentences.append("  …: all of them are in the table `rejected`")
    if imported.problem:
        sentences.append(f"  not to its end: {imported.problem}")
    elif not imported.complete:
        sentences.append("  not to its end: run the same command again to go on")
    return sentences
