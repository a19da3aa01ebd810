"""A session's page: its CPU over time with what it was doing, so that one comes from a sentence to the moment. Pure."""

import json
from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import cycle, pairwise
from statistics import median

import htpy as h
import msgspec

from collector.report.model import Band, CpuPoint, SessionCpu
from collector.web import charts, parts, words
from collector.web.layout import Sheet, page, sheet
from collector.web.scales import ticks

LANES = 8
"""Names of events that have a lane of their own; the rest share one."""
LANE_COLOURS = ("p1", "p2", "p3", "p4", "p5")
GAP_FACTOR, GAP_LEAST = 8, timedelta(minutes=1)
"""The line is broken where nothing was heard for so many times the usual time, and so long at least."""
MAX_ROWS = 500
"""Of a table of this page."""


class Asked(msgspec.Struct, frozen=True):
    """What the URL says. `here`: the page without a range; `report`: the report that led here; `data`: the messages."""

    here: str
    report: str
    data: str
    threshold: float
    since: datetime | None = None
    until: datetime | None = None

    @property
    def ranged(self) -> bool:
        """Whether it may be a part of the session."""
        return self.since is not None or self.until is not None


def look() -> Sheet:
    """Its style and script."""
    return sheet("charts.css", "pages.css", "live.js")


def render(found: SessionCpu, asked: Asked, *, signed_in: bool = False) -> str:
    """The page."""
    body = h.main("#main.wide", data_zoom="1")[
        h.header(".top")[
            h.div[h.h1[parts.name(found.session)], h.p(".sub")[_told(found)]],
            h.p(".more")[
                h.a(href=asked.report)["CPU report of this time"],
                h.a(href=asked.here)["The whole session"] if asked.ranged else None,
                h.a(href=asked.data)["JSON"],
            ],
        ],
        _content(found, asked),
    ]
    return page(look(), f"{found.session} · collector", body, signed_in=signed_in)


def _told(found: SessionCpu) -> str:
    if found.since is None or found.to is None:
        return "No messages"
    version = [] if found.version is None else [f"version {found.version}"]
    length = words.span((found.to - found.since).total_seconds())
    return " · ".join([f"{words.between(found.since, found.to, seconds=True)} UTC", length, *version])


def _content(found: SessionCpu, asked: Asked) -> h.Node:
    if found.since is None or found.to is None:
        within = " in this range" if asked.ranged else ""
        return h.section(".card")[
            parts.notice(
                "Nothing is known of this session here",
                h.p[f"It sent no message{within}, or its messages are past their retention."],
                h.p[h.a(href=asked.here)["The whole session"]] if asked.ranged else None,
            )
        ]
    return [_chart(found, asked), _numbers(found)]


def _chart(found: SessionCpu, asked: Asked) -> h.Element:
    highest = "no samples" if found.highest is None else f"at most {_cpu(found.highest.cpu)}"
    frame = _frame(found, asked)
    times, values = broken(found.points)
    said = f"CPU in percent of a core, {highest}, with {words.plural(len(found.bands), 'event')} under it"
    left_out = f"{words.plural(found.bands_left_out, 'shorter event')} not drawn"
    over = None if found.highest is None else f"highest at {words.moment(found.highest.time, seconds=True)} UTC"
    return parts.card(
        "cpu",
        f"CPU: {highest}",
        h.p(".sub")[f"Percent of a core; dashed: the threshold, {asked.threshold:g} %", f"; {over}" if over else None],
        charts.line(
            said,
            times,
            [charts.Series("CPU", "c1", values)],
            lambda value: f"{value:g}{words.NARROW}%",
            frame,
            bins=_hits(found.points, frame),
            threshold=asked.threshold,
            lanes=lanes(found.bands),
        ),
        h.p(".sub")[left_out] if found.bands_left_out else None,
        live=False,
    )


def _frame(found: SessionCpu, asked: Asked) -> charts.Frame:
    assert found.since is not None
    assert found.to is not None
    since, until = max(found.since, asked.since or found.since), min(found.to, asked.until or found.to)
    high = max([point.cpu for point in found.points] + [asked.threshold * 1.1])
    return charts.Frame(since, max(until, since + timedelta(seconds=1)), ticks(high), 200)


