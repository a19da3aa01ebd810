"""The frame of every page: its head, the links between pages, and the policy that lets it load nothing but itself.

Markup is made by htpy: text becomes text, and only what is `Markup` stays as it is, so that escaping cannot be
forgotten. `Markup` is made here, of our own style and script, and of what htpy made.
"""

import base64
import functools
import hashlib
from importlib.resources import files

import htpy as h
import msgspec
from markupsafe import Markup

_ASSETS = files("collector.web")
_LOGO = "M2 13V9h3v4zm4.5 0V6h3v7zM11 13V3h3v10z"
_ICON = (
    "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'%3E"
    f"%3Cpath d='{_LOGO}' fill='%230f766e'/%3E%3C/svg%3E"
)
LINKS = (("/", "Overview"), ("/reports/cpu", "CPU report"), ("/docs", "API"))
"""The pages, in the order of the head."""


class Sheet(msgspec.Struct, frozen=True):
    """What a page carries in itself: one style and one script, either of them empty where there is none."""

    style: str
    script: str = ""

    @property
    def policy(self) -> str:
        """Content-Security-Policy: this style, this script, requests to where it came from, and nothing else."""
        return f"{self.inner_policy}; frame-ancestors 'none'"

    @property
    def inner_policy(self) -> str:
        """The same as far as a page may say it of itself."""
        script = f"script-src {_digest(self.script)}; connect-src 'self'; " if self.script else ""
        return (
            f"default-src 'none'; style-src {_digest(self.style)}; {script}img-src data:; base-uri 'none'; "
            "form-action 'self'"
        )


@functools.cache
def sheet(*names: str) -> Sheet:
    """The shared style followed by these of our own, `.css` and `.js`, in their order."""
    texts = {name: _ASSETS.joinpath(name).read_text() for name in ("base.css", *names)}
    return Sheet(
        "".join(text for name, text in texts.items() if name.endswith(".css")),
        "".join(text for name, text in texts.items() if name.endswith(".js")),
    )


def page(
    look: Sheet,
    title: str,
    body: h.Node,
    *,
    current: str = "",
    alone: bool = False,
    refresh_s: int | None = None,
    referrer: str = "no-referrer",
    signed_in: bool = False,
) -> str:
    """A whole document. `current`: which of LINKS it is. `alone`: a file of its own, without the other pages.
    `refresh_s`: it is to be loaded anew by itself, which is for pages that nobody reads for long. `signed_in`: its
    reader came with a cookie, which a button takes away.
    """
    head = [
        h.meta(charset="utf-8"),
        h.meta(name="viewport", content="width=device-width, initial-scale=1"),
        h.meta(name="color-scheme", content="light dark"),
        h.meta(name="referrer", content=referrer),
        h.meta(http_equiv="Content-Security-Policy", content=look.inner_policy) if alone else None,
        h.meta(http_equiv="refresh", content=str(refresh_s)) if refresh_s else None,
        h.title[title],
        h.link(rel="icon", href=_ICON),
        h.style[Markup(look.style)],  # noqa: S704 (our own)
    ]
    return str(
        h.html(lang="en")[
            h.head[head],
            h.body[
                h.a(".skip", href="#main")["Skip to the content"],
                None if alone else _site(current, signed_in=signed_in),
                body,
                h.script[Markup(look.script)] if look.script else None,  # noqa: S704 (our own)
            ],
        ]
    )


def flat(element: h.Renderable) -> Markup:
    """The element as text already. For what has very many pieces: deep within a page, each of them would be handed up
    through every level.
    """
    return Markup("".join(element.iter_chunks()))  # noqa: S704 (escaped where it was made)


def _site(current: str, *, signed_in: bool) -> h.Element:
    logo = h.svg(viewBox="0 0 16 16", aria_hidden="true")[h.Element("path")(d=_LOGO)]
    return h.header(".site")[
        h.a(".brand", href="/")[logo, "collector"],
        h.nav(aria_label="Pages")[
            h.ul[(h.li[h.a(href=href, aria_current="page" if href == current else None)[name]] for href, name in LINKS)]
        ],
        h.form(method="post", action="/logout")[h.button["Sign out"]] if signed_in else None,
    ]


def _digest(text: str) -> str:
    return "'sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() + "'"
