"""For people where API keys are asked for: a form that takes a read key and gives it back as a cookie, which no script
can read and no other site's page can use. It opens what a key with the scope `read` opens, and nothing that writes.

Pages need not do anything for it: who has no cookie gets the form in the page's place, and afterwards the page.
"""

import base64
import hashlib
from html import escape
from typing import Any
from urllib.parse import parse_qs

from collector.body import PLAIN, Receive, whole
from collector.errors import Problem
from collector.guard import Guard
from collector.patience import Patience
from collector.routes.responses import Send, send_problem, send_whole

LOGIN, LOGOUT = "/login", "/logout"
COOKIE = "collector_key"
COOKIE_AGE_S = 30 * 86_400
"""Revoking the key ends it sooner."""
MAX_FORM_BYTES = 4_096

_STYLE = """
:root { color-scheme: light dark }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 26rem; margin: 15vh auto; padding: 0 1rem }
label, input, button { display: block; width: 100%; box-sizing: border-box; font: inherit }
input, button { padding: .5rem; margin: .25rem 0 1rem }
[role=alert] { color: light-dark(#b91c1c, #fca5a5) }
"""
POLICY = (
    f"default-src 'none'; style-src 'sha256-{base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()}'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
_HEADERS = [
    (b"content-security-policy", POLICY.encode()),
    (b"referrer-policy", b"same-origin"),
    (b"x-content-type-options", b"nosniff"),
    (b"cache-control", b"no-store"),
]


class Login:
    """GET and POST /login, and POST /logout."""

    def __init__(self, guard: Guard | None, patience: Patience) -> None:
        self._guard = guard
        self._patience = patience

    async def show(self, scope: Any, receive: Receive, send: Send) -> None:
        """The form; where no keys are asked for, the page."""
        if self._guard is None:
            await _see(send, "/")
        else:
            await form(scope, send, None)

    async def login(self, scope: Any, receive: Receive, send: Send) -> None:
        """Take the form: the right key becomes a cookie."""
        try:
            given = parse_qs((await self._patience.body(whole(receive, PLAIN, MAX_FORM_BYTES))).decode("latin-1"))
        except Problem as problem:
            await send_problem(send, problem)
            return
        to = local(given.get("to", ["/"])[0])
        key = given.get("key", [""])[0].strip()
        if self._guard is not None:
            try:
                await self._guard.admit(key.encode(), "read")
            except Problem as problem:
                await form(scope, send, problem, to)
                return
        await _see(send, to, _cookie(scope, key, COOKIE_AGE_S))

    async def logout(self, scope: Any, receive: Receive, send: Send) -> None:
        """Take the cookie away."""
        await _see(send, LOGIN, _cookie(scope, "", 0))


def key_of_cookie(header: bytes) -> bytes | None:
    """The key in a Cookie header."""
    for part in header.split(b";"):
        name, _, value = part.strip().partition(b"=")
        if name == COOKIE.encode() and value:
            return value
    return None


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
    status = 200 if problem is None else problem.status
    said = f'<p role="alert">{escape(problem.detail)}</p>' if problem is not None and scope["path"] == LOGIN else ""
    body = f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>collector</title>
<style>{_STYLE}</style>
</head>
<body>
<h1>collector</h1>
{said}
<form method="post" action="{LOGIN}">
<label for="key">API key for reading</label>
<input id="key" name="key" type="password" autocomplete="current-password" required autofocus>
<input type="hidden" name="to" value="{escape(to)}">
<button>Show me</button>
</form>
</body>
</html>
"""
    headers = [*_HEADERS, *(problem.headers if problem is not None else ())]
    if problem is not None and problem.retry_after_s is not None:
        headers.append((b"retry-after", str(problem.retry_after_s).encode()))
    await send_whole(send, status, b"text/html; charset=utf-8", body.encode(), headers)


def _target(scope: Any) -> str:
    """The path and query that were asked for."""
    query = scope["query_string"].decode("latin-1")
    path = scope["raw_path"].decode("latin-1").partition("?")[0]
    return f"{path}?{query}" if query else path


async def _see(send: Send, path: str, *headers: tuple[bytes, bytes]) -> None:
    await send_whole(send, 303, b"text/plain; charset=utf-8", b"", [(b"location", path.encode()), *_HEADERS, *headers])


def _cookie(scope: Any, value: str, age_s: int) -> tuple[bytes, bytes]:
    forwarded = any(name == b"x-forwarded-proto" and given == b"https" for name, given in scope["headers"])
    secure = "; Secure" if forwarded or scope["scheme"] == "https" else ""
    return b"set-cookie", f"{COOKIE}={value}; Path=/; Max-Age={age_s}; HttpOnly; SameSite=Strict{secure}".encode()
