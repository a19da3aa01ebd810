"""Methods as HTTP has them: HEAD is GET without its body, and `Allow` names every method of a path.

Reading does not mind a slash at a path's end. A POST there is told that it is no endpoint, whichever it was meant for:
what is taken in, and by whose key, goes by the path as it is.
"""

from collections.abc import Container
from collections.abc import Set as AbstractSet
from typing import Any

from litestar.types import ASGIApp, Message, Receive, Send

from collector.errors import MethodNotAllowed
from collector.http.paths import no_endpoint
from collector.http.responses import send_problem

ALLOW = b"allow"


def with_every_method(others: ASGIApp, posts: AbstractSet[str], reads: Container[str]) -> ASGIApp:
    """`others` with HEAD; `posts` are the paths that take a POST elsewhere, `reads` those that take a GET here."""

    async def handle(scope: Any, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await others(scope, receive, send)
            return
        head = scope["method"] == "HEAD"
        post = scope["path"] in posts
        if post and scope["path"] not in reads:
            problem = MethodNotAllowed(f"{scope['path']} takes POST only")
            await send_problem(send, problem, [(ALLOW, b"POST")])
            return

        if scope["method"] == "POST" and scope["path"].endswith("/") and scope["path"].rstrip("/") in posts:
            await send_problem(send, no_endpoint(scope["path"], posts))
            return

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [
                    (name, every_method(value, post=post) if name.lower() == ALLOW else value)
                    for name, value in message["headers"]
                ]
            elif message["type"] == "http.response.body" and head:
                message["body"] = b""
            await send(message)

        if head:
            scope = {**scope, "method": "GET"}
        await others(scope, receive, answer)

    return handle


def every_method(allow: bytes, *, post: bool) -> bytes:
    """The methods that Litestar knows, and ours."""
    methods = {method.strip() for method in allow.split(b",")}
    if b"GET" in methods:
        methods.add(b"HEAD")
    if post:
        methods.add(b"POST")
    return b", ".join(sorted(methods))
