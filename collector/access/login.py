"""A key for people: shown in a form once, kept by the browser as a cookie, which no script can read and no other site's
page can use. It opens what a key with the scope `read` opens, and nothing that writes.

Pages need not do anything for it: who has no cookie gets the form in the page's place, and afterwards the page.
"""

from typing import Any

from collector.errors import Problem
from collector.http.responses import Send, send_whole
from collector.web import login as page

LOGIN, LOGOUT = "/login", "/logout"
COOKIE = "collector_key"
COOKIE_AGE_S = 30 * 86_400
"""Revoking the key ends it sooner."""
HEADERS = [
    (b"content-security-policy", page.look().policy.encode()),
    (b"referrer-policy", page.REFERRER.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"cache-control", b"no-store"),
]


def key_of_cookie(header: bytes) -> bytes | None:
    """The key in a Cookie header."""
    for part in header.split(b";"):
        name, _, value = part.strip().partition(b"=")
        if name == COOKIE.encode() and value:
            return value
    return None


def cookie(scope: Any, value: str, age_s: int = COOKIE_AGE_S) -> tuple[bytes, bytes]:
    """The header that sets it; an age of 0 takes it away."""
    forwarded = any(name == b"x-forwarded-proto" and given == b"https" for name, given in scope["headers"])
    secure = "; Secure" if forwarded or scope["scheme"] == "https" else ""
    return b"set-cookie", f"{COOKIE}={value}; Path=/; Max-Age={age_s}; HttpOnly; SameSite=Strict{secure}".encode()


def local(path: str) -> str:
    """Where to go after the form, if that is here; browsers take a backslash for a slash, and leave out what is no
    character.
    """
    here = path.startswith("/") and not path.startswith("//") and "\\" not in path and path.isascii()
    return path if here and path.isprintable() else "/"


async def form(scope: Any, send: Send, problem: Problem | None, to: str | None = None) -> None:
    """The page with the form, in place of the answer that the problem keeps back."""
    if to is None:
        to = "/" if scope["path"] in (LOGIN, LOGOUT) else local(_target(scope))
    said = problem.detail if problem is not None and scope["path"] == LOGIN else None
    status = 200 if problem is None else problem.status
    headers = [*HEADERS, *(problem.headers if problem is not None else ())]
    if problem is not None and problem.retry_after_s is not None:
        headers.append((b"retry-after", str(problem.retry_after_s).encode()))
    body = page.render(LOGIN, to, said).encode()
    await send_whole(send, status, b"text/html; charset=utf-8", body, headers)


def _target(scope: Any) -> str:
    """The path and query that were asked for."""
    query = scope["query_string"].decode("latin-1")
    path = scope["raw_path"].decode("latin-1").partition("?")[0]
    return f"{path}?{query}" if query else path
