"""What commands print: tables, and bars of what takes its time. Plain where no terminal is; colours heed NO_COLOR."""

import contextlib
import sys
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC

import click
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from collector.commands.doctor import Diagnosis
from collector.commands.keyring import Listed
from collector.commands.quarantine import Replayed
from collector.report.text import visible
from collector.store.quarantine import RejectedLine

WIDE_CHARACTERS = 1_000
"""Of a line that is no terminal's: wrapping and cutting are for eyes."""

GAP = 2
"""Blanks between two columns."""

RAW_CHARACTERS = 20, 60
"""Of a rejected line's bytes, at least and at most; with less room they are left out."""
REASON_CHARACTERS = 30, 50
"""Of a line of a reason: before the source is cut, and before bytes are shown beside it."""
SOURCE_CHARACTERS = 8, 24
"""Of a source on a terminal: at least, and at most, for its end is a client's key."""


def console() -> Console:
    """Standard output."""
    return Console(highlight=False, width=None if sys.stdout.isatty() else WIDE_CHARACTERS)


def show(table: Table) -> None:
    """A table on standard output; where no terminal is, without the blanks after its last column."""
    out = console()
    if sys.stdout.isatty():
        out.print(table)
        return
    with out.capture() as captured:
        out.print(table)
    for line in captured.get().removesuffix("\n").split("\n"):
        click.echo(line.rstrip())


@contextlib.contextmanager
def progress_bar(unit: str) -> Iterator[Callable[[int], Callable[[int], None]]]:
    """A bar on standard error, if that is a terminal. Gives a function that is told the total, and gives one that is
    told of each step.
    """
    own = Console(stderr=True)
    columns = (TextColumn(unit), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=own, disable=not own.is_terminal, transient=True) as progress:

        def begin(total: int) -> Callable[[int], None]:
            task = progress.add_task(unit, total=total)
            return lambda steps: progress.advance(task, steps)

        yield begin


def show_diagnosis(found: Diagnosis) -> None:
    """The answer of `collector doctor`."""
    table = Table(show_header=False, box=None, padding=(0, GAP, 0, 0))
    if found.timescaledb:
        edition = f"TimescaleDB {found.timescaledb}, licence {found.licence}"
    elif found.engine:
        edition = "no TimescaleDB"
    else:
        edition = f"TimescaleDB is {'available' if found.available else 'not available'}"
    table.add_row("server", f"PostgreSQL {found.server}, {'private' if found.private else 'DATABASE_URL'}")
    table.add_row("engine", f"{found.engine or 'not chosen yet'} ({edition})")
    table.add_row("schema", f"{found.schema} of {found.schema_of_program}" if found.schema else "none yet")
    table.add_row("settings", ", ".join(f"{name} {value}" for name, value in found.settings.items()))
    if found.kept:
        table.add_row("kept", ", ".join(f"{name} {keep}" for name, keep in found.kept.items()))
    for policy in found.policies:
        name = policy.name.removeprefix("policy_").replace("_", " ")
        table.add_row(
            "policy", f"{name} on {policy.table}, every {policy.every}, last run: {policy.last_status or 'none yet'}"
        )
    for missing in found.missing:
        table.add_row("missing", missing)
    for problem in found.problems:
        table.add_row("[bold red]problem[/]", problem)
    show(table)
    if not found.problems:
        click.echo("all is well")


def show_rejected(lines: list[RejectedLine]) -> None:
    """The answer of `collector rejected list`."""
    if not lines:
        click.echo("none")
        return
    rows = [_rejected_cells(line) for line in lines]
    longest = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    widths = rejected_widths(longest, console().width if sys.stdout.isatty() else None)
    table = Table(box=None, padding=(0, GAP, 0, 0))
    for name, width in widths.items():
        if name == "reason":
            table.add_column(name, width=width, overflow="fold")
        else:
            table.add_column(name, width=width, no_wrap=True, overflow="ellipsis")
    for row in rows:
        table.add_row(*map(escape, row[: len(widths)]))
    show(table)


def rejected_widths(longest: Sequence[int], width: int | None) -> dict[str, int]:
    """Characters of each column, given its longest cell, on a terminal of `width`; None is no terminal: only bytes are
    cut there.

    Number, time and line are whole. Bytes are given up first, then the source is cut; the reason folds.
    """
    names = ("id", "received", "source", "line", "reason", "bytes")
    wanted = {name: max(len(name), cell) for name, cell in zip(names, longest, strict=True)}
    wanted["bytes"] = min(wanted["bytes"], RAW_CHARACTERS[1])
    if width is None:
        return wanted
    room = width - sum(wanted[name] + GAP for name in ("id", "received", "line")) - GAP  # for source and reason
    least, most = SOURCE_CHARACTERS
    wanted["source"] = max(least, min(wanted["source"], most, room - GAP - REASON_CHARACTERS[0]))
    room -= wanted["source"] + GAP
    left = room - GAP - min(wanted["reason"], REASON_CHARACTERS[1])
    if left < RAW_CHARACTERS[0]:
        wanted["reason"] = max(1, min(wanted["reason"], room))
        del wanted["bytes"]
    else:
        wanted["bytes"] = min(wanted["bytes"], left)
        wanted["reason"] = min(wanted["reason"], room - GAP - wanted["bytes"])
    return wanted


def _rejected_cells(line: RejectedLine) -> tuple[str, ...]:
    raw = line.raw[: 4 * RAW_CHARACTERS[1]].decode(errors="replace")
    received = f"{line.received_at.astimezone(UTC):%Y-%m-%d %H:%M:%SZ}"
    return tuple(visible(cell) for cell in (str(line.id), received, line.source, str(line.line), line.reason, raw))


def show_replayed(done: Replayed) -> None:
    """The answer of `collector rejected replay`."""
    out = console()
    verb = "would be accepted" if done.dry_run else "stored"
    out.print(f"{done.accepted:,} lines {verb}; {done.rejected:,} still rejected")
    for error in done.errors:
        out.print(f"  {error['id']}: {escape(visible(error['detail']))}")
    for aggregate in done.refreshed:
        out.print(f"{aggregate} was computed anew where they belong")


def show_keys(found: list[Listed]) -> None:
    """The answer of `collector keys list`."""
    if not found:
        click.echo("none")
        return
    table = Table(box=None, padding=(0, 2, 0, 0))
    for column in ("id", "name", "scope", "requests/s", "created", "revoked"):
        table.add_column(column)
    for key in found:
        rate = "" if key.rate is None else f"{key.rate:g}"
        revoked = "" if key.revoked_at is None else f"{key.revoked_at:%Y-%m-%d %H:%M}"
        table.add_row(key.id, escape(key.name), key.scope, rate, f"{key.created_at:%Y-%m-%d %H:%M}", revoked)
    show(table)
