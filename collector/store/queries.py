"""The SQL files: where they are, and the named queries in schema/queries/."""

import re
from pathlib import Path

from collector.carried import carried


def schema_folder() -> Path:
    """The folder schema/."""
    return carried("_schema", "schema")


def parse(text: str) -> dict[str, bytes]:
    """Queries by name, from a file in which each begins with a line `-- name: …`."""
    parts = re.split(r"^-- name: (\w+)\n", text, flags=re.MULTILINE)
    return {name: body.strip().rstrip(";").encode() for name, body in zip(parts[1::2], parts[2::2], strict=True)}


QUERIES = {
    name: body
    for path in sorted((schema_folder() / "queries").glob("*.sql"))
    for name, body in parse(path.read_text()).items()
}
