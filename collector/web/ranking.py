"""Who has the most: customers and contents, each a link to itself alone. Pure."""

import htpy as h

from collector.store.overview import Named, Overview, Sums
from collector.web import parts, words
from collector.web.traffic import CDN, P2P
from collector.web.view import View

_rect = h.Element("rect")


def customers(view: View, overview: Overview) -> h.Element:
    """Customers with the most bytes, and the others together."""
    return _ranking("customers", "Customer", view, overview.customers)


def contents(view: View, overview: Overview) -> h.Element:
    """The same of contents, each of which is a customer's."""
    return _ranking("contents", "Content", view, overview.contents)


def _ranking(identity: str, title: str, view: View, named: list[Named]) -> h.Element:
    most = max((each.sums.bytes for each in named if each.customer is not None), default=0) or 1
    several = len({each.customer for each in named}) > 1
    rows: list[parts.Row] = [
        [
            _who(view, each, most, several=several),
            parts.size(each.sums.bytes),
            words.percent(each.sums.p2p_share),
            parts.number(each.sums.sessions),
        ]
        for each in named
    ]
    return parts.card(
        identity,
        f"{title}s",
        parts.table(f"{title}s with the most traffic", [title, "Traffic", "P2P", "Sessions"], rows, kind="ranking"),
        aside=h.span(".sub")[words.exact(sum(each.names for each in named))],
    )


def _who(view: View, each: Named, most: int, *, several: bool) -> h.Node:
    if each.customer is None:
        return h.span(".others")[words.plural(each.names, "other")]
    customer = parts.name(each.customer)
    if each.content is None:
        return [h.a(href=view.href(customer=each.customer))[customer], _meter(each.sums, most)]
    link = h.a(href=view.href(customer=each.customer, content=each.content))
    return [link[parts.name(each.content), h.span(".of")[customer] if several else None], _meter(each.sums, most)]


def _meter(sums: Sums, most: int) -> h.Element:
    cdn, p2p = 100 * sums.cdn / most, 100 * sums.p2p / most
    return h.svg(".meter", width="100%", height="4", aria_hidden="true")[
        _rect(class_=CDN, x="0", width=f"{cdn:.2f}%", height="4"),
        _rect(class_=P2P, x=f"{cdn:.2f}%", width=f"{p2p:.2f}%", height="4"),
    ]
