"""What the commands share."""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import msgspec

EXIT_FAILED = 1
EXIT_USAGE = 2


def data_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options that say which database."""
    options = [
        click.option("--database-url", metavar="URL", help="libpq URI of the database.  [DATABASE_URL]"),
        click.option(
            "--data-dir", type=click.Path(path_type=Path), help="Data of the private PostgreSQL.  [COLLECTOR_DATA_DIR]"
        ),
    ]
    return functools.reduce(lambda wrapped, option: option(wrapped), reversed(options), command)


def show_json(document: object) -> None:
    """Print it, laid out for people."""
    click.echo(msgspec.json.format(msgspec.json.encode(document)))
