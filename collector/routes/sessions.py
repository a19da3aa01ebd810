"""GET /sessions/{session}: the messages of a session."""

import asyncio
from datetime import datetime, timedelta
from typing import Annotated, Any, Literal
from urllib.parse import quote, unquote, urlencode

import msgspec
from litestar import Request, Response, get
from litestar.di import NamedDependency
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import QueryParameter

from collector.errors import BadRequest
from collector.http.formats import Format, format_of
from collector.http.html import html, signed_in
from collector.http.paging import NOT_OURS, decode_cursor, encode_cursor, page
from collector.http.parameters import known_only, storable
from collector.report.question import Question
from collector.service import Service
from collector.store.sessions import SessionQuery, SessionRow
from collector.times import parse_time
from collector.web import session as session_page
from collector.web.words import iso

DEFAULT_LIMIT = 1_000
MAX_LIMIT = 10_000
"""Messages of a page: a megabyte or two, where properties are short."""
CURSOR_MAX_CHARACTERS = 200
SESSION_MAX_CHARACTERS = 256
MAX_THRESHOLD = 1e6


class SessionMessage(msgspec.Struct):
    """A message of a session, a sample of the CPU or an event; null is what it did not say."""

    time: Annotated[datetime, msgspec.Meta(tz=True)]
    """When it was, UTC, corrected by what the client's clock was off."""
    seq: int | None
    version: str | None
    cpu: float | None
    """In percent of a core."""
    event: str | None
    phase: Literal["begin", "end"] | None
    properties: dict[str, Any] | None


class SessionPage(msgspec.Struct):
    """Messages, oldest first, and where the next page begins (null: nowhere)."""

    rows: list[SessionMessage]
    next: str | None


@get(
    "/sessions/{session:path}",
    responses={200: ResponseSpec(SessionPage, generate_examples=False)},
    tags=["sessions"],
    summary="Messages of a session",
)
async def get_session(
    request: Request[Any, Any, Any],
    service: NamedDependency[Service],
    from_: Annotated[str | None, QueryParameter(name="from", description="Messages of this time or after.")] = None,
    to: Annotated[str | None, QueryParameter(description="Messages before this time.")] = None,
    limit: Annotated[int, QueryParameter(ge=1, le=MAX_LIMIT, description="Messages of a page.")] = DEFAULT_LIMIT,
    next_: Annotated[str | None, QueryParameter(name="next", description="`next` of the page before.")] = None,
    threshold: Annotated[
        float, QueryParameter(ge=0, le=MAX_THRESHOLD, description="Marked on the page, in percent of a core.")
    ] = Question().threshold,
    format_: Format = None,
) -> Response[Any]:
    """The messages of a session, oldest first; none where the session is unknown. JSON, or JSON lines
    (`Accept: application/x-ndjson`); there the next page stands in the `Link` header. Browsers get a page
    (`Accept: text/html`): the CPU over time, with the session's events.
    """
    known_only(request, {"from", "to", "limit", "next", "threshold", "format"})
    wanted = format_of(request, ("json", "ndjson", "html"))
    if wanted == "html":
        asked = (parse_time(from_, "from") if from_ else None, parse_time(to, "to") if to else None)
        return await _page(request, service, _session(request), *asked, threshold)
    time, seq, given = _parse_cursor(next_) if next_ is not None else (None, -1, 0)
    query = SessionQuery(
        session=_session(request),
        limit=limit + 1,
        since=parse_time(from_, "from") if from_ is not None else None,
        until=parse_time(to, "to") if to is not None else None,
        at=(time, seq) if time is not None else None,
        given=given,
    )
    rows = await service.store.session(query)
    cursor = _cursor(rows[:limit], query) if len(rows) > limit else None
    return page(request, [_message(row) for row in rows[:limit]], cursor, lines=wanted == "ndjson")


async def _page(
    request: Request[Any, Any, Any],
    service: Service,
    session: str,
    since: datetime | None,
    until: datetime | None,
    threshold: float,
) -> Response[bytes]:
    found = await service.store.session_cpu(session, since, until)
    here = f"/sessions/{quote(session, safe='')}"
    ends = [("from", since or found.since), ("to", until or (found.to and found.to + timedelta(seconds=1)))]
    report = urlencode([(name, iso(end)) for name, end in ends if end] + [("threshold", f"{threshold:g}")])
    asked = session_page.Asked(
        here=f"{here}?threshold={threshold:g}",
        report=f"/reports/cpu?{report}",
        data=f"{here}?format=json",
        threshold=threshold,
        since=since,
        until=until,
    )
    body = await asyncio.to_thread(session_page.render, found, asked, signed_in=signed_in(request))
    return html(request, body, session_page.look())


def _session(request: Request[Any, Any, Any]) -> str:
    """The name in the path, which may have slashes; a path parameter, and the path itself by now, have theirs tidied
    up.
    """
    raw = request.scope["raw_path"].decode("latin-1").partition("?")[0].partition("/sessions/")[2]
    try:
        session = storable(unquote(raw, errors="strict"), "session")
    except UnicodeDecodeError as exc:
        raise BadRequest("session: not UTF-8") from exc
    if not session or len(session) > SESSION_MAX_CHARACTERS:
        raise BadRequest(f"session: 1 to {SESSION_MAX_CHARACTERS} characters")
    return session


def _message(row: SessionRow) -> dict[str, object]:
    """A SessionMessage; its properties go out as the JSON they are."""
    properties = None if row.properties is None else msgspec.Raw(row.properties.encode())
    return msgspec.structs.asdict(row) | {"properties": properties}


def _cursor(rows: list[SessionRow], query: SessionQuery) -> str:
    """Names where a page ended: messages may share time and number, or have none, so it counts those."""
    last = _place(rows[-1])
    given = sum(1 for row in rows if _place(row) == last)
    if given == len(rows) and query.at == last:
        given += query.given
    return encode_cursor((*last, given))


def _place(row: SessionRow) -> tuple[datetime, int]:
    return row.time, -1 if row.seq is None else row.seq


def _parse_cursor(text: str) -> tuple[datetime, int, int]:
    time, seq, given = decode_cursor(text, tuple[datetime, int, int], CURSOR_MAX_CHARACTERS)
    if time.tzinfo is None or time.year < 1970 or not -1 <= seq < 2**63 or not 0 <= given < 2**63:
        raise BadRequest(NOT_OURS)
    return time, seq, given
