"""Answers of operations, as OpenAPI has them."""

from typing import Any

import msgspec

from collector.errors import TooMany, Unavailable
from collector.openapi.schemas import ProblemDetails, ref

PROBLEM_JSON = "application/problem+json"

_RETRY_AFTER = {
    "Retry-After": {"description": "Seconds to wait before trying again.", "schema": {"type": "integer", "minimum": 1}}
}


class Answer(msgspec.Struct, frozen=True):
    """A status with its meaning, bodies by media type, and headers."""

    status: int
    description: str
    content: dict[str, Any] = {}
    headers: dict[str, Any] = {}


def problem(status: int, struct: type[ProblemDetails], description: str) -> Answer:
    """A problem document."""
    headers = _RETRY_AFTER if status in (Unavailable.status, TooMany.status) else {}
    return Answer(status, description, {PROBLEM_JSON: {"schema": ref(struct)}}, headers)


def answers(*given: Answer) -> dict[str, Any]:
    """The `responses` of an operation."""
    found: dict[str, Any] = {}
    for answer in given:
        described: dict[str, Any] = {"description": answer.description}
        if answer.headers:
            described["headers"] = answer.headers
        if answer.content:
            described["content"] = answer.content
        found[str(answer.status)] = described
    return found
