"""What is the same for every operation: the API key that it may need, and the answers of who does not let it in."""

from typing import Any

from collector.access.entrance import scope_needed
from collector.openapi.answers import Answer, answers, problem
from collector.openapi.schemas import ProblemDetails

SCHEME = "apiKey"
SCHEMES = {
    SCHEME: {
        "type": "http",
        "scheme": "bearer",
        "description": "A key of `collector keys create`. It is needed where the collector asks for keys: by default "
        "on every address that other machines can reach.",
    }
}

_CHALLENGE = {
    "WWW-Authenticate": {"description": "`Bearer`, and what is wrong with the key.", "schema": {"type": "string"}}
}
_TURNED_AWAY = {
    "KeyNeeded": problem(401, ProblemDetails, "No API key, or one that is not known or was revoked."),
    "OtherKeyNeeded": problem(403, ProblemDetails, "The API key has another scope."),
    "TooSlow": problem(408, ProblemDetails, "The body, or a line of it, did not come in time."),
    "TooManyRequests": problem(429, ProblemDetails, "The API key has made more requests than it may."),
    "HeadersTooLarge": problem(431, ProblemDetails, "The headers are too large."),
}
_STATUS = {name: str(answer.status) for name, answer in _TURNED_AWAY.items()}


def shared_answers() -> dict[str, Any]:
    """`components.responses`."""
    found = {}
    for name, answer in _TURNED_AWAY.items():
        headers = {**answer.headers, **(_CHALLENGE if answer.status in (401, 403) else {})}
        described = Answer(answer.status, answer.description, answer.content, headers)
        found[name] = answers(described)[_STATUS[name]]
    return found


def with_access(method: str, path: str, operation: dict[str, Any]) -> dict[str, Any]:
    """The operation with the key it may need and with these answers."""
    names = ["HeadersTooLarge"]
    security: dict[str, Any] = {}
    if scope_needed(method.upper(), path) is not None:
        names += ["KeyNeeded", "OtherKeyNeeded", "TooManyRequests"]
        security = {"security": [{SCHEME: []}, {}]}
    if "requestBody" in operation:
        names.append("TooSlow")
    shared = {_STATUS[name]: {"$ref": f"#/components/responses/{name}"} for name in names}
    return {**operation, **security, "responses": dict(sorted({**operation["responses"], **shared}.items()))}
