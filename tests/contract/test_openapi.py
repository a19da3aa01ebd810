"""The OpenAPI document against the application: every answer it describes can be had and is what it says, and nothing
else is there.
"""

import gzip
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]
from openapi_spec_validator import OpenAPIV31SpecValidator

from collector import background
from collector.commands.keyring import create
from collector.database.chosen import Database
from collector.endpoints import ENDPOINTS, KINDS, Endpoint
from collector.errors import BadRequest
from collector.messages.kind import Kind
from collector.messages.payload import DECODER, Payload
from collector.openapi.schemas import components
from tests.contract.driver import BEGIN_S, NDJSON, PROBLEM, Answer, App, payload, running, unique
from tests.harness.engines import Engine
from tests.strategies import encoded

Documented = tuple[str, str, int, str]
"""Method, path, status and media type."""
Provoke = Callable[[App], Answer]

JSON = "application/json"
NOWHERE = "postgresql://127.0.0.1:1/nothing"


@pytest.fixture(scope="module")
def best_app(best_engine: Engine) -> Iterator[App]:
    with best_engine.database() as url, running(url) as app:
        yield app


@pytest.fixture(scope="module")
def document(best_app: App) -> dict[str, Any]:
    answer = best_app.get("/openapi.json")
    assert answer.status == 200
    assert answer.media_type == JSON
    found: dict[str, Any] = answer.json()
    return found


def schema_validator(document: dict[str, Any], schema: dict[str, Any]) -> Any:
    """References in a schema go into the document."""
    return Draft202012Validator({**schema, "components": document["components"]})


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield method.upper(), path, operation


