"""What commands print, as tables on the terminal."""

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from collector.doctor import Diagnosis
from collector.keyring import Listed


def show_diagnosis(found: Diagnosis) -> None:
    """The answer of `collector doctor`."""
    console = Console(highlight=False)
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    edition = f"TimescaleDB {found.timescaledb}, licence {found.licence}" if found.timescaledb else "no TimescaleDB"
    table.add_row("server", f"PostgreSQL {found.server}, {'private' if found.private else 'DATABASE_URL'}")
    table.add_row("engine", f"{found.engine or 'not chosen yet'} ({edition})")
    table.add_row("schema", f"{found.schema} of {found.schema_of_program}")
    table.add_row("settings", ", ".join(f"{name} {value}" for name, value in found.settings.items()))
    for policy in found.policies:
        name = policy.name.removeprefix("policy_").replace("_", " ")
        table.add_row(
            "policy", f"{name} on {policy.table}, every {policy.every}, last run: {policy.last_status or 'none yet'}"
        )
    for missing in found.missing:
        table.add_row("missing", missing)
    for problem in found.problems:
        table.add_row("[bold red]problem[/]", problem)
    console.print(table)
    if not found.problems:
        console.print("all is well")


def show_keys(found: list[Listed]) -> None:
    """The answer of `collector keys list`."""
    table = Table(box=None, padding=(0, 2, 0, 0))
    for column in ("id", "name", "scope", "requests/s", "created", "revoked"):
        table.add_column(column)
    for key in found:
        rate = "" if key.rate is None else f"{key.rate:g}"
        revoked = "" if key.revoked_at is None else f"{key.revoked_at:%Y-%m-%d %H:%M}"
        table.add_row(key.id, escape(key.name), key.scope, rate, f"{key.created_at:%Y-%m-%d %H:%M}", revoked)
    Console(highlight=False).print(table)
