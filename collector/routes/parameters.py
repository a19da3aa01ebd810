"""Query parameters: a misspelt one is told, not ignored."""

from collections.abc import Set as AbstractSet
from typing import Any

from litestar import Request

from collector.errors import BadRequest


def known_only(
    request: Request[Any, Any, Any], names: AbstractSet[str], repeated: AbstractSet[str] = frozenset()
) -> None:
    """Raises BadRequest for a parameter that is unknown, or there twice and not `repeated`."""
    given = [name for name, _ in request.query_params.multi_items()]
    for name in given:
        if name not in names:
            raise BadRequest(f"unknown parameter {name[:40]!r}; known are {', '.join(sorted(names))}")
        if given.count(name) > 1 and name not in repeated:
            raise BadRequest(f"{name}: given more than once")


def storable(text: str | None, name: str) -> str | None:
    """The text, if PostgreSQL can take it; raises BadRequest for NUL and for what is not Unicode."""
    if text is not None and (
        "\0" in text or (not text.isprintable() and any("\ud800" <= character <= "\udfff" for character in text))
    ):
        raise BadRequest(f"{name}: has a character that cannot be stored")
    return text
