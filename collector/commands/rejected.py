"""The command `collector rejected`."""

import functools
import sys
from collections.abc import Callable
from typing import Any

import click

from collector.commands.options import EXIT_FAILED, data_options, show_json
from collector.settings import load


@click.group()
def rejected() -> None:
    """Lines that could not be accepted: look at them, and send them again."""


def choice_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options that say which rejected lines."""
    options = [
        click.option("--source", metavar="TEXT", help="Those whose source begins like this, for instance '/stats '."),
        click.option("--reason", metavar="WORD", help="Those with this reason: invalid, malformed, time, refused, …"),
        click.option("--since", metavar="TIME", help="Received at this time or after: RFC 3339 or epoch milliseconds."),
        click.option("--until", metavar="TIME", help="Received before this time."),
        click.option("--id", "ids", type=int, multiple=True, help="The one with this number; may be repeated."),
        click.option("--json", "as_json", is_flag=True, help="As a JSON document."),
    ]
    return functools.reduce(lambda wrapped, option: option(wrapped), reversed(options), command)


@rejected.command("list")
@choice_options
@click.option("--limit", type=click.IntRange(1, 100_000), default=100, show_default=True, help="Lines at most.")
@data_options
def list_rejected(*, limit: int, as_json: bool, **given: Any) -> None:
    """The newest rejected lines, with their reasons."""
    chosen, flags = chosen_lines(given)
    from collector.commands import quarantine
    from collector.commands.printed import show_rejected

    found = quarantine.list_rejected(load(**flags), chosen, limit)
    if as_json:
        show_json([quarantine.as_document(line) for line in found])
    else:
        show_rejected(found)


@rejected.command("replay")
@choice_options
@click.option("--dry-run", is_flag=True, help="Store nothing; say what would be accepted.")
@data_options
def replay_rejected(*, dry_run: bool, as_json: bool, **given: Any) -> None:
    """Send rejected lines again, each as if it came when it did; what is stored is taken out of the quarantine.

    For lines that would be accepted today: the database takes what it refused, a retention is longer, a version knows
    more. Doing it twice stores nothing twice. Exit status 1 where a line still cannot be accepted; it stays.
    """
    chosen, flags = chosen_lines(given)
    from collector import logs
    from collector.commands import quarantine
    from collector.commands.printed import progress_bar, show_replayed

    settings = load(**flags)
    logs.configure(settings, quiet=True)
    with progress_bar("lines") as begin:
        done = quarantine.replay(settings, chosen, dry_run=dry_run, begin=begin)
    if as_json:
        show_json(done)
    else:
        show_replayed(done)
    if done.rejected:
        sys.exit(EXIT_FAILED)


def chosen_lines(given: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """The choice that `choice_options` told, and what else was given. Raises SettingError."""
    from collector.errors import BadRequest, SettingError
    from collector.store.quarantine import Chosen
    from collector.times import parse_time

    try:
        since, until = (
            None if (text := given.pop(name)) is None else parse_time(text, f"--{name}") for name in ("since", "until")
        )
    except BadRequest as exc:
        raise SettingError(exc.detail) from exc
    ids = list(given.pop("ids")) or None
    chosen = Chosen(source=given.pop("source"), reason=given.pop("reason"), since=since, until=until, ids=ids)
    return chosen, given
