"""A problem as a page: what is wrong, and where to go from here. Pure."""

import htpy as h

from collector.web.layout import Sheet, page, sheet

RETRY_S = 5
"""Until a page that may work by then loads itself again: a database that restarts takes about as long."""


def look() -> Sheet:
    """Its style."""
    return sheet("charts.css", "pages.css")


def render(title: str, status: int, detail: str, *, passing: bool, signed_in: bool = False) -> str:
    """`passing`: trying again will help, and the page does so by itself."""
    body = h.main("#main.wide")[
        h.section(".card.problem")[
            h.p(".status")[str(status)],
            h.h1[title],
            h.p(".detail")[detail],
            h.p["This page tries again by itself."] if passing else None,
            h.p[h.a(href="/")["Overview"], " · ", h.a(href="/docs")["All endpoints"]],
        ]
    ]
    return page(look(), f"{title} · collector", body, refresh_s=RETRY_S if passing else None, signed_in=signed_in)
