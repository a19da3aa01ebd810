"""Query parameters: a misspelt one is told, not ignored."""

import re
from collections.abc import Set as AbstractSet
from typing import Any

from litestar import Request

from collector.errors import BadRequest

_WITHOUT_OFFSET = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d)?")
"""What a browser's field for a time gives; pages say beside it that it is UTC."""


def of_form(request: Request[Any, Any, Any]) -> list[tuple[str, str]]:
    """Parameters as a page's form sends them: an empty field says nothing, and a time without an offset is UTC."""
    given = [(name, value) for name, value in request.query_params.multi_items() if value]
    return [(name, _with_offset(value) if name in ("from", "to") else value) for name, value in given]


def _with_offset(text: str) -> str:
    found = _WITHOUT_OFFSET.fullmatch(text)
    if found is None:
        return text
    return f"{text}Z" if found[1] else f"{text}:00Z"


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
