"""GET /: the built-in page."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

from litestar import MediaType, Request, Response, get
from litestar.di import NamedDependency

from collector import __version__
from collector.errors import BadRequest, CollectorError
from collector.http.html import html, signed_in
from collector.http.parameters import known_only, of_form, storable
from collector.report.model import CpuReport
from collector.routes.docs import address
from collector.service import Service
from collector.store.hits import Counts
from collector.store.overview import OverviewQuery
from collector.times import EPOCH, parse_time
from collector.web import overview
from collector.web.audience import SHOWN_HOURS
from collector.web.view import DEFAULT_HOURS, MAX_RANGE, View, latest, rounded

MAX_HOURS = MAX_RANGE // timedelta(hours=1)

INDEX = {
    "name": "collector",
    "version": __version__,
    "openapi": "/openapi.json",
    "docs": "/docs",
    "ready": "/health/ready",
    "metrics": "/metrics",
}
"""What a program is told that asks for `/`."""


@get("/", include_in_schema=False, media_type=MediaType.HTML)
async def get_home(request: Request[Any, Any, Any], service: NamedDependency[Service]) -> Response[Any]:
    """The page, of a range and with filters as the URL has them; for programs that ask for JSON, where things are."""
    if request.accept.best_match(["text/html", "application/json"]) == "application/json":
        return Response(INDEX, media_type=MediaType.JSON, headers={"Vary": "Accept"})
    now = EPOCH + timedelta(milliseconds=service.now_ms())
    view = parse_view(request, now)
    store, hour = service.store, now.replace(minute=0, second=0, microsecond=0)
    query = OverviewQuery(view.since, view.until, view.step, view.customer, view.content)
    hours_since = hour - timedelta(hours=2 * SHOWN_HOURS - 1)
    found, hours, computed_until, report = await asyncio.gather(
        store.overview(query),
        store.hours.between(hours_since, hour + timedelta(hours=1), 2 * SHOWN_HOURS),
        store.computed_until(),
        _report(service),
    )
    shown = overview.Shown(
        view=view,
        now=now,
        overview=found,
        hours={at: Counts(*counts) for at, *counts in hours},
        vitals=service.pulse.vitals(),
        report=report,
        computed_until=computed_until,
        stored=bool(found.at) or bool(hours) or await store.anything_stored(),
        address=address(request),
    )
    # In a thread: writers and streams have their turns meanwhile.
    body = await asyncio.to_thread(overview.render, shown, signed_in=signed_in(request))
    return html(request, body, overview.look())


async def _report(service: Service) -> CpuReport | str | None:
    """The report's part of the page, which is no reason for the page not to be there."""
    try:
        return await service.recent_report.get()
    except CollectorError as exc:
        return f"There is no report now: {exc}"


def parse_view(request: Request[Any, Any, Any], now: datetime) -> View:
    """The range and the filters; an empty parameter, as forms send it, is none. Raises BadRequest."""
    known_only(request, {"hours", "from", "to", "customer", "content"})
    given = dict(of_form(request))
    customer, content = (storable(given.get(name), name) for name in ("customer", "content"))
    since = _moment(given["from"], "from") if "from" in given else None
    until = _moment(given["to"], "to") if "to" in given else None
    if since is None and until is None:
        return latest(now, _hours(given.get("hours")), customer, content)
    until = until or now
    since = since or until - timedelta(hours=_hours(given.get("hours")))
    if since >= until:
        raise BadRequest("from: not before `to`")
    if until - since > MAX_RANGE:
        raise BadRequest(f"from, to: more than {MAX_RANGE.days} days; ask for fewer")
    return View(*rounded(since, until), None, customer, content)


def _hours(text: str | None) -> int:
    if text is None:
        return DEFAULT_HOURS
    if not (text.isascii() and text.isdigit() and len(text) <= 5 and 1 <= int(text) <= MAX_HOURS):
        raise BadRequest(f"hours: a whole number from 1 to {MAX_HOURS}; given {text[:40]!r}")
    return int(text)


def _moment(text: str, name: str) -> datetime:
    time = parse_time(text, name)
    if time > datetime(9999, 1, 1, tzinfo=UTC):
        raise BadRequest(f"{name}: after the year 9998")
    return time
