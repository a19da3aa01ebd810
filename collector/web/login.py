"""The form that takes an API key from a person. Pure."""

import htpy as h

from collector.web.layout import Sheet, page, sheet

REFERRER = "same-origin"
"""Of this page alone: without a referrer a browser would post the form from the origin `null`."""


def look() -> Sheet:
    """Its style."""
    return sheet("charts.css", "pages.css")


def render(action: str, to: str, wrong: str | None) -> str:
    """`action` is where the form goes, `to` where its sender wants to go, `wrong` what was wrong with the last one."""
    body = h.main("#main.wide")[
        h.section(".card.problem")[
            h.h1["collector"],
            h.p(".detail", role="alert")[wrong] if wrong else None,
            h.form(".login", method="post", action=action)[
                h.label(for_="key")["API key for reading"],
                h.input(
                    "#key", name="key", type="password", autocomplete="current-password", required=True, autofocus=True
                ),
                h.input(type="hidden", name="to", value=to),
                h.button["Sign in"],
            ],
        ]
    ]
    return page(look(), "collector", body, alone=True, referrer=REFERRER)
