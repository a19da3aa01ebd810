"""The application: endpoints, start and end, and errors as problem documents. No logic."""

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator, Callable, Mapping
from http import HTTPStatus
from typing import Any

import structlog
from litestar import Litestar, Request, Response
from litestar.datastructures import State
from litestar.di import Provide
from litestar.exceptions import HTTPException
from litestar.types import ASGIApp

from collector.endpoints import ENDPOINTS
from collector.errors import Problem, StoreError, Unavailable
from collector.openapi import document
from collector.routes.analytics import HitIngest, HourRead, get_hour, get_hours
from collector.routes.cors import Origins, open_to_pages
from collector.routes.docs import docs_handlers
from collector.routes.health import live, ready
from collector.routes.ingest import Ingest
from collector.routes.methods import with_every_method
from collector.routes.metrics import metrics
from collector.routes.responses import PROBLEM_JSON
from collector.routes.sessions import get_session
from collector.routes.stats import get_stats
from collector.routes.streams import get_stream
from collector.service import Service

log = structlog.get_logger()

_INGEST: dict[str, type[Ingest]] = {"/analytics": HitIngest}
"""Endpoints whose single messages come in a way of their own."""


def create_app(make_service: Callable[[], Service]) -> Litestar:
    """The ASGI application; `make_service` is called in the event loop when it starts."""
    raw: dict[tuple[str, str], ASGIApp] = {}

    @contextlib.asynccontextmanager
    async def lifespan(_: Litestar) -> AsyncIterator[None]:
        service = make_service()
        for endpoint in ENDPOINTS:
            raw["POST", endpoint.path] = _INGEST.get(endpoint.path, Ingest)(service, endpoint)
        raw["GET", "/analytics"] = HourRead(service, app.ordinary)
        if service.settings.cors_origins is not None:
            paths = {endpoint.path for endpoint in ENDPOINTS}
            app.front = open_to_pages(app.serve, paths, Origins(service.settings.cors_origins))
        app.state.service = service
        await service.start()
        try:
            yield
        finally:
            await service.stop()

    handlers = [get_stats, get_hour, get_hours, get_session, get_stream, live, ready, metrics]
    app = _App(
        raw,
        route_handlers=[*handlers, *docs_handlers(lambda: document(handlers))],
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
    app.asgi_handler = with_every_method(app.asgi_handler, {endpoint.path for endpoint in ENDPOINTS}, reads)
    return app


class _App(Litestar):
    """What comes most goes straight to its handler, by method and path: what Litestar does for other requests would
    cost it a third.
    """

    def __init__(self, raw: Mapping[tuple[str, str], ASGIApp], **configuration: Any) -> None:
        super().__init__(**configuration)
        self._raw = raw
        self.front: ASGIApp | None = None
        """What requests pass first, and it calls `serve`; only where web pages may post."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if self.front is not None and scope["type"] == "http":
            await self.front(scope, receive, send)
        else:
            await self.serve(scope, receive, send)

    async def serve(self, scope: Any, receive: Any, send: Any) -> None:
        """Any request."""
        handler = self._raw.get((scope["method"], scope["path"])) if scope["type"] == "http" else None
        await (handler or self.ordinary)(scope, receive, send)

    async def ordinary(self, scope: Any, receive: Any, send: Any) -> None:
        """Litestar's own way, whatever there is for the path."""
        await super().__call__(scope, receive, send)


def drain_at_signals(app: Litestar) -> None:
    """Let the server's own signal handlers drain the service first. To be called in the worker before it sets them.

    A server waits for open requests at SIGTERM, and streams have no end of their own. granian sets its handlers after
    it has loaded the application and before it starts it; neither of its event loops tells which handlers are set.
    """
    loop = asyncio.get_event_loop()
    add = loop.add_signal_handler

    def add_chained(number: int, callback: Callable[..., object], *args: Any) -> None:
        def handle() -> None:
            service = app.state.get("service")
            if service is not None and number in (signal.SIGTERM, signal.SIGINT):
                service.drain()
            callback(*args)

        add(number, handle)

    loop.add_signal_handler = add_chained  # type: ignore[method-assign, assignment]


def _service(state: State) -> Service:
    service: Service = state.service
    return service


def _answer(problem: Problem) -> Response[dict[str, object]]:
    headers = {} if problem.retry_after_s is None else {"Retry-After": str(problem.retry_after_s)}
    return Response(problem.body(), status_code=problem.status, media_type=PROBLEM_JSON.decode(), headers=headers)


def _problem(_: Request[Any, Any, Any], problem: Problem) -> Response[Any]:
    return _answer(problem)


def _store_error(_: Request[Any, Any, Any], exc: StoreError) -> Response[Any]:
    return _answer(Unavailable(f"the database is away: {exc}", retry_after_s=1))


def _http_error(_: Request[Any, Any, Any], exc: HTTPException) -> Response[Any]:
    """Litestar's own: unknown paths and methods, parameters that do not fit."""
    detail = exc.detail
    if isinstance(exc.extra, list) and exc.extra:
        detail = "; ".join(
            f"{item.get('key', '')}: {item.get('message', '')}" for item in exc.extra if isinstance(item, dict)
        )
    title = HTTPStatus(exc.status_code).phrase
    body = {"type": "about:blank", "title": title, "status": exc.status_code, "detail": detail}
    return Response(body, status_code=exc.status_code, media_type=PROBLEM_JSON.decode(), headers=exc.headers)


def _unexpected(request: Request[Any, Any, Any], exc: Exception) -> Response[Any]:
    log.error("unexpected error", path=request.scope["path"], exc_info=exc)
    body = {"type": "about:blank", "title": "Unexpected error", "status": 500, "detail": "see the collector's log"}
    return Response(body, status_code=500, media_type=PROBLEM_JSON.decode())
