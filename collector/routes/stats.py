"""GET /stats: windows of 5 minutes by customer and content."""

from datetime import datetime, timedelta
from typing import Annotated, Any

import msgspec
from litestar import Request, Response, get
from litestar.di import NamedDependency
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import QueryParameter

from collector.errors import BadRequest
from collector.http.formats import Format, as_file, format_of
from collector.http.paging import NOT_OURS, as_csv, decode_cursor, encode_cursor, page, page_headers
from collector.http.parameters import known_only, storable
from collector.service import Service
from collector.store.reading import StatsQuery, StatsRow
from collector.times import EPOCH, parse_time

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
    format_: Format = None,
) -> Response[bytes]:
    """Windows of 5 minutes by customer and content, newest first. JSON, CSV (`Accept: text/csv`) or JSON lines
    (`Accept: application/x-ndjson`); there the next page stands in the `Link` header. Names stand in CSV as they were
    sent (RFC 4180): have a spreadsheet import them as text, or it takes one that begins with `=` for a formula.
    """
    known_only(request, {"customer", "content", "from", "to", "limit", "next", "format"})
    wanted = format_of(request, ("json", "csv", "ndjson"))
    query = StatsQuery(
        limit=limit + 1,
        customer=storable(customer, "customer"),
        content=storable(content, "content"),
        since=parse_time(from_, "from") if from_ is not None else None,
        until=parse_time(to, "to") if to is not None else None,
        after=_parse_cursor(next_) if next_ is not None else None,
    )
    rows = await service.store.stats(query, EPOCH + timedelta(milliseconds=service.now_ms()))
    cursor = _cursor(rows[limit - 1]) if len(rows) > limit else None
    rows = rows[:limit]
    if wanted == "csv":
        lines = [(f"{row.time:%Y-%m-%dT%H:%M:%SZ}", *msgspec.structs.astuple(row)[1:]) for row in rows]
        headers = {**page_headers(request, cursor), **as_file(request, "stats.csv")}
        return Response(as_csv(COLUMNS, lines), media_type="text/csv", headers=headers)
    return page(request, [_window(row) for row in rows], cursor, lines=wanted == "ndjson")


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


def _cursor(row: StatsRow) -> str:
    return encode_cursor((row.time, row.customer, row.content))


def _parse_cursor(text: str) -> tuple[datetime, str, str]:
    time, customer, content = decode_cursor(text, tuple[datetime, str, str], CURSOR_MAX_CHARACTERS)
    if time.tzinfo is None or time.year < CURSOR_FIRST_YEAR or "\0" in customer + content:
        raise BadRequest(NOT_OURS)
    return time, customer, content
