"""The application: endpoints, start and end, and errors as problem documents. No logic."""

import asyncio
import contextlib
import re
import signal
import time
from collections.abc import AsyncIterator, Callable, Mapping
from http import HTTPStatus
from typing import Any, Protocol

import structlog
from litestar import Litestar, Request, Response
from litestar.datastructures import State
from litestar.di import Provide
from litestar.exceptions import HTTPException
from litestar.types import ASGIApp

from collector.access.entrance import enter, turn_away
from collector.access.guard import Guard
from collector.access.login import LOGIN, LOGOUT
from collector.endpoints import ENDPOINTS
from collector.errors import BadRequest, MethodNotAllowed, NotFound, Problem, StoreError, TooLarge, Unavailable
from collector.http.cors import Origins, open_to_pages
from collector.http.html import html, signed_in, wants_page
from collector.http.methods import every_method, with_every_method
from collector.http.paths import no_endpoint
from collector.http.responses import PROBLEM_JSON, closing
from collector.openapi import document
from collector.routes.analytics import HitIngest, HourRead, get_hour, get_hours
from collector.routes.docs import docs_handlers
from collector.routes.health import live, ready
from collector.routes.home import get_home
from collector.routes.ingest import Ingest
from collector.routes.login import Login
from collector.routes.metrics import metrics
from collector.routes.reports import get_cpu_report
from collector.routes.sessions import get_session
from collector.routes.stats import get_stats
from collector.routes.streams import get_stream
from collector.service import Service
from collector.web import problem as problem_page

log = structlog.get_logger()

LEAVE_S = 1.0
"""How long clients are told to go elsewhere, before the process ends: a busy one has sent its next request by then."""

POSTS = frozenset(endpoint.path for endpoint in ENDPOINTS)

_INGEST: dict[str, type[Ingest]] = {"/analytics": HitIngest}
"""Endpoints whose single messages come in a way of their own."""


def create_app(make_service: Callable[[], Service]) -> "App":
    """The ASGI application; `make_service` is called in the event loop when it starts."""
    raw: dict[tuple[str, str], ASGIApp] = {}

    @contextlib.asynccontextmanager
    async def lifespan(_: Litestar) -> AsyncIterator[None]:
        service = make_service()
        for endpoint in ENDPOINTS:
            raw["POST", endpoint.path] = _INGEST.get(endpoint.path, Ingest)(service, endpoint)
        raw["GET", "/analytics"] = HourRead(service, app.ordinary)
        login = Login(service.guard, service.patience)
        raw["GET", LOGIN], raw["POST", LOGIN], raw["POST", LOGOUT] = login.show, login.login, login.logout
        app.guard = service.guard
        if service.settings.cors_origins is not None:
            app.front = open_to_pages(app.serve, POSTS, Origins(service.settings.cors_origins))
        app.state.service = service
        await service.start()
        try:
            yield
        finally:
            await service.stop()

    handlers = [get_stats, get_hour, get_hours, get_session, get_cpu_report, get_stream, live, ready, metrics]
    app = App(
        raw,
        route_handlers=[*handlers, get_home, *docs_handlers(lambda: document(handlers))],
        lifespan=[lifespan],
        dependencies={"service": Provide(_service, sync_to_thread=False)},
        exception_handlers={
            Problem: _problem,
            StoreError: _store_error,
            HTTPException: _http_error,
            Exception: _unexpected,
        },
        openapi_config=None,  # its pages load scripts from elsewhere; see routes.docs
        logging_config=None,
    )
    reads = {route.path for route in app.routes}
    app.asgi_handler = with_every_method(app.asgi_handler, POSTS, reads)
    app.state.paths = sorted(POSTS | {LOGIN, *map(_shown, reads - {"/"})})
    return app


class Connections(Protocol):
    """What clients are connected by."""

    def stop_accepting(self) -> None:
        """Take no new ones."""

    def stop_reading(self) -> None:
        """Take nothing more from those there are."""


