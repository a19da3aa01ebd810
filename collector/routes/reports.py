"""GET /reports/cpu: the drill-down, as JSON or as a tree of sentences."""

import asyncio
from typing import Annotated, Any

import msgspec
from litestar import Request, Response, get
from litestar.di import NamedDependency
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import QueryParameter

from collector.http.formats import Format, format_of
from collector.http.html import html, signed_in
from collector.http.paging import HEADERS
from collector.http.parameters import known_only, of_form
from collector.report.model import CpuReport
from collector.report.question import PARAMETERS, ask
from collector.report.text import as_text
from collector.service import Service
from collector.web import report as page


@get(
    "/reports/cpu",
    responses={200: ResponseSpec(CpuReport, generate_examples=False)},
    tags=["reports"],
    summary="Who runs hot, doing what",
)
async def get_cpu_report(
    request: Request[Any, Any, Any],
    service: NamedDependency[Service],
    hours: Annotated[str | None, QueryParameter(description="The window: so many hours up to `to`.")] = None,
    from_: Annotated[
        str | None, QueryParameter(name="from", description="The window's start, in place of hours.")
    ] = None,
    to: Annotated[str | None, QueryParameter(description="The window's end, not in it; now.")] = None,
    threshold: Annotated[str | None, QueryParameter(description="Percent of a core; over it is hot.")] = None,
    statistic: Annotated[str | None, QueryParameter(description="What of a session's samples is compared.")] = None,
    min_support: Annotated[
        str | None, QueryParameter(description="Share of the hot sessions that a node covers.")
    ] = None,
    depth: Annotated[str | None, QueryParameter(description="Levels of the tree.")] = None,
    version: Annotated[str | None, QueryParameter(description="Only this version.")] = None,
    event: Annotated[str | None, QueryParameter(description="Only what was measured during this event.")] = None,
    where: Annotated[list[str] | None, QueryParameter(description="Only what fulfils this, too.")] = None,
    format_: Format = None,
) -> Response[bytes]:
    """How many sessions had CPU over a threshold, and what they have in common: a tree, the best node first. Windows
    are made of whole 5 minutes. JSON, the tree as sentences (`Accept: text/plain`), or a page.
    """
    known_only(request, PARAMETERS | {"format"}, repeated={"where"})
    wanted = format_of(request, ("json", "text", "html"))
    given = of_form(request) if wanted == "html" else request.query_params.multi_items()
    report = await service.cpu_report(ask(given))
    if wanted == "html":
        body = await asyncio.to_thread(page.render, report, signed_in=signed_in(request))
        return html(request, body, page.look())
    if wanted == "text":
        return Response(as_text(report).encode(), media_type="text/plain", headers=HEADERS)
    return Response(msgspec.json.encode(report), media_type="application/json", headers=HEADERS)
