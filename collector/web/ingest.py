"""How the collector itself does: what comes in, and what waits. Pure."""

from datetime import datetime, timedelta

import htpy as h

from collector.pulse import Vitals
from collector.web import parts, words
from collector.web.charts import FEW_TIMES, Frame, Series, line
from collector.web.scales import ticks


def ingest(now: datetime, vitals: Vitals, computed_until: datetime | None, *, filtered: bool = False) -> h.Element:
    """The rate as a curve, what waits, and each endpoint's numbers. `filtered`: the page shows some customers, which
    this does not know.
    """
    commit = "–" if vitals.commit_p95_s is None else words.span(vitals.commit_p95_s)
    return parts.card(
        "ingest",
        parts.unfiltered("Ingest", filtered=filtered),
        h.p(".sub")["Messages taken in a second, by this server"],
        _curve(now, vitals),
        h.dl(".facts")[
            _fact("Waiting to be committed", words.plural(vitals.backlog_rows, "row")),
            _fact("Commit, 95 of 100 within", commit),
            _fact("Waiting in the queue", _queue(vitals)),
            _fact("Open streams", words.exact(vitals.open_streams)),
            _fact("Windows computed until", _computed(now, computed_until)),
        ],
        _endpoints(vitals),
        aside=h.a(href="/metrics")["Metrics"],
    )


def lag(vitals: Vitals) -> str:
    """How long it takes until what is taken in is stored, in few words."""
    if vitals.queue_waiting:
        return f"the oldest for {words.span(vitals.queue_oldest_s)}"
    if vitals.commit_p95_s is not None:
        return f"stored within {words.span(vitals.commit_p95_s)}"
    return "nothing waits"


def _curve(now: datetime, vitals: Vitals) -> h.Element:
    if len(vitals.curve) < 2:
        return h.p(".sub")["The curve begins in a few seconds."]
    step = timedelta(seconds=vitals.curve_s / len(vitals.curve))
    times = [now - step * back for back in reversed(range(len(vitals.curve)))]
    mean = f"{words.rate(vitals.per_s)} as a mean of the last minute"
    said = f"Messages taken in a second over {words.span(vitals.curve_s)}; {mean}"
    frame = Frame(times[0], times[-1], ticks(max(vitals.curve), 3), 96, FEW_TIMES)
    return line(said, times, [Series("messages", "c3", vitals.curve)], words.rate, frame, area=True)


def _endpoints(vitals: Vitals) -> h.Element:
    rows: list[parts.Row] = [
        [
            h.code[each.path],
            words.rate(each.per_s),
            parts.number(each.stored),
            parts.number(each.rejected),
            parts.number(each.repeated),
        ]
        for each in vitals.endpoints
    ]
    columns = ["Endpoint", "a second", "Stored", "Rejected", "Repeated"]
    return parts.fold("endpoints", "Table", parts.table("Messages by endpoint since the start", columns, rows))


def _fact(title: str, value: h.Node) -> h.Element:
    return h.div[h.dt[title], h.dd[value]]


def _queue(vitals: Vitals) -> str:
    if not vitals.queue_waiting:
        return "nothing"
    return f"{words.plural(vitals.queue_waiting, 'payload')}, the oldest for {words.span(vitals.queue_oldest_s)}"


def _computed(now: datetime, until: datetime | None) -> h.Node:
    """The lag of the aggregate costs time when reading, never rows: what is not computed yet is added up then."""
    if until is None:
        return "added up when read"
    behind = max(timedelta(0), now - until)
    return [
        parts.time(until, f"{words.clock(until)} UTC"),
        f", {words.span(behind.total_seconds())} ago; the rest when read",
    ]
