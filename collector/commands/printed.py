"""What commands print: tables, and bars of what takes its time. Plain where no terminal is; colours heed NO_COLOR."""

import contextlib
import sys
from collections.abc import Callable, Iterator
from datetime import UTC

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

RAW_SHOWN_CHARACTERS = 60


def console() -> Console:
    """Standard output."""
    return Console(highlight=False, width=None if sys.stdout.isatty() else WIDE_CHARACTERS)


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
    out = console()
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    edition = f"TimescaleDB {found.timescaledb}, licence {found.licence}" if found.timescaledb else "no TimescaleDB"
    table.add_row("server", f"PostgreSQL {found.server}, {'private' if found.private else 'DATABASE_URL'}")
    table.add_row("engine", f"{found.engine or 'not chosen yet'} ({edition})")
    table.add_row("schema", f"{found.schema} of {found.schema_of_program}")
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
    out.print(table)
    if not found.problems:
        out.print("all is well")


def show_rejected(lines: list[RejectedLine]) -> None:
    """The answer of `collector rejected list`."""
    table = Table(box=None, padding=(0, 2, 0, 0))
    for name in ("id", "received", "source", "line"):
        table.add_column(name, no_wrap=True)
    table.add_column("reason")
    table.add_column("bytes", no_wrap=True, overflow="ellipsis", max_width=RAW_SHOWN_CHARACTERS)
    for line in lines:
        raw = line.raw[: 4 * RAW_SHOWN_CHARACTERS].decode(errors="replace")
        received = f"{line.received_at.astimezone(UTC):%Y-%m-%d %H:%M:%SZ}"
        row = str(line.id), received, line.source, str(line.line), line.reason, raw
        table.add_row(*(escape(visible(cell)) for cell in row))
    console().print(table if lines else "none")


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
    table = Table(box=None, padding=(0, 2, 0, 0))
    for column in ("id", "name", "scope", "requests/s", "created", "revoked"):
        table.add_column(column)
    for key in found:
        rate = "" if key.rate is None else f"{key.rate:g}"
        revoked = "" if key.revoked_at is None else f"{key.revoked_at:%Y-%m-%d %H:%M}"
        table.add_row(key.id, escape(key.name), key.scope, rate, f"{key.created_at:%Y-%m-%d %H:%M}", revoked)
    console().print(table)
