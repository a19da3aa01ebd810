"""GET /openapi.json, and GET /docs: the same for people."""

import functools
import re
from collections.abc import Callable
from typing import Any

import msgspec
from litestar import MediaType, Request, Response, get
from litestar.handlers import HTTPRouteHandler

from collector.http.html import html, signed_in
from collector.openapi.ingest import BASE
from collector.openapi.page import look, render

_HOST = re.compile(r"(?:[A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?")
"""A host and a port as samples may show them; whatever else a client claims does not get into a shell command."""
_HEADERS = {"Cache-Control": "no-cache", "X-Content-Type-Options": "nosniff"}


def docs_handlers(make_document: Callable[[], dict[str, Any]]) -> list[HTTPRouteHandler]:
    """The two handlers; the document is made when it is first asked for."""
    document = functools.cache(make_document)

    @get("/openapi.json", include_in_schema=False, sync_to_thread=False)
    def openapi_json() -> Response[bytes]:
        return Response(msgspec.json.encode(document()), media_type=MediaType.JSON, headers=_HEADERS)

    @get("/docs", include_in_schema=False, sync_to_thread=False)
    def docs(request: Request[Any, Any, Any]) -> Response[bytes]:
        return html(request, render(document(), address(request), signed_in=signed_in(request)), look())

    return [openapi_json, docs]


def address(request: Request[Any, Any, Any]) -> str:
    """Where the client reached us, as it says itself; a proxy in front may have the https."""
    host = request.headers.get("host", "")
    if not _HOST.fullmatch(host):
        return BASE
    scheme = "https" if request.headers.get("x-forwarded-proto") == "https" else request.scope["scheme"]
    return f"{scheme}://{host}"
