"""The yardstick of /analytics: an ASGI application that reads the hit in the query and answers 204, or, to a GET, three
lines; and nothing else.
"""

from typing import Any

from collector.messages.hit import parse_hit

_HOUR = b"unique_users,1\nclicks,1\nimpressions,0\n"
_START = {"type": "http.response.start", "status": 204, "headers": []}
_END = {"type": "http.response.body", "body": b"", "more_body": False}
_HOUR_HEADERS = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", b"%d" % len(_HOUR))]
_HOUR_START = {"type": "http.response.start", "status": 200, "headers": _HOUR_HEADERS}
_HOUR_END = {**_END, "body": _HOUR}


async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Any request, as if it were for /analytics."""
    assert scope["type"] == "http"
    if scope["method"] == "POST":
        parse_hit(scope["query_string"])
        await send(_START)
        await send(_END)
    else:
        await send(_HOUR_START)
        await send(_HOUR_END)
