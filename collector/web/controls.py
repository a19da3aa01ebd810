"""Which range, and which part of it: links and a form that only change the URL. Pure."""

from collections.abc import Iterable
from datetime import datetime, timedelta

import htpy as h

from collector.store.overview import Overview
from collector.web import parts, words
from collector.web.view import DEFAULT_HOURS, PRESETS, View


def told(view: View, now: datetime) -> h.Node:
    """The range in words."""
    if view.hours is None:
        return f"{words.between(view.since, view.until)} UTC"
    length = words.last(timedelta(hours=view.hours)).capitalize()
    return [f"{length}, as of ", parts.time(now, f"{words.clock(now, seconds=True)} UTC")]


def presets(view: View) -> h.Element:
    """Ranges that end now."""
    return h.nav(".presets", aria_label="Range")[
        (
            h.a(
                href=view.lately(hours),
                aria_label=words.last(timedelta(hours=hours)).capitalize(),
                aria_current="true" if view.hours == hours else None,
            )[f"{hours}{words.NARROW}h" if hours <= DEFAULT_HOURS else f"{hours // 24}{words.NARROW}d"]
            for hours in PRESETS
        )
    ]


def filters(view: View, overview: Overview) -> h.Element:
    """What to show of it; names that are there are suggested."""
    absolute = view.hours is None
    customers = [each.customer for each in overview.customers if each.customer is not None]
    contents = [each.content for each in overview.contents if each.content is not None]
    chosen = absolute or view.filtered
    return h.form(".filters", method="get", action="/", role="search", aria_label="Filters")[
        None if absolute else h.input(type="hidden", name="hours", value=str(view.hours)),
        _text("customer", "Customer", view.customer, customers),
        _text("content", "Content", view.content, contents),
        parts.moment("from", "From (UTC)", view.since if absolute else None),
        parts.moment("to", "To (UTC)", view.until if absolute else None),
        h.button(type="submit")["Show"],
        h.a(".clear", href="/")["Clear"] if chosen else None,
        h.noscript[h.a(".clear", href=view.href())["Reload"]],
    ]


def _text(name: str, title: str, value: str | None, known: Iterable[str]) -> h.Element:
    return h.label[
        h.span[title],
        h.input(
            type="text",
            name=name,
            value=value or "",
            list=f"{name}s-known",
            maxlength="256",
            autocomplete="off",
            spellcheck="false",
            dir="auto",
            placeholder="all",
        ),
        h.datalist(id=f"{name}s-known")[(h.option(value=each) for each in dict.fromkeys(known))],
    ]
