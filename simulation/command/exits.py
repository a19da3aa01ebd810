"""How the program ends."""

from __future__ import annotations

import click

OK, DIFFERENT, USAGE, UNREACHABLE, BREACHED, INTERRUPTED = 0, 1, 2, 3, 99, 130


def fail(status: int, message: str) -> int:
    """Say why, and return the status."""
    click.echo(f"simulate: {message}", err=True)
    return status