def test_it_is_valid_openapi(document: dict[str, Any]) -> None:
    OpenAPIV31SpecValidator(document).validate()
    for schema in document["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)


def test_it_has_every_endpoint_and_no_other(best_app: App, document: dict[str, Any]) -> None:
    described = {(method, path) for method, path, _ in operations(document)}
    of_itself = {("GET", "/"), ("GET", "/docs"), ("GET", "/openapi.json")}
    served = {
        (method, route.path_format) for route in best_app.application.routes for method in route.methods - {"OPTIONS"}
    } | {("POST", endpoint.path) for endpoint in ENDPOINTS}
    assert described | of_itself == served


def test_every_operation_says_everything(document: dict[str, Any]) -> None:
    ids = []
    for _, _, operation in operations(document):
        assert operation["summary"]
        assert operation["description"]
        assert {tag["name"] for tag in document["tags"]} >= set(operation["tags"])
        assert operation["x-codeSamples"]
        assert all(parameter.get("description") for parameter in operation.get("parameters", []))
        ids.append(operation["operationId"])
    assert len(ids) == len(set(ids))
    for schema in document["components"]["schemas"].values():
        assert schema["description"]


def test_parameters_of_get_stats_are_those_it_takes(best_app: App, document: dict[str, Any]) -> None:
    """An unknown one is told, with the names of those that are known."""
    described = {parameter["name"] for parameter in document["paths"]["/stats"]["get"]["parameters"]}
    detail = best_app.get("/stats", nonsense="1").problem(400)["detail"]
    assert set(detail.partition("known are ")[2].split(", ")) == described


# Every answer that is described, and how to have it


def _session(app: App, accept: str | None) -> Answer:
    session = unique("openapi")
    app.stream([b'{"session":"%b","cpu":1,"properties":{"a":1}}' % session.encode()], path="/sessions")
    answer = app.get(f"/sessions/{session}", accept)
    assert b"cpu" in answer.body
    return answer


def _report(app: App, accept: str | None) -> Answer:
    version = unique("v").encode()
    hot = [b'{"session":"%b/%d","version":"%b","cpu":%d}' % (version, n, version, n) for n in range(99)]
    app.stream(hot, path="/sessions")
    app.stream([b'{"session":"quiet/%d","version":"1","cpu":1}' % n for n in range(99)], path="/sessions")
    answer = app.get("/reports/cpu", accept)
    assert version in answer.body
    return answer


def _hours(app: App, accept: str | None) -> Answer:
    _post(app, "/analytics")
    answer = app.get("/analytics/range", accept)
    assert b"1970" in answer.body
    return answer


def _known_stream(app: App) -> Answer:
    key = unique("openapi")
    _lines(app, "/stats", key)
    return app.get(f"/streams/{key}")


def _with_a_window(app: App, accept: str | None) -> Answer:
    customer = unique("openapi")
    app.single(payload(customer))
    answer = app.get("/stats", accept, customer=customer)
    assert b"film" in answer.body
    return answer


def _example(kind: Kind, number: int) -> bytes:
    return msgspec.json.encode(kind.examples[number % len(kind.examples)])


LINE: dict[str, Callable[[int], bytes]] = {
    "/stats": lambda number: encoded(payload(unique("openapi"), number)),
    "/payloads": lambda number: encoded(payload(unique("openapi"), number)),
    "/sessions": lambda number: b'{"session":"openapi","cpu":%d}' % number,
    "/sessions/logs": lambda number: b'{"session":"openapi","seq":%d,"time":%d}' % (number, int(BEGIN_S * 1000)),
    "/analytics": lambda number: b'{"timestamp":1,"user":"openapi","kind":"click"}',
    **{kind.path: partial(_example, kind) for kind in KINDS},
}
"""A message of each endpoint."""


def _post(app: App, path: str, number: int = 1, **options: Any) -> Answer:
    """A single message."""
    if path == "/analytics":
        query = b"timestamp=%d&user=openapi&click" % number
        headers = {} if "key" not in options else {"Idempotency-Key": options["key"]}
        return app.request("POST", path, query=query, headers=headers)
    return app.post(LINE[path](number), path=path, **options)


def _lines(app: App, path: str, key: str | None = None, **options: Any) -> Answer:
    return app.stream([LINE[path](1), b"oops", LINE[path](2)], path=path, key=key, **options)


def _reused(app: App, path: str) -> Answer:
    key = unique("openapi")
    _post(app, path, 1, key=key)
    return _post(app, path, 2, key=key)


def provoked(endpoint: Endpoint) -> list[tuple[Documented, str, Provoke]]:
    """What every POST of measurements answers."""
    path, status = endpoint.path, endpoint.lines_status
    broken = gzip.compress(b"{}\n")[:-9]
    single = (
        []
        if endpoint.status == status
        else [(("POST", path, endpoint.status, ""), "single", partial(_post, path=path))]
    )
    return [
        *single,
        (("POST", path, status, JSON), "summary", partial(_lines, path=path)),
        (("POST", path, 200, NDJSON), "receipts", partial(_lines, path=path, accept=NDJSON)),
        (
            ("POST", path, 200, NDJSON),
            "receipts and a problem",
            lambda app: app.post(broken, NDJSON, path=path, accept=NDJSON, content_encoding="gzip"),
        ),
        (("POST", path, 400, PROBLEM), "single", lambda app: app.post(b"{}", path=path)),
        (("POST", path, 400, PROBLEM), "lines", lambda app: app.stream([b"oops"], path=path)),
        (("POST", path, 400, PROBLEM), "key", partial(_post, path=path, key="ä")),
        (("POST", path, 409, PROBLEM), "offset", lambda app: _lines(app, path, unique("openapi"), stream_offset=7)),
        (("POST", path, 413, PROBLEM), "long", lambda app: app.post(b" " * 70_000, path=path, content_length=70_000)),
        (
            ("POST", path, 415, PROBLEM),
            "encoding",
            lambda app: app.post(b"{}", NDJSON, path=path, content_encoding="br"),
        ),
        (("POST", path, 422, PROBLEM), "reused", partial(_reused, path=path)),
    ]


def _without_a_part(app: App) -> Answer:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(background, "_ended", ["the sweeper"])
        return app.get("/health/live")


PROVOKED: list[tuple[Documented, str, Provoke]] = [
    *(each for endpoint in ENDPOINTS for each in provoked(endpoint)),
    (("POST", "/stats", 415, PROBLEM), "type", lambda app: app.post(b"a,b", "text/csv")),
    (("GET", "/stats", 200, JSON), "JSON", lambda app: _with_a_window(app, None)),
    (("GET", "/stats", 200, "text/csv"), "CSV", lambda app: _with_a_window(app, "text/csv")),
    (("GET", "/stats", 200, NDJSON), "lines", lambda app: _with_a_window(app, NDJSON)),
    (("GET", "/stats", 400, PROBLEM), "limit", lambda app: app.get("/stats", limit="many")),
    (("GET", "/stats", 400, PROBLEM), "time", lambda app: app.get("/stats", to="yesterday")),
    (("GET", "/sessions/{session}", 200, JSON), "JSON", lambda app: _session(app, None)),
    (("GET", "/sessions/{session}", 200, NDJSON), "lines", lambda app: _session(app, NDJSON)),
    (("GET", "/sessions/{session}", 200, "text/html"), "page", lambda app: _session(app, "text/html")),
    (("GET", "/sessions/{session}", 400, PROBLEM), "limit", lambda app: app.get("/sessions/a", limit="many")),
    (("GET", "/analytics", 200, "text/plain"), "hour", lambda app: app.get("/analytics", timestamp=1)),
    (("GET", "/analytics", 400, PROBLEM), "time", lambda app: app.get("/analytics", timestamp="now")),
    (("GET", "/analytics/range", 200, JSON), "JSON", lambda app: _hours(app, None)),
    (("GET", "/analytics/range", 200, "text/csv"), "CSV", lambda app: _hours(app, "text/csv")),
    (("GET", "/analytics/range", 400, PROBLEM), "time", lambda app: app.get("/analytics/range", to="yesterday")),
    (("GET", "/reports/cpu", 200, JSON), "JSON", lambda app: _report(app, None)),
    (("GET", "/reports/cpu", 200, "text/plain"), "sentences", lambda app: _report(app, "text/plain")),
    (("GET", "/reports/cpu", 200, "text/html"), "page", lambda app: _report(app, "text/html")),
    (("GET", "/reports/cpu", 400, PROBLEM), "hours", lambda app: app.get("/reports/cpu", hours="many")),
    (("GET", "/streams/{key}", 200, JSON), "known", _known_stream),
    (("GET", "/streams/{key}", 400, PROBLEM), "endpoint", lambda app: app.get("/streams/a", endpoint="/nowhere")),
    (("GET", "/streams/{key}", 404, PROBLEM), "unknown", lambda app: app.get("/streams/never-seen")),
    (("GET", "/health/live", 200, "text/plain"), "alive", lambda app: app.get("/health/live")),
    (("GET", "/health/ready", 200, "text/plain"), "ready", lambda app: app.get("/health/ready")),
    (("GET", "/metrics", 200, "text/plain"), "metrics", lambda app: app.get("/metrics")),
    (("GET", "/health/live", 503, PROBLEM), "not alive", _without_a_part),
]
AWAY: list[tuple[Documented, str, Provoke]] = [
    *((("POST", endpoint.path, 503, PROBLEM), "single", partial(_post, path=endpoint.path)) for endpoint in ENDPOINTS),
    (("POST", "/stats", 503, PROBLEM), "keyed lines", lambda app: _lines(app, "/stats", "away")),
    (("GET", "/sessions/{session}", 503, PROBLEM), "session", lambda app: app.get("/sessions/a")),
    (("GET", "/analytics", 503, PROBLEM), "hour", lambda app: app.get("/analytics", timestamp=1)),
    (("GET", "/analytics/range", 503, PROBLEM), "hours", lambda app: app.get("/analytics/range")),
    (("GET", "/reports/cpu", 503, PROBLEM), "report", lambda app: app.get("/reports/cpu")),
    (("GET", "/stats", 503, PROBLEM), "stats", lambda app: app.get("/stats")),
    (("GET", "/streams/{key}", 503, PROBLEM), "stream", lambda app: app.get("/streams/a")),
    (("GET", "/health/ready", 503, PROBLEM), "unready", lambda app: app.get("/health/ready")),
]


def test_every_answer_described_is_provoked_below(document: dict[str, Any]) -> None:
    described = {
        (method, path, int(status), media_type)
        for method, path, operation in operations(document)
        for status, answer in operation["responses"].items()
        if "$ref" not in answer
        for media_type in answer.get("content", {"": None})
    }
    assert described == {documented for documented, _, _ in PROVOKED + AWAY}


SHARED = {"401", "403", "408", "429", "431"}
SAMPLE_PATHS = {"/sessions/{session}": "/sessions/a", "/streams/{key}": "/streams/a"}


def test_shared_answers_are_as_described(document: dict[str, Any], best_engine: Engine) -> None:
    """Of who does not let a request in, for every operation that names them; and those that need no key give none."""
    tried = []
    with best_engine.database() as url, running(url, api_keys="on", line_s=0.2) as app:
        keys = {scope: create(Database(url), scope, scope, None).key for scope in ("ingest", "read")}
        slow = {scope: create(Database(url), f"slow {scope}", scope, 1e-3).key for scope in ("ingest", "read")}
        for method, path, operation in operations(document):
            shared = {
                status: resolved(document, answer)
                for status, answer in operation["responses"].items()
                if "$ref" in answer
            }
            assert shared.keys() <= SHARED
            for status, described in shared.items():
                answer = provoke_shared(app, method, SAMPLE_PATHS.get(path, path), status, keys, slow)
                assert (answer.status, answer.media_type) == (int(status), PROBLEM), (method, path, answer)
                schema = described["content"][PROBLEM]["schema"]
                schema_validator(document, schema).validate(answer.json())
                assert {name.lower() for name in described.get("headers", {})} <= answer.headers.keys()
                tried.append(status)
            if "401" not in shared:
                assert app.request(method, path).status == 200
    assert set(tried) == SHARED


def resolved(document: dict[str, Any], answer: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = document["components"]["responses"][answer["$ref"].rpartition("/")[2]]
    return found


def provoke_shared(app: App, method: str, path: str, status: str, keys: dict[str, str], slow: dict[str, str]) -> Answer:
    """Have the answer of who does not let the request in."""
    needed = "ingest" if method == "POST" or path.startswith("/streams/") else "read"
    other = "read" if needed == "ingest" else "ingest"

    def ask(key: str | None = None, **options: Any) -> Answer:
        given = {} if key is None else {"Authorization": f"Bearer {key}"}
        return app.request(method, path, headers={**given, **options.pop("headers", {})}, **options)

    if status == "401":
        assert ask().headers["www-authenticate"] == 'Bearer realm="collector"'
        return ask(keys[needed][:-1] + "!")
    if status == "403":
        return ask(keys[other])
    if status == "431":
        return ask(keys[needed], headers={"X-More": "x" * 40_000})
    if status == "408":
        return ask(keys[needed], headers={"Content-Type": NDJSON}, chunks=[b"half a li"], stall=True)
    ask(slow[needed], headers={"Content-Type": "a"})
    return ask(slow[needed])


def check(document: dict[str, Any], documented: Documented, answer: Answer) -> None:
    """The answer is one that the document describes."""
    method, path, status, media_type = documented
    assert (answer.status, answer.media_type) == (status, media_type), answer.body
    described = document["paths"][path][method.lower()]["responses"][str(status)]
    if not answer.body:
        assert "content" not in described
        return
    schema = described["content"][media_type]["schema"]
    if "contentSchema" in schema:
        validator = schema_validator(document, schema["contentSchema"])
        for line in answer.lines():
            validator.validate(line)
    elif schema == {"type": "string"}:
        assert answer.media_type.startswith("text/")
    else:
        schema_validator(document, schema).validate(answer.json())
    if status == 503:
        assert int(answer.headers["retry-after"]) >= 1


@pytest.mark.parametrize(
    ("documented", "provoke"),
    [pytest.param(documented, provoke, id=f"{documented} {name}") for documented, name, provoke in PROVOKED],
)
def test_an_answer_is_as_described(
    best_app: App, document: dict[str, Any], documented: Documented, provoke: Provoke
) -> None:
    check(document, documented, provoke(best_app))


def test_answers_while_the_database_is_away(document: dict[str, Any]) -> None:
    # Each of them waits for a connection, so all of them at once.
    with running(NOWHERE, single_wait_s=0.2) as app, ThreadPoolExecutor() as threads:
        answers = list(threads.map(lambda each: each[2](app), AWAY))
    for (documented, _, _), answer in zip(AWAY, answers, strict=True):
        check(document, documented, answer)


# Schemas and examples


def test_examples_fit_their_schemas(document: dict[str, Any]) -> None:
    checked = 0
    for _, _, operation in operations(document):
        contents = [answer.get("content", {}) for answer in operation["responses"].values()]
        contents.append(operation.get("requestBody", {}).get("content", {}))
        for content in contents:
            for described in content.values():
                if "example" in described:
                    checked += _check_example(document, described["schema"], described["example"])
        for parameter in operation.get("parameters", []):
            if "example" in parameter:
                schema_validator(document, parameter["schema"]).validate(parameter["example"])
    assert checked >= 6


def _check_example(document: dict[str, Any], schema: dict[str, Any], example: Any) -> int:
    schema_validator(document, schema).validate(example)
    if "contentSchema" in schema:
        lines = [msgspec.json.decode(line) for line in example.splitlines()]
        for line in lines:
            schema_validator(document, schema["contentSchema"]).validate(line)
        return len(lines)
    return 1


def test_example_bodies_are_accepted(app: App, document: dict[str, Any]) -> None:
    """On each engine."""
    app.clock.advance(13 * 3600)  # the examples' times are of noon
    for endpoint in ENDPOINTS:
        operation = document["paths"][endpoint.path]["post"]
        for media_type, described in operation["requestBody"]["content"].items():
            example = described["example"]
            body = example.encode() if isinstance(example, str) else msgspec.json.encode(example)
            answer = app.post(body, media_type, path=endpoint.path)
            if media_type == "application/json" and endpoint.status == 204:
                assert answer.status == endpoint.status, answer.body
            elif media_type != "application/json":
                assert answer.status == endpoint.lines_status
                assert answer.json()["accepted"] == body.count(b"\n"), answer.body


VALID: dict[str, Any] = msgspec.json.decode(encoded(payload("openapi")))
names = st.text(max_size=3) | st.sampled_from(["a" * 256, "ä" * 256, "a" * 257, "a\0b", ""]) | st.none()
amounts = st.sampled_from([0, 1, -1, 2**63 - 1, 2**63, 1.5, "1", None, True])


@given(
    st.fixed_dictionaries(
        {},
        optional={
            **dict.fromkeys(("token", "customer", "content"), names),
            **dict.fromkeys(("timespan", "p2p", "cdn", "sessionDuration"), amounts),
        },
    )
    | st.builds(lambda name, amount: {**VALID, "token": name, "cdn": amount}, names, amounts)
)
def test_the_schema_of_a_payload_says_what_is_taken(fields: dict[str, Any]) -> None:
    """The schema and the decoder agree on every document, at the edges above all."""
    try:
        DECODER.single(msgspec.json.encode(fields))
        taken = True
    except BadRequest:
        taken = False
    schemas = components(Payload)
    assert Draft202012Validator(schemas[Payload.__name__]).is_valid(fields) == taken


# Methods


def test_get_stats_has_a_head_without_a_body(best_app: App) -> None:
    for path in ("/stats", "/health/live", "/docs", "/openapi.json", "/metrics"):
        answer = best_app.request("HEAD", path)
        assert (answer.status, answer.body) == (200, b"")
        assert int(answer.headers["content-length"]) > 0
    unknown = best_app.request("HEAD", "/nowhere")
    assert (unknown.status, unknown.body) == (404, b"")


@pytest.mark.parametrize(
    ("path", "methods"),
    [("/stats", {"GET", "HEAD", "OPTIONS", "POST"}), ("/health/live", {"GET", "HEAD", "OPTIONS"})],
)
def test_allow_names_every_method(best_app: App, path: str, methods: set[str]) -> None:
    options = best_app.request("OPTIONS", path)
    assert options.status == 204
    refused = best_app.request("DELETE", path)
    refused.problem(405)
    for answer in (options, refused):
        assert set(answer.headers["allow"].split(", ")) == methods


@pytest.mark.parametrize("path", ["/schema", "/schema/swagger", "/schema/openapi.json", "/schema/redoc"])
def test_pages_of_the_framework_are_not_there(best_app: App, path: str) -> None:
    best_app.get(path).problem(404)
