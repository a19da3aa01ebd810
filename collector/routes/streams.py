"""GET /streams/{key}: how far a keyed request or stream is committed."""

from typing import Annotated, Any
from urllib.parse import unquote

import msgspec
from litestar import Request, get
from litestar.di import NamedDependency
from litestar.params import QueryParameter

from collector.endpoints import ENDPOINTS
from collector.errors import BadRequest, NotFound
from collector.http.parameters import known_only
from collector.progress import parse_key, source_name
from collector.service import Service

INGEST_ENDPOINTS = tuple(endpoint.path for endpoint in ENDPOINTS)


class StreamState(msgspec.Struct):
    """What of a stream is stored; a client that was cut goes on after `committed` lines."""

    committed: int
    """Physical lines, blank ones too."""
    rejected: int
    complete: bool


@get("/streams/{key:path}", tags=["streams"], summary="How far a stream is committed")
async def get_stream(
    request: Request[Any, Any, Any],
    service: NamedDependency[Service],
    endpoint: Annotated[str, QueryParameter(description="Where the stream was posted.")] = "/stats",
) -> StreamState:
    """What is committed under an Idempotency-Key."""
    known_only(request, {"endpoint"})
    # Keys may have slashes; a path parameter, and the path itself by now, have theirs tidied up.
    key = unquote(request.scope["raw_path"].decode("latin-1").partition("?")[0].partition("/streams/")[2])
    if endpoint not in INGEST_ENDPOINTS:
        raise BadRequest(f"endpoint: one of {', '.join(INGEST_ENDPOINTS)}")
    source = source_name(endpoint, parse_key(key), str(request.scope.get("caller", "")))
    progress = await service.store.find_progress(source)
    if progress is None:
        raise NotFound(f"no request with this key is known at {endpoint}")
    return StreamState(progress.position, progress.rejected, progress.complete)
