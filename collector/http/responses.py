"""Answers of the raw ASGI handlers."""

from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from collector.errors import Problem

Send = Callable[[Any], Awaitable[None]]

PROBLEM_JSON = b"application/problem+json"


async def send_whole(
    send: Send, status: int, content_type: bytes, body: bytes, headers: list[tuple[bytes, bytes]] | None = None
) -> None:
    """An answer of one piece."""
    every = [(b"content-type", content_type), (b"content-length", str(len(body)).encode()), *(headers or [])]
    await send({"type": "http.response.start", "status": status, "headers": every})
    await send({"type": "http.response.body", "body": body, "more_body": False})


async def send_json(
    send: Send, status: int, document: object, headers: list[tuple[bytes, bytes]] | None = None
) -> None:
    """A JSON document."""
    await send_whole(send, status, b"application/json", msgspec.json.encode(document), headers)


async def send_problem(send: Send, problem: Problem, headers: list[tuple[bytes, bytes]] | None = None) -> None:
    """An RFC 9457 problem document, with Retry-After where the problem passes."""
    every = [*problem.headers, *(headers or [])]
    if problem.retry_after_s is not None:
        every.append((b"retry-after", str(problem.retry_after_s).encode()))
    await send_whole(send, problem.status, PROBLEM_JSON, msgspec.json.encode(problem.body()), every)


def closing(send: Send) -> Send:
    """`send`, with the word in every answer that the connection ends with it."""

    async def tell(message: Any) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message["headers"], (b"connection", b"close")]}
        await send(message)

    return tell
