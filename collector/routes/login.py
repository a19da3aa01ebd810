"""GET and POST /login, and POST /logout: the form of `access.login`."""

from typing import Any
from urllib.parse import parse_qs

from collector.access.guard import Guard
from collector.access.login import HEADERS, LOGIN, cookie, form, local
from collector.errors import Problem
from collector.http.body import PLAIN, Receive, whole
from collector.http.patience import Patience
from collector.http.responses import Send, send_problem, send_whole

MAX_FORM_BYTES = 4_096


class Login:
    """Its handlers."""

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
        await _see(send, to, cookie(scope, key))

    async def logout(self, scope: Any, receive: Receive, send: Send) -> None:
        """Take the cookie away."""
        await _see(send, LOGIN, cookie(scope, "", 0))


async def _see(send: Send, path: str, *headers: tuple[bytes, bytes]) -> None:
    await send_whole(send, 303, b"text/plain; charset=utf-8", b"", [(b"location", path.encode()), *HEADERS, *headers])
