"""The command `collector keys`."""

from typing import Any

import click

from collector.access.keys import Scope
from collector.commands.options import data_options, show_json
from collector.settings import load


@click.group()
def keys() -> None:
    """API keys: who may send, and who may read."""


as_json_option = click.option("--json", "as_json", is_flag=True, help="As a JSON document.")


@keys.command("create")
@click.option("--name", required=True, help="What the key is called: a fleet, a dashboard, a person.")
@click.option("--scope", required=True, type=click.Choice(["ingest", "read"]), help="What it lets its bearer do.")
@click.option("--rate", type=float, help="Requests a second that each server process takes.  [no limit]")
@as_json_option
@data_options
def create_key(*, name: str, scope: Scope, rate: float | None, as_json: bool, **flags: Any) -> None:
    """Make a key, and show it: once, for only its SHA-256 is kept."""
    from collector.commands.keyring import create
    from collector.database.chosen import database_of

    with database_of(load(**flags)) as database:
        made = create(database, name, scope, rate)
    if as_json:
        show_json(made)
    else:
        click.echo(made.key)
        click.echo("Nobody can show it again. Send it as: Authorization: Bearer ck_…", err=True)


@keys.command("list")
@as_json_option
@data_options
def list_keys(*, as_json: bool, **flags: Any) -> None:
    """Every key that was made."""
    from collector.commands.keyring import every
    from collector.commands.printed import show_keys
    from collector.database.chosen import database_of

    with database_of(load(**flags)) as database:
        found = every(database)
    if as_json:
        show_json(found)
    else:
        show_keys(found)


@keys.command("revoke")
@click.argument("key", metavar="NAME|ID")
@as_json_option
@data_options
def revoke_key(*, key: str, as_json: bool, **flags: Any) -> None:
    """End a key: within five seconds it opens nothing any more, and its streams end."""
    from collector.commands.keyring import revoke
    from collector.database.chosen import database_of

    with database_of(load(**flags)) as database:
        ended = revoke(database, key)
    if as_json:
        show_json(ended)
    else:
        click.echo(f"revoked {ended.id} ({ended.name})")
