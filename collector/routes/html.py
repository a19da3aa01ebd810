"""Answers as pages: for whom they are, and their headers."""

from typing import Any

from litestar import MediaType, Request, Response

from collector.web.layout import Sheet

HEADERS = {
    "Cache-Control": "no-cache",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Vary": "Accept",
}


def wants_page(request: Request[Any, Any, Any]) -> bool:
    """Whether the client would rather have HTML than JSON, as browsers say and programs do not."""
    return "text/html" in request.headers.get("accept", "") and (
        request.accept.best_match(["application/json", "text/html"]) == "text/html"
    )


def html(body: str, look: Sheet, *, status: int = 200, headers: dict[str, str] | None = None) -> Response[str]:
    """A page that may load nothing but itself."""
    every = {**HEADERS, "Content-Security-Policy": look.policy, **(headers or {})}
    return Response(body, status_code=status, media_type=MediaType.HTML, headers=every)