def broken(points: Sequence[CpuPoint]) -> tuple[list[datetime], list[float | None]]:
    """The points, with a gap wherever the client was silent."""
    if len(points) < 2:
        return [point.time for point in points], [point.cpu for point in points]
    usual = median((two.time - one.time).total_seconds() for one, two in pairwise(points))
    longest = max(GAP_LEAST, timedelta(seconds=GAP_FACTOR * usual))
    times = [points[0].time]
    values: list[float | None] = [points[0].cpu]
    for one, two in pairwise(points):
        if two.time - one.time > longest:
            times.append(one.time)
            values.append(None)
        times.append(two.time)
        values.append(two.cpu)
    return times, values


def _hits(points: Sequence[CpuPoint], frame: charts.Frame) -> list[charts.Bin]:
    """What is pointed at: around each point, to half of the way to its neighbours."""
    times = [point.time for point in points]
    middles = [one + (two - one) / 2 for one, two in pairwise(times)]
    edges = [frame.since, *middles, frame.until]
    return [
        charts.Bin(since, until, f"{words.moment(point.time, seconds=True)} UTC\nCPU {_cpu(point.cpu)}")
        for point, since, until in zip(points, edges, edges[1:], strict=False)
        if until > since
    ]


def lanes(bands: Sequence[Band]) -> list[charts.Lane]:
    """A lane for each name, in the order in which they first came; those with least time share the last one."""
    lasted: dict[str, timedelta] = {}
    for band in bands:
        lasted[band.event] = lasted.get(band.event, timedelta(0)) + (band.to - band.since)
    named = set(sorted(lasted, key=lambda name: lasted[name], reverse=True)[:LANES])
    ordered = [name for name in lasted if name in named]
    found = [
        charts.Lane(name, colour, [_band(band) for band in bands if band.event == name])
        for name, colour in zip(ordered, cycle(LANE_COLOURS))
    ]
    rest = [_band(band) for band in bands if band.event not in named]
    return [*found, charts.Lane("other events", "c0", rest)] if rest else found


def _band(band: Band) -> charts.Band:
    length = words.span((band.to - band.since).total_seconds())
    told = f"{words.between(band.since, band.to, seconds=True)} UTC\n{band.event}, {length}"
    return charts.Band(band.since, band.to, "\n".join([told, *_pairs(band.properties)]))


def _numbers(found: SessionCpu) -> h.Element:
    """What the chart is made of, and what the session says of itself."""
    pairs = _pairs(found.properties)
    fewer = found.samples > len(found.points)
    samples = f"Highest samples, {words.exact(len(found.points))} of {words.exact(found.samples)}"
    return h.section(".card.folds")[
        parts.fold("properties", "Properties of the session", h.pre["\n".join(pairs)]) if pairs else None,
        parts.fold("events", f"Events, {words.exact(len(found.bands))}", _events(found.bands[:MAX_ROWS])),
        parts.fold(
            "samples",
            samples if fewer else f"Samples, {words.exact(found.samples)}",
            _samples(found.points[:MAX_ROWS]),
        ),
    ]


def _events(bands: Sequence[Band]) -> h.Element:
    columns = ["Event", "Start (UTC)", "End (UTC)", "Properties", "lasted"]
    rows: list[parts.Row] = [
        [
            parts.name(band.event),
            parts.time(band.since, words.moment(band.since, seconds=True)),
            parts.time(band.to, words.moment(band.to, seconds=True)),
            parts.name(", ".join(_pairs(band.properties))),
            words.span((band.to - band.since).total_seconds()),
        ]
        for band in bands
    ]
    return parts.table("Events in their order", columns, rows, texts=4)


def _samples(points: Sequence[CpuPoint]) -> h.Element:
    rows: list[parts.Row] = [
        [parts.time(each.time, words.moment(each.time, seconds=True)), h.data(value=f"{each.cpu:g}")[f"{each.cpu:g}"]]
        for each in points
    ]
    return parts.table("CPU by time", ["Time (UTC)", "CPU, % of a core"], rows)


def _pairs(text: str | None) -> list[str]:
    """A line for each property of JSON."""
    if text is None:
        return []
    document = json.loads(text)
    if not isinstance(document, dict):
        return [text]
    return [f"{key}: {_value(value)}" for key, value in document.items()]


def _value(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _cpu(value: float) -> str:
    return f"{value:.4g}{words.NARROW}%"
