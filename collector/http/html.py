"""Answers as pages: for whom they are, their headers, and their size on the way."""

import gzip
from typing import Any

from litestar import MediaType, Request, Response

from collector.access.login import key_of_cookie
from collector.web.layout import Sheet

HEADERS = {
    "Cache-Control": "no-cache",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Vary": "Accept, Accept-Encoding, Cookie",
}
LEVEL = 4
"""Of gzip: a tenth of the size in a few milliseconds. A page has nothing secret that its length could tell."""


def wants_page(request: Request[Any, Any, Any]) -> bool:
    """Whether the client would rather have HTML than JSON, as browsers say and programs do not."""
    return "text/html" in request.headers.get("accept", "") and (
        request.accept.best_match(["application/json", "text/html"]) == "text/html"
    )


def signed_in(request: Request[Any, Any, Any]) -> bool:
    """Whether the client came with the cookie of a key."""
    return key_of_cookie(request.headers.get("cookie", "").encode("latin-1", "replace")) is not None


def html(
    request: Request[Any, Any, Any],
    body: str,
    look: Sheet,
    *,
    status: int = 200,
    headers: dict[str, str] | None = None,
) -> Response[bytes]:
    """A page that may load nothing but itself."""
    every = {**HEADERS, "Content-Security-Policy": look.policy, **(headers or {})}
    content = body.encode()
    if "gzip" in request.headers.get("accept-encoding", ""):
        content = gzip.compress(content, LEVEL, mtime=0)
        every["Content-Encoding"] = "gzip"
    return Response(content, status_code=status, media_type=MediaType.HTML, headers=every)
