"""The built-in page: what comes in, who watches, what clients do. Pure: from what was read to HTML."""

from collections.abc import Mapping
from datetime import datetime, timedelta

import htpy as h
import msgspec

from collector.pulse import Vitals
from collector.report.model import CpuReport
from collector.store.hits import Counts
from collector.store.overview import Overview
from collector.web import controls, parts, ranking, traffic, words
from collector.web.audience import audience
from collector.web.charts import sparkline
from collector.web.ingest import ingest, lag
from collector.web.layout import Sheet, page, sheet
from collector.web.report import brief
from collector.web.view import DEFAULT_HOURS, PRESETS, WINDOW_S, View


class Shown(msgspec.Struct):
    """All that the page is made of. `hours`: analytics by the start of each hour, of two days. `report`: None while it
    is being made, a text where it cannot be. `computed_until`: how far windows are computed ahead, if they are.
    `stored`: anything ever was. `address`: where the client reaches the collector.
    """

    view: View
    now: datetime
    overview: Overview
    hours: Mapping[datetime, Counts]
    vitals: Vitals
    report: CpuReport | str | None
    computed_until: datetime | None
    stored: bool
    address: str


def look() -> Sheet:
    """Its style and script."""
    return sheet("charts.css", "pages.css", "live.js")


def render(shown: Shown, *, signed_in: bool = False) -> str:
    """The page."""
    view = shown.view
    body = h.main("#main.wide", data_refresh_s=refresh_s(view), data_zoom=str(WINDOW_S))[
        h.header(".top")[
            h.div[
                h.h1["Overview"],
                h.p(".sub")[h.span("#range", data_live=True)[controls.told(view, shown.now)], " ", h.span("#tools")],
            ],
            controls.presets(view),
        ],
        controls.filters(view, shown.overview),
        _sections(shown) if shown.stored else _empty(shown.address),
    ]
    return page(look(), "Overview · collector", body, current="/", signed_in=signed_in)


def refresh_s(view: View) -> str | None:
    """How often the page renews itself: a range that has ended does not change, and a long one costs more to read."""
    if view.hours is None:
        return None
    return "10" if view.hours <= DEFAULT_HOURS else "60"


def _sections(shown: Shown) -> list[h.Element]:
    view, overview = shown.view, shown.overview
    watched = [
        traffic.traffic(view, shown.now, overview),
        traffic.sessions(view, shown.now, overview),
        h.div(".halves")[ranking.customers(view, overview), ranking.contents(view, overview)],
    ]
    whole = h.a(href="/reports/cpu")["The whole report"]
    filtered = view.filtered
    return [
        _tiles(shown),
        h.div("#watched", data_live=True)[watched if overview.at else _nothing(view)],
        parts.card("cpu", parts.unfiltered("CPU of clients", filtered=filtered), brief(shown.report), aside=whole),
        h.div(".halves")[
            audience(shown.now, shown.hours, filtered=filtered),
            ingest(shown.now, shown.vitals, shown.computed_until, filtered=filtered),
        ],
    ]


def _tiles(shown: Shown) -> h.Element:
    total, vitals = shown.overview.total, shown.vitals
    customers = sum(each.names for each in shown.overview.customers)
    waiting = parts.number(vitals.backlog_rows + vitals.queue_waiting)
    everybody = ", all customers" if shown.view.filtered else ""
    curve = sparkline(f"Messages a second over {words.span(vitals.curve_s)}", vitals.curve, "c3")
    return h.dl("#tiles.tiles", data_live=True)[
        parts.tile("Traffic", parts.size(total.bytes), "CDN and peers"),
        parts.tile("From peers", words.percent(total.p2p_share), [parts.size(total.p2p), " by P2P"]),
        parts.tile("Sessions started", parts.number(total.sessions), f"of {words.plural(customers, 'customer')}"),
        parts.tile(
            "Taken in", [words.rate(vitals.per_s), h.small["/s"]], f"mean of the last minute{everybody}", picture=curve
        ),
        parts.tile("Not stored yet", waiting, f"{lag(vitals)}{everybody}"),
    ]


def _empty(address: str) -> h.Element:
    payload = (
        f"curl -i {address}/stats -H 'Content-Type: application/json' -d '\n"
        '  {"token": "t1", "customer": "acme", "content": "film7", "timespan": 30000,\n'
        '   "p2p": 1000, "cdn": 4000, "sessionDuration": 60000}\''
    )
    return h.section("#empty.card", data_live=True)[
        parts.notice(
            "Nothing has come in yet",
            h.p["Send a payload, and it is here with the next look:"],
            parts.command(payload),
            h.p["Or let simulated devices send:"],
            parts.command(f"simulate all --url {address}"),
            h.p[h.a(href="/docs")["All endpoints"]],
        )
    ]


def _nothing(view: View) -> h.Element:
    filters = [parts.name(value) for value in (view.customer, view.content) if value is not None]
    longer = next((hours for hours in PRESETS if view.hours is not None and hours > view.hours), PRESETS[-1])
    wider = h.a(href=view.lately(longer))[f"Show {words.last(timedelta(hours=longer))}"]
    everything = h.a(href=view.href(customer=None, content=None))["everything in this range"]
    return h.section(".card")[
        parts.notice(
            "Nothing in this range",
            h.p[
                "No payload",
                ([" of " if place == 0 else " and ", h.b[name]] for place, name in enumerate(filters)),
                f" was received in {words.between(view.since, view.until)} UTC.",
            ],
            h.p[wider, [", or ", everything] if filters else None, "."],
        )
    ]
