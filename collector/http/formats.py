"""What an answer is to look like: by the parameter `format`, which a link can carry, else by `Accept`."""

from collections.abc import Sequence
from typing import Annotated, Any

from litestar import Request
from litestar.params import QueryParameter

from collector.errors import BadRequest

MEDIA_TYPES = {
    "json": "application/json",
    "csv": "text/csv",
    "ndjson": "application/x-ndjson",
    "text": "text/plain",
    "html": "text/html",
}

Format = Annotated[str | None, QueryParameter(name="format", description="What `Accept` would say, for links.")]


def format_of(request: Request[Any, Any, Any], offered: Sequence[str]) -> str:
    """One of `offered`, the first where the client does not care. Raises BadRequest for another `format`."""
    given: str | None = request.query_params.get("format")
    if given is not None:
        if given not in offered:
            raise BadRequest(f"format: one of {', '.join(offered)}")
        return given
    names = {MEDIA_TYPES[name]: name for name in offered}
    wanted = request.accept.best_match(list(names)) if request.headers.get("accept") else None
    return offered[0] if wanted is None else names[wanted]


def as_file(request: Request[Any, Any, Any], name: str) -> dict[str, str]:
    """Headers that make a file of what a link leads to."""
    given = request.query_params.get("format")
    return {} if given is None else {"Content-Disposition": f'attachment; filename="{name}"'}
