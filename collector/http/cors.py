"""Web pages of other origins: what a browser has to be told before it posts to an endpoint that takes measurements.

Only those POSTs are open to them, never what is read: a page must not see, through its visitors' browsers, into a
collector that only they can reach.

`navigator.sendBeacon` sends a string as text/plain, which needs no preflight and so survives the end of the page; from
an allowed origin it is taken for JSON. A Blob of another type has a preflight, and both come with credentials: those
have to be allowed, though the collector reads none, and with them a browser does not take `*` for an origin.
"""

from collections.abc import Container
from typing import Any

from litestar.types import ASGIApp, Message, Receive, Send

from collector.errors import OriginNotAllowed
from collector.http.responses import send_problem

MAX_AGE_S = 7200
"""For how long a browser need not ask again: the longest that Chromium heeds."""

REQUEST_HEADERS = b"accept, authorization, content-encoding, content-type, idempotency-key, stream-offset"
"""What a page may set beside what it always may."""
ANSWER_HEADERS = b"idempotent-replayed, retry-after"
"""What a page may see beside what it always may."""

Headers = list[tuple[bytes, bytes]]

_ANY = "*"
_VARY = (b"vary", b"Origin")
_BEACON = b"text/plain"
_JSON = b"application/json"


class Origins:
    """The origins of `COLLECTOR_CORS_ORIGINS`: a list as browsers write them, or `*` for all."""

    def __init__(self, setting: str) -> None:
        self._origins = frozenset(origin.strip().lower() for origin in setting.split(","))

    def allows(self, origin: bytes) -> bool:
        """Whether its pages may post."""
        return _ANY in self._origins or origin.decode("latin-1").lower() in self._origins

    def granting(self, origin: bytes) -> Headers:
        """What the browser has to hear for a page of this origin, which is allowed."""
        if _ANY in self._origins:
            return [(b"access-control-allow-origin", b"*")]
        return [(b"access-control-allow-origin", origin), (b"access-control-allow-credentials", b"true"), _VARY]


def open_to_pages(others: ASGIApp, posts: Container[str], origins: Origins) -> ASGIApp:
    """`others`, with what pages of these origins need to POST to the paths `posts`. It goes before everything else:
    a preflight comes without a key, and a page is to see that it was turned away.

    Other pages may send a POST, too, as anybody may; their browsers keep the answer from them.
    """

    async def handle(scope: Any, receive: Receive, send: Send) -> None:
        if scope["path"] in posts and scope["method"] in ("POST", "OPTIONS"):
            headers = dict(scope["headers"])
            origin = headers.get(b"origin")
            if origin is not None and scope["method"] == "OPTIONS" and b"access-control-request-method" in headers:
                await _preflight(send, origin, origins)
                return
            if origin is not None and scope["method"] == "POST" and origins.allows(origin):
                scope = {**scope, "headers": [_beacon_as_json(*header) for header in scope["headers"]]}
                send = _telling(send, origins.granting(origin))
        await others(scope, receive, send)

    return handle


async def _preflight(send: Send, origin: bytes, origins: Origins) -> None:
    if not origins.allows(origin):
        shown = origin[:200].decode("latin-1")
        problem = OriginNotAllowed(f"pages of {shown!r} may not post here; COLLECTOR_CORS_ORIGINS says which may")
        await send_problem(send, problem, [_VARY])
        return
    granted = [
        *origins.granting(origin),
        (b"access-control-allow-methods", b"POST"),
        (b"access-control-allow-headers", REQUEST_HEADERS),
        (b"access-control-max-age", str(MAX_AGE_S).encode()),
    ]
    await send({"type": "http.response.start", "status": 204, "headers": granted})
    await send({"type": "http.response.body", "body": b"", "more_body": False})


def _telling(send: Send, granting: Headers) -> Send:
    granted = [*granting, (b"access-control-expose-headers", ANSWER_HEADERS)]

    async def answer(message: Message) -> None:
        if message["type"] == "http.response.start":
            # A copy: an endpoint may send the same message to everybody.
            message = {**message, "headers": [*message["headers"], *granted]}
        await send(message)

    return answer


def _beacon_as_json(name: bytes, value: bytes) -> tuple[bytes, bytes]:
    return name, _JSON if name == b"content-type" and value.lower().startswith(_BEACON) else value
