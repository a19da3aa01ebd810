"""GET /stats: windows of 5 minutes by customer and content."""

import base64
import csv
import io
from datetime import datetime
from typing import Annotated, Any
from urllib.parse import urlencode

import msgspec
from litestar import Request, Response, get
from litestar.di import NamedDependency
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import QueryParameter

from collector.errors import BadRequest
from collector.routes.parameters import known_only, storable
from collector.service import Service
from collector.store.reading import StatsQuery, StatsRow
from collector.times import parse_time

DEFAULT_LIMIT = 1_000
MAX_LIMIT = 10_000
"""Rows of a page: a few hundred kilobytes."""
CURSOR_MAX_CHARACTERS = 4_000

CURSOR_FIRST_YEAR = 1900

COLUMNS = ("time", "customer", "content", "cdn", "p2p", "sessions")


class StatsWindow(msgspec.Struct):
    """A row of `stats`: what was received in the 5 minutes before `time`."""

    time: Annotated[datetime, msgspec.Meta(tz=True)]
    """The window's end, UTC."""
    customer: str
    content: str
    cdn: int
    """Bytes that came from the CDN; not bounded by 64 bits."""
    p2p: int
    """Bytes that came from peers; not bounded by 64 bits."""
    sessions: int
    """Started sessions."""


class StatsPage(msgspec.Struct):
    """Rows, newest first, and where the next page begins (null: nowhere)."""

    rows: list[StatsWindow]
    next: str | None


@get(
    "/stats",
    responses={200: ResponseSpec(StatsPage, generate_examples=False)},
    tags=["stats"],
    summary="Windows of stats",
)
async def get_stats(
    request: Request[Any, Any, Any],
    service: NamedDependency[Service],
    customer: Annotated[str | None, QueryParameter(description="Only this customer.")] = None,
    content: Annotated[str | None, QueryParameter(description="Only this content.")] = None,
    from_: Annotated[str | None, QueryParameter(name="from", description="Windows that end after this time.")] = None,
    to: Annotated[str | None, QueryParameter(description="Windows that end at this time or before.")] = None,
    limit: Annotated[int, QueryParameter(ge=1, le=MAX_LIMIT, description="Rows of a page.")] = DEFAULT_LIMIT,
    next_: Annotated[str | None, QueryParameter(name="next", description="`next` of the page before.")] = None,
) -> Response[bytes]:
    """Windows of 5 minutes by customer and content, newest first. JSON, CSV (`Accept: text/csv`) or JSON lines
    (`Accept: application/x-ndjson`); there the next page stands in the `Link` header.
    """
    known_only(request, {"customer", "content", "from", "to", "limit", "next"})
    query = StatsQuery(
        limit=limit + 1,
        customer=storable(customer, "customer"),
        content=storable(content, "content"),
        since=parse_time(from_, "from") if from_ is not None else None,
        until=parse_time(to, "to") if to is not None else None,
        after=_parse_cursor(next_) if next_ is not None else None,
    )
    rows = await service.store.stats(query)
    cursor = _cursor(rows[limit - 1]) if len(rows) > limit else None
    rows = rows[:limit]
    headers = {"Cache-Control": "no-cache", "Vary": "Accept"}
    if cursor is not None:
        parameters = [(name, value) for name, value in request.query_params.multi_items() if name != "next"]
        headers["Link"] = f'<?{urlencode([*parameters, ("next", cursor)])}>; rel="next"'
    accept = request.headers.get("accept", "")
    if "text/csv" in accept:
        return Response(_csv(rows), media_type="text/csv", headers=headers)
    if "application/x-ndjson" in accept:
        body = msgspec.json.Encoder().encode_lines([_window(row) for row in rows])
        return Response(body, media_type="application/x-ndjson", headers=headers)
    body = msgspec.json.encode({"rows": [_window(row) for row in rows], "next": cursor})
    return Response(body, media_type="application/json", headers=headers)


def _window(row: StatsRow) -> dict[str, object]:
    """A StatsWindow; the sums go out as the digits they are, because they can pass 64 bits."""
    return {
        "time": row.time,
        "customer": row.customer,
        "content": row.content,
        "cdn": msgspec.Raw(row.cdn.encode()),
        "p2p": msgspec.Raw(row.p2p.encode()),
        "sessions": row.sessions,
    }


def _csv(rows: list[StatsRow]) -> bytes:
    text = io.StringIO()
    # RFC 4180: lines end with CRLF, and the writer puts quotes around a field that has either of its characters.
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(COLUMNS)
    for row in rows:
        time = row.time.strftime("%Y-%m-%dT%H:%M:%SZ")
        writer.writerow((time, row.customer, row.content, row.cdn, row.p2p, row.sessions))
    return text.getvalue().encode()


def _cursor(row: StatsRow) -> str:
    """Names a row, so that a page can go on after it whatever has come in between."""
    document = msgspec.json.encode((row.time, row.customer, row.content))
    return base64.urlsafe_b64encode(document).decode().rstrip("=")


def _parse_cursor(text: str) -> tuple[datetime, str, str]:
    try:
        text = text[:CURSOR_MAX_CHARACTERS]
        document = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        time, customer, content = msgspec.json.decode(document, type=tuple[datetime, str, str])
    except (ValueError, msgspec.MsgspecError, RecursionError) as exc:
        raise BadRequest("next: not a cursor that this collector gave") from exc
    if time.tzinfo is None or time.year < CURSOR_FIRST_YEAR or "\0" in customer + content:
        raise BadRequest("next: not a cursor that this collector gave")
    return time, customer, content
