"""Methods as HTTP has them: HEAD is GET without its body, and `Allow` names every method of a path."""

from collections.abc import Container
from typing import Any

from litestar.types import ASGIApp, Message, Receive, Send

ALLOW = b"allow"


def with_every_method(others: ASGIApp, posts: Container[str]) -> ASGIApp:
    """`others` with HEAD; `posts` are the paths that take a POST elsewhere."""

    async def handle(scope: Any, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await others(scope, receive, send)
            return
        head = scope["method"] == "HEAD"
        post = scope["path"] in posts

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [
                    (name, _every(value, post=post) if name.lower() == ALLOW else value)
                    for name, value in message["headers"]
                ]
            elif message["type"] == "http.response.body" and head:
                message["body"] = b""
            await send(message)

        if head:
            scope = {**scope, "method": "GET"}
        await others(scope, receive, answer)

    return handle


def _every(allow: bytes, *, post: bool) -> bytes:
    """The methods that Litestar knows, and ours."""
    methods = {method.strip() for method in allow.split(b",")}
    if b"GET" in methods:
        methods.add(b"HEAD")
    if post:
        methods.add(b"POST")
    return b", ".join(sorted(methods))
