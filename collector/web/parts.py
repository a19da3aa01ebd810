"""What pages are put together from: cards, tables of exact numbers, names, times. Pure."""

from collections.abc import Iterable, Sequence
from datetime import datetime

import htpy as h

from collector.web import words
from collector.web.layout import flat

Row = Sequence[h.Node]


def card(identity: str, title: h.Node, *content: h.Node, aside: h.Node = None, live: bool = True) -> h.Element:
    """A section with a heading; `live`: it is renewed while the page is open."""
    return h.section(".card", id=identity, aria_labelledby=f"{identity}-title", data_live=live)[
        h.header(".bar")[h.h2(id=f"{identity}-title")[title], aside],
        content,
    ]


def unfiltered(title: str, *, filtered: bool) -> h.Node:
    """The heading of what does not follow the page's filters, which it says where there are any."""
    return [title, " ", h.span(".note")["all customers"]] if filtered else title


def table(caption: str, columns: Sequence[str], rows: Iterable[Row], *, texts: int = 1, kind: str = "") -> h.Element:
    """A table whose first `texts` columns are words and whose others are numbers; the first one names its row."""

    def aligned(place: int) -> str | None:
        return None if place < texts else "number"

    head = h.tr[(h.th(scope="col", class_=aligned(place))[each] for place, each in enumerate(columns))]
    cells = [h.td(class_=aligned(place)) for place in range(len(columns))]
    body = [
        flat(h.tr[h.th(scope="row")[row[0]], [td[cell] for td, cell in zip(cells[1:], row[1:], strict=True)]])
        for row in rows
    ]
    return h.div(".scroll", tabindex="0", role="region", aria_label=caption)[
        h.table(class_=kind or None)[h.caption(".away")[caption], h.thead[head], h.tbody[body]]
    ]


def fold(identity: str, title: h.Node, *content: h.Node) -> h.Element:
    """What is there when one asks for it; it stays open while the page is renewed."""
    return h.details(".fold", id=identity)[h.summary[title], content]


def number(value: int) -> h.Element:
    """Every digit; the number itself is in the markup."""
    return h.data(value=str(value))[words.exact(value)]


def size(value: int) -> h.Element:
    """Bytes for people, and the number itself in the markup."""
    return h.data(value=str(value), title=f"{words.exact(value)} bytes")[words.size(value)]


def time(moment: datetime, text: str) -> h.Element:
    """A time, and the time itself in the markup."""
    return h.time(datetime=words.iso(moment))[text]


def name(text: str) -> h.Element:
    """What a client named: of any script, written in either direction."""
    return h.bdi[text]


def tile(title: str, value: h.Node, note: h.Node = None, picture: h.Node = None) -> h.Element:
    """A number that one sees first."""
    return h.div(".tile")[h.dt[title], h.dd[h.span(".value")[value], h.span(".note")[note] if note else None, picture]]


def notice(title: str, *content: h.Node) -> h.Element:
    """What to do where there is nothing to see."""
    return h.div(".notice")[h.h3[title], content]


def command(text: str) -> h.Element:
    """A command to paste into a shell."""
    return h.pre(".shell", tabindex="0")[h.code[text]]


def moment(name: str, title: str, value: datetime | None) -> h.Element:
    """A field for a time, UTC."""
    text = "" if value is None else f"{value:%Y-%m-%dT%H:%M}"
    return h.label[h.span[title], h.input(type="datetime-local", name=name, value=text, max="9998-12-31T23:59")]
