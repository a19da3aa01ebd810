"""What was watched, by time: bytes by either way, the share of peers, sessions that started. Pure."""

from collections.abc import Sequence
from datetime import datetime

import htpy as h

from collector.store.overview import Overview, Part, Sums
from collector.web import parts, words
from collector.web.charts import Bin, Frame, Series, bars, legend, line
from collector.web.view import View

CDN, P2P, OTHERS = "c1", "c2", "c0"
MAX_CSV_ROWS = 10_000
"""Of a page of GET /stats, at most."""

_NONE = Sums()


def step(view: View) -> str:
    """How long a bar is."""
    return words.span(view.step.total_seconds())


def traffic(view: View, now: datetime, overview: Overview) -> h.Element:
    """Bytes by time, stacked, and under them the share of peers; the numbers as a table."""
    steps = [overview.at.get(each, _NONE) for each in view.steps]
    told = [
        f"CDN {words.size(each.cdn)}\nP2P {words.size(each.p2p)}\nfrom peers {words.percent(each.p2p_share)}"
        for each in steps
    ]
    bins, total = _bins(view, told), overview.total
    ways = [("CDN", CDN, [each.cdn for each in steps]), ("P2P", P2P, [each.p2p for each in steps])]
    range_ = f"{words.between(view.since, view.until)} UTC"
    return parts.card(
        "traffic",
        "Traffic",
        h.p(".sub")[f"Bytes by {step(view)}"],
        bars(
            f"Bytes by {step(view)}, {range_}: CDN {words.size(total.cdn)}, P2P {words.size(total.p2p)}",
            bins,
            [Series(*way) for way in ways],
            words.size,
            filling=bins[-1].until > now,
            height=190,
        ),
        h.p(".sub")["Share from peers"],
        line(
            f"Share of bytes from peers by {step(view)}, {range_}: {words.percent(total.p2p_share)} in all",
            [each.since + view.step / 2 for each in bins],
            [Series("P2P", P2P, [each.p2p_share for each in steps])],
            words.percent,
            Frame(bins[0].since, bins[-1].until, [0, 0.5, 1], 56),
            bins=bins,
            area=True,
        ),
        h.div(".under")[_table(view, steps), _csv(view, total.windows)],
        aside=legend([(name, colour) for name, colour, _ in ways]),
    )


def sessions(view: View, now: datetime, overview: Overview) -> h.Element:
    """Sessions by time, stacked by customer, or, of one customer, by content."""
    what = "customer" if view.customer is None else "content"
    stacked = coloured(overview.parts)
    started = {name: [part.at.get(each, _NONE).sessions for each in view.steps] for name, _, part in stacked}
    bins = _bins(view, [_told(started, place) for place in range(len(view.steps))])
    sums = ", ".join(f"{name} {words.exact(sum(numbers))}" for name, numbers in started.items())
    columns = [f"{step(view)} until (UTC)", *started]
    rows: list[parts.Row] = [
        [_end(view, each), *(parts.number(numbers[place]) for numbers in started.values())]
        for place, each in reversed(list(enumerate(view.steps)))
        if each in overview.at
    ]
    return parts.card(
        "sessions",
        "Sessions started",
        h.p(".sub")[f"By {step(view)} and {what}"],
        bars(
            f"Sessions started by {step(view)} and {what}: {sums}",
            bins,
            [Series(name, colour, started[name]) for name, colour, _ in stacked],
            words.count,
            whole=True,
            filling=bins[-1].until > now,
            height=130,
        ),
        h.div(".under")[
            parts.fold("sessions-table", "Table", parts.table(f"Sessions started, by {what}", columns, rows))
        ],
        aside=legend([(name, colour) for name, colour, _ in stacked]),
    )


def coloured(found: list[Part]) -> list[tuple[str, str, Part]]:
    """Parts with their names and colours; those that have no name of their own are the rest."""
    return [
        (part.name, f"p{place}", part) if part.name is not None else ("all others", OTHERS, part)
        for place, part in enumerate(found, 1)
    ]


def _told(started: dict[str, list[int]], place: int) -> str:
    some = [f"{name} {words.exact(numbers[place])}" for name, numbers in started.items() if numbers[place]]
    return "\n".join(some) or "none started"


def _bins(view: View, told: Sequence[str]) -> list[Bin]:
    ends = [(since, since + view.step) for since in view.steps]
    return [Bin(*span, f"{words.between(*span)} UTC\n{text}") for span, text in zip(ends, told, strict=True)]


def _end(view: View, since: datetime) -> h.Element:
    return parts.time(since + view.step, words.moment(since + view.step))


def _table(view: View, steps: list[Sums]) -> h.Element:
    """The numbers, newest first; a time is the end of its span, as in `stats`."""
    columns = [f"{step(view)} until (UTC)", "CDN, bytes", "P2P, bytes", "P2P share", "Sessions started"]
    rows: list[parts.Row] = [
        [
            _end(view, since),
            parts.number(each.cdn),
            parts.number(each.p2p),
            words.percent(each.p2p_share),
            parts.number(each.sessions),
        ]
        for since, each in zip(reversed(view.steps), reversed(steps), strict=True)
        if each.windows
    ]
    return parts.fold("windows", "Table", parts.table("Traffic and sessions by time", columns, rows))


def _csv(view: View, rows: int) -> h.Element:
    href = view.reading("/stats", limit=MAX_CSV_ROWS, format="csv")
    some = f"the newest {words.exact(MAX_CSV_ROWS)} of {words.exact(rows)} rows"
    return h.p(".more")[
        h.a(href=href, download=True)["CSV"], h.span[some if rows > MAX_CSV_ROWS else words.plural(rows, "row")]
    ]
