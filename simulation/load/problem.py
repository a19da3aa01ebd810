"""What an answer that is no success says to a person."""

from __future__ import annotations

import msgspec
from msgspec import Struct

SHOWN_BYTES = 200  # of an answer that is no problem document


class Problem(Struct):
    """What is worth showing of an RFC 9457 problem."""

    title: str = ""
    detail: str = ""


def told(body: bytes) -> str:
    """The detail of a problem document, else how the body begins."""
    try:
        problem = msgspec.json.decode(body, type=Problem)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return body[:SHOWN_BYTES].decode(errors="replace")
    return problem.detail or problem.title
