"""/analytics: clicks and impressions, one by its query; and the hours they add up to."""

import re
from datetime import datetime
from typing import Annotated, Any

import msgspec
from litestar import MediaType, Request, Response, get
from litestar.di import NamedDependency
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import QueryParameter
from litestar.types import ASGIApp

from collector.endpoints import Endpoint, kept_hours_days
from collector.errors import BadRequest, StoreError, Unavailable
from collector.http.body import Receive
from collector.http.formats import Format, as_file, format_of
from collector.http.paging import HEADERS, as_csv
from collector.http.parameters import known_only
from collector.http.responses import Send, send_problem, send_whole
from collector.messages.hit import HitReader, parse_hit, parse_timestamp
from collector.routes.ingest import Ingest
from collector.service import Service
from collector.store.hits import Counts
from collector.times import parse_time

MAX_HOURS = 10_000
"""Of a range: more than a year, half a megabyte."""

COLUMNS = ("hour", "unique_users", "clicks", "impressions")

_TIMESTAMP = re.compile(rb"timestamp=([0-9]{1,15})")
# Every answer may be another one: a cache that kept it would hide what was acknowledged since.
_NO_STORE = "no-store"


class HitIngest(Ingest):
    """POST /analytics: one hit is in the query, more are JSON lines."""

    def __init__(self, service: Service, endpoint: Endpoint) -> None:
        super().__init__(service, endpoint)
        self._reader = HitReader(kept_hours_days(service.settings))

    async def _content(self, media_type: bytes, scope: Any, headers: dict[bytes, bytes], receive: Receive) -> bytes:
        """The query. A body is not for it, and to wait for the end of none costs as much as everything else here."""
        length = headers.get(b"content-length")
        framed = length is not None or b"transfer-encoding" in headers or scope["http_version"] not in ("1.0", "1.1")
        if framed and length != b"0" and await super()._content(media_type, scope, headers, receive):
            raise BadRequest("the query has the hit, and the body is to be empty; more hits are application/x-ndjson")
        query: bytes = scope["query_string"]
        return query

    def _message(self, content: bytes, received_ms: int) -> msgspec.Struct:
        return self._reader.checked(parse_hit(content), received_ms)


class HourRead:
    """GET /analytics as devices ask for it; whatever else comes goes to `others`, the ordinary handler among them."""

    def __init__(self, service: Service, others: ASGIApp) -> None:
        self._service = service
        self._others = others

    async def __call__(self, scope: Any, receive: Any, send: Send) -> None:
        plain = _TIMESTAMP.fullmatch(scope["query_string"])
        if plain is None:
            await self._others(scope, receive, send)
            return
        try:
            counts = await self._service.store.hours.at(parse_timestamp(plain[1]))
        except BadRequest as problem:
            await send_problem(send, problem)
        except StoreError as exc:
            await send_problem(send, Unavailable(f"the database is away: {exc}", retry_after_s=1))
        else:
            headers = [(b"cache-control", _NO_STORE.encode())]
            await send_whole(send, 200, b"text/plain; charset=utf-8", as_text(counts), headers)


class Hour(msgspec.Struct):
    """A row of `analytics`: what happened in an hour."""

    hour: Annotated[datetime, msgspec.Meta(tz=True)]
    """The hour's beginning, UTC."""
    unique_users: int
    """Users who clicked or saw something in this hour, each counted once."""
    clicks: int
    impressions: int


class Hours(msgspec.Struct):
    """Hours in their order; those without a hit are left out."""

    rows: list[Hour]


@get("/analytics", media_type=MediaType.TEXT, tags=["analytics"], summary="An hour")
async def get_hour(
    request: Request[Any, Any, Any],
    service: NamedDependency[Service],
    timestamp: Annotated[str, QueryParameter(description="Any moment of the hour, epoch milliseconds.")],
) -> Response[bytes]:
    """Unique users, clicks and impressions of a UTC hour, a line each; exact. It has every hit that was acknowledged
    before, by any server.
    """
    known_only(request, {"timestamp"})
    counts = await service.store.hours.at(parse_timestamp(timestamp.encode(errors="replace")))
    return Response(as_text(counts), media_type=MediaType.TEXT, headers={"Cache-Control": _NO_STORE})


@get(
    "/analytics/range",
    responses={200: ResponseSpec(Hours, generate_examples=False)},
    tags=["analytics"],
    summary="Hours",
)
async def get_hours(
    request: Request[Any, Any, Any],
    service: NamedDependency[Service],
    from_: Annotated[str | None, QueryParameter(name="from", description="Hours that end after this time.")] = None,
    to: Annotated[str | None, QueryParameter(description="Hours that begin before this time.")] = None,
    format_: Format = None,
) -> Response[bytes]:
    """Unique users, clicks and impressions by UTC hour, oldest first. JSON, or CSV (`Accept: text/csv`). A range with
    more than 10,000 hours that have something is refused.
    """
    known_only(request, {"from", "to", "format"})
    wanted = format_of(request, ("json", "csv"))
    since = parse_time(from_, "from") if from_ is not None else None
    until = parse_time(to, "to") if to is not None else None
    rows = await service.store.hours.between(since, until, MAX_HOURS + 1)
    if len(rows) > MAX_HOURS:
        raise BadRequest(f"from, to: more than {MAX_HOURS} hours have something; ask for fewer")
    if wanted == "csv":
        lines = [(f"{hour:%Y-%m-%dT%H:%M:%SZ}", *counts) for hour, *counts in rows]
        headers = {**HEADERS, **as_file(request, "analytics.csv")}
        return Response(as_csv(COLUMNS, lines), media_type="text/csv", headers=headers)
    body = msgspec.json.encode(Hours([Hour(*row) for row in rows]))
    return Response(body, media_type="application/json", headers=HEADERS)


def as_text(counts: Counts) -> bytes:
    """Three lines, as the contract has them."""
    return b"unique_users,%d\nclicks,%d\nimpressions,%d\n" % (counts.unique_users, counts.clicks, counts.impressions)
