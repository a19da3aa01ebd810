"""What every request passes first: the size of its headers, and, where keys are asked for, its API key.

What is not listed as open or as ingest is for reading, so that an endpoint that is forgotten here is closed.
"""

from typing import Any

from collector import metrics
from collector.access.guard import Guard
from collector.access.keys import Scope
from collector.access.login import LOGIN, LOGOUT, form, key_of_cookie
from collector.endpoints import ENDPOINTS
from collector.errors import HeadersTooLarge, Problem, Unauthorized
from collector.http.responses import Send, send_problem

MAX_HEADER_BYTES = 32 * 1024
"""Of all header values together: an Idempotency-Key has 255, a browser's cookies some thousands at most."""
OPEN = frozenset({"/health/live", "/health/ready", "/docs", "/openapi.json", LOGIN, LOGOUT})
"""For orchestrators, which have no key; what is the same for everybody; and the way to show a key."""
_INGEST = frozenset(endpoint.path for endpoint in ENDPOINTS)
_STREAMS = "/streams/"
_BEARER = b"bearer "
_SAFE = ("GET", "HEAD")


def scope_needed(method: str, path: str) -> Scope | None:
    """What a key must be for; None where none is needed. The state of a stream is for who sends it."""
    if method == "POST" and path in _INGEST:
        return "ingest"
    if path in OPEN:
        return None
    return "ingest" if path.startswith(_STREAMS) else "read"


async def enter(guard: Guard | None, scope: Any) -> None:
    """Let the request in; `scope["caller"]` is then the id of its API key, which it shows as a bearer or, only to read,
    in the cookie of `access.login`. Raises Problem.
    """
    size_bytes = 0
    shown = cookie = b""
    for name, value in scope["headers"]:
        size_bytes += len(value)
        if name == b"authorization":
            shown = value
        elif name == b"cookie":
            cookie = value
    if size_bytes > MAX_HEADER_BYTES:
        raise HeadersTooLarge(f"the headers have {size_bytes} bytes; at most {MAX_HEADER_BYTES} are taken")
    if guard is None:
        return
    needed = scope_needed(scope["method"], scope["path"])
    if needed is not None:
        token: bytes | None = None
        if shown[: len(_BEARER)].lower() == _BEARER:
            token = shown[len(_BEARER) :].strip()
        elif needed == "read" and scope["method"] in _SAFE:
            token = key_of_cookie(cookie)
        scope["caller"] = await guard.admit(token, needed)


async def turn_away(scope: Any, send: Send, problem: Problem) -> None:
    """Answer a request that may not come in; a person in front of a browser gets a form to show a key with."""
    metrics.of(metrics.TURNED_AWAY, str(problem.status)).inc()
    accepts = next((value for name, value in scope["headers"] if name == b"accept"), b"")
    browser = scope["method"] in _SAFE and b"text/html" in accepts
    if browser and isinstance(problem, Unauthorized):
        await form(scope, send, problem)
    else:
        await send_problem(send, problem)
