"""The OpenAPI 3.1 document: of ordinary handlers what Litestar knows, completed by what it cannot know; the raw ones by
hand. All schemas come from the Structs that decode and encode.
"""

from collections.abc import Sequence
from typing import Any

from litestar import Litestar
from litestar.di import Provide
from litestar.handlers import HTTPRouteHandler
from litestar.openapi import OpenAPIConfig

from collector import __version__
from collector.endpoints import KINDS
from collector.openapi import reading, reports
from collector.openapi.access import SCHEMES, shared_answers, with_access
from collector.openapi.ingest import operation
from collector.openapi.posts import POSTS, tag_of
from collector.openapi.schemas import components, one_line
from collector.report.model import Condition, CpuReport, Node, WorstSession
from collector.routes.analytics import Hour, Hours
from collector.routes.sessions import SessionMessage, SessionPage
from collector.routes.stats import StatsPage, StatsWindow
from collector.routes.streams import StreamState

PARAMETERS = reading.PARAMETERS | reports.PARAMETERS
ANSWERS = reading.ANSWERS | reports.ANSWERS
SAMPLES = reading.SAMPLES | reports.SAMPLES

DESCRIPTION = """
Devices send measurements; every one is stored before it is acknowledged, and read back as windows of 5 minutes, as
sessions, as hours or as a report.

Errors are problem documents (`application/problem+json`, RFC 9457): `detail` says what is wrong and where. Times are
epoch milliseconds or RFC 3339 with an offset; answers are in UTC.

Where the collector asks for API keys, send `Authorization: Bearer ck_…`. Keys with the scope `ingest` send measurements
and ask how far their own streams are; keys with the scope `read` read everything else. Without a key, or with one that
is not known: `401`; with one of the other scope: `403`; with one that has made more requests than it may: `429` and
`Retry-After`. Idempotency-Keys belong to the API key. `/health/live`, `/health/ready`, `/docs` and `/openapi.json` need
none.
"""
TAGS = [
    {"name": "stats", "description": "What players measure: bytes by customer and content, and started sessions."},
    {"name": "sessions", "description": "What clients do, and the CPU it takes."},
    {"name": "analytics", "description": "Clicks, impressions and unique users by hour."},
    *(
        {"name": tag, "description": f"{kind.message.__name__}: {one_line(kind.message.__doc__ or '')}"}
        for tag, kind in {tag_of(kind): kind for kind in KINDS}.items()
    ),
    {"name": "reports", "description": "What the measurements say, in sentences."},
    {"name": "streams", "description": "How far a stream is stored, to go on after a cut."},
    {"name": "health", "description": "For orchestrators and monitoring."},
]


def document(handlers: Sequence[HTTPRouteHandler]) -> dict[str, Any]:
    """The document, as JSON values; `handlers` are the ordinary ones."""
    paths: dict[str, dict[str, Any]] = {}
    for path, methods in _known_to_litestar(handlers).items():
        paths[path] = {method: _completed(path, operation) for method, operation in methods.items()}
    for post in POSTS:
        path = post.endpoint.path
        paths[path] = {"post": operation(post), **paths.get(path, {})}
    for path, methods in paths.items():
        paths[path] = {method: with_access(method, path, found) for method, found in methods.items()}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "collector",
            "version": __version__,
            "summary": "Measurements in, 5-minute windows out.",
            "description": DESCRIPTION.strip(),
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{"url": "/"}],
        "tags": TAGS,
        "paths": paths,
        "components": {
            "securitySchemes": SCHEMES,
            "responses": shared_answers(),
            "schemas": components(
                *(post.struct for post in POSTS),
                StatsPage,
                StatsWindow,
                StreamState,
                SessionPage,
                SessionMessage,
                Hours,
                Hour,
                CpuReport,
                Node,
                Condition,
                WorstSession,
            ),
        },
    }


def _known_to_litestar(handlers: Sequence[HTTPRouteHandler]) -> dict[str, dict[str, Any]]:
    """The paths of an application that is only described: one that is served would get Litestar's own pages with them,
    which load scripts from elsewhere.
    """
    described = Litestar(
        route_handlers=list(handlers),
        dependencies={"service": Provide(lambda: None, sync_to_thread=False)},
        openapi_config=OpenAPIConfig(title="collector", version=__version__, use_handler_docstrings=True),
        logging_config=None,
    )
    paths: dict[str, dict[str, Any]] = described.openapi_schema.to_schema()["paths"]
    return paths


def _completed(path: str, operation: dict[str, Any]) -> dict[str, Any]:
    """The operation, without what says nothing, and with what Litestar does not know."""
    kept = {name: operation[name] for name in ("tags", "operationId", "summary")}
    kept["description"] = one_line(operation["description"])
    if "parameters" in operation:
        kept["parameters"] = [_parameter(path, parameter) for parameter in operation["parameters"]]
        kept["parameters"].sort(key=lambda parameter: parameter["in"] != "path")
    return {**kept, "responses": ANSWERS[path], "x-codeSamples": SAMPLES[path]}


def _parameter(path: str, parameter: dict[str, Any]) -> dict[str, Any]:
    schema = {name: value for name, value in parameter["schema"].items() if name != "description"}
    alternatives = [each for each in schema.get("oneOf", []) if each != {"type": "null"}]
    if len(alternatives) == 1:
        schema = alternatives[0]  # a parameter that is absent, which `required` says already
    for bound in ("minimum", "maximum"):
        if bound in schema:
            schema[bound] = int(schema[bound])  # Litestar has floats
    kept = {name: parameter[name] for name in ("name", "in", "required")}
    described = {"description": parameter["description"]} if "description" in parameter else {}
    return {**kept, **described, "schema": schema, **PARAMETERS.get((path, parameter["name"]), {})}
