"""What commands print, as tables on the terminal."""

from rich.console import Console
from rich.table import Table

from collector.doctor import Diagnosis


def show_diagnosis(found: Diagnosis) -> None:
    """The answer of `collector doctor`."""
    console = Console(highlight=False)
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
    console.print(table)
    if not found.problems:
        console.print("all is well")