class App(Litestar):
    """Requests pass the entrance. What comes most goes straight to its handler then, by method and path: what Litestar
    does for other requests would cost it a third.
    """

    def __init__(self, raw: Mapping[tuple[str, str], ASGIApp], **configuration: Any) -> None:
        super().__init__(**configuration)
        self.guard: Guard | None = None
        self._raw = raw
        self._asked_at = 0.0
        self._leaving = False
        self.front: ASGIApp | None = None
        """What requests pass first, and it calls `serve`; only where web pages may post."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await self.ordinary(scope, receive, send)
            return
        self._asked_at = time.monotonic()
        if self._leaving:
            send = closing(send)
        await (self.front or self.serve)(scope, receive, send)

    async def serve(self, scope: Any, receive: Any, send: Any) -> None:
        """Any request, once it may come in."""
        try:
            await enter(self.guard, scope)
        except Problem as problem:
            await turn_away(scope, send, problem)
            return
        handler = self._raw.get((scope["method"], scope["path"]))
        await (handler or self.ordinary)(scope, receive, send)

    async def ordinary(self, scope: Any, receive: Any, send: Any) -> None:
        """Litestar's own way, whatever there is for the path."""
        await super().__call__(scope, receive, send)

    def leave(self, connections: Connections, then: Callable[[], None]) -> None:
        """The process is to end. Where requests come in all the time, their clients are first told to go elsewhere, on
        connections that they close themselves; what is sent on one that the server closes would have no answer. Told
        a second time, it ends at once.
        """
        busy = time.monotonic() - self._asked_at < LEAVE_S
        if self._leaving or not busy:
            then()
            return
        self._leaving = True
        connections.stop_accepting()
        service: Service = self.state.service
        service.leave()
        asyncio.get_running_loop().call_later(LEAVE_S, then)


def leave_at_signals(app: App, connections: Connections) -> None:
    """Let the server's own signal handlers drain the service first. To be called in the worker before it sets them.

    A server waits for open requests at SIGTERM, and streams have no end of their own. granian sets its handlers after
    it has loaded the application and before it starts it; neither of its event loops tells which handlers are set.
    """
    loop = asyncio.get_event_loop()
    add = loop.add_signal_handler

    def add_chained(number: int, callback: Callable[..., object], *args: Any) -> None:
        def end() -> None:
            # The server would wait for clients that have begun to send a request, when all others have their answers.
            app.state.service.drain().add_done_callback(lambda _: connections.stop_reading())
            callback(*args)

        def handle() -> None:
            if app.state.get("service") is not None and number in (signal.SIGTERM, signal.SIGINT):
                app.leave(connections, end)
            else:
                callback(*args)

        add(number, handle)

    loop.add_signal_handler = add_chained  # type: ignore[method-assign, assignment]


def _service(state: State) -> Service:
    service: Service = state.service
    return service


def _answer(
    request: Request[Any, Any, Any], document: dict[str, Any], headers: Mapping[str, str] | None = None
) -> Response[Any]:
    """A problem document, or a page of it for those who read pages."""
    status = document["status"]
    if wants_page(request):
        passing = status == Unavailable.status
        known = signed_in(request)
        text = problem_page.render(document["title"], status, document["detail"], passing=passing, signed_in=known)
        return html(request, text, problem_page.look(), status=status, headers=dict(headers or {}))
    return Response(document, status_code=status, media_type=PROBLEM_JSON.decode(), headers=dict(headers or {}))


def _problem(request: Request[Any, Any, Any], problem: Problem) -> Response[Any]:
    headers = {name.decode(): value.decode() for name, value in problem.headers}
    if problem.retry_after_s is not None:
        headers["Retry-After"] = str(problem.retry_after_s)
    return _answer(request, problem.body(), headers)


def _store_error(request: Request[Any, Any, Any], exc: StoreError) -> Response[Any]:
    return _problem(request, Unavailable(f"the database is away: {exc}", retry_after_s=1))


_OURS = {problem.status: problem for problem in (BadRequest, MethodNotAllowed, TooLarge)}
"""Of what Litestar finds wrong: under the same titles as what we find."""


def _shown(path: str) -> str:
    """A route as it is described: `/sessions/{session}`."""
    return re.sub(r"\{(\w+):\w+\}", r"{\1}", path)


def _http_error(request: Request[Any, Any, Any], exc: HTTPException) -> Response[Any]:
    """Litestar's own: unknown paths and methods, parameters that do not fit."""
    path = request.scope["raw_path"].decode("latin-1").partition("?")[0]
    if exc.status_code == NotFound.status:
        return _problem(request, no_endpoint(path, POSTS if request.method == "POST" else request.app.state.paths))
    detail = exc.detail
    if exc.status_code == MethodNotAllowed.status and exc.headers:
        allow = every_method(exc.headers["allow"].encode(), post=path in POSTS)
        detail = f"{path} takes {allow.decode()}"
    if isinstance(exc.extra, list) and exc.extra:
        detail = "; ".join(
            f"{item.get('key', '')}: {item.get('message', '')}" for item in exc.extra if isinstance(item, dict)
        )
    if ours := _OURS.get(exc.status_code):
        return _answer(request, ours(detail).body(), exc.headers)
    title = HTTPStatus(exc.status_code).phrase
    return _answer(
        request, {"type": "about:blank", "title": title, "status": exc.status_code, "detail": detail}, exc.headers
    )


def _unexpected(request: Request[Any, Any, Any], exc: Exception) -> Response[Any]:
    log.error("unexpected error", path=request.scope["path"], exc_info=exc)
    detail = "see the collector's log"
    return _answer(request, {"type": "about:blank", "title": "Unexpected error", "status": 500, "detail": detail})
