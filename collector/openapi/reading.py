"""What Litestar does not know of the ordinary handlers: their answers in every media type, and samples."""

from typing import Any

from collector.messages.fields import NAME_MAX_CHARACTERS
from collector.openapi.answers import Answer, answers, problem
from collector.openapi.ingest import BASE, KEY, NDJSON, sample
from collector.openapi.schemas import ProblemDetails, ref
from collector.routes.analytics import Hours
from collector.routes.sessions import SessionMessage, SessionPage
from collector.routes.stats import StatsPage, StatsWindow
from collector.routes.streams import INGEST_ENDPOINTS, StreamState
from collector.times import LAST_MS

_WINDOW = {
    "time": "2026-01-01T12:05:00Z",
    "customer": "acme",
    "content": "film7",
    "cdn": 4500000,
    "p2p": 120000,
    "sessions": 1,
}
_CSV = "time,customer,content,cdn,p2p,sessions\n2026-01-01T12:05:00Z,acme,film7,4500000,120000,1\n"
_NEXT_LINK = {
    "Link": {
        "description": 'The next page, where there is one: `<?…>; rel="next"`.',
        "schema": {"type": "string"},
    }
}
_MESSAGE = {
    "time": "2026-01-01T12:00:00.5Z",
    "seq": 1,
    "version": "6.04",
    "cpu": 37.5,
    "event": "indexing",
    "phase": "begin",
    "properties": None,
}
_HOUR = "unique_users,1\nclicks,1\nimpressions,0\n"
_HOUR_ROW = {"hour": "2026-01-01T12:00:00Z", "unique_users": 1, "clicks": 1, "impressions": 0}
_HOURS_CSV = "hour,unique_users,clicks,impressions\n2026-01-01T12:00:00Z,1,1,0\n"
_TEXT = {"text/plain": {"schema": {"type": "string"}, "example": "ok\n"}}
_AWAY = problem(503, ProblemDetails, "The database is away.")
TIME = {
    "anyOf": [
        {"type": "string", "format": "date-time"},
        {"type": "string", "pattern": "^[0-9]{1,15}$"},
    ]
}


def formats(*names: str) -> dict[str, Any]:
    return {"schema": {"type": "string", "enum": list(names)}}


PARAMETERS: dict[tuple[str, str], dict[str, Any]] = {
    ("/stats", "format"): formats("json", "csv", "ndjson"),
    ("/sessions/{session}", "format"): formats("json", "ndjson", "html"),
    ("/analytics/range", "format"): formats("json", "csv"),
    ("/stats", "from"): {"schema": TIME, "example": "2026-01-01T12:00:00Z"},
    ("/stats", "to"): {"schema": TIME, "example": "1767268800000"},
    ("/sessions/{session}", "session"): {
        "description": "The session, percent-encoded where the URL wants it.",
        "schema": {"type": "string", "minLength": 1, "maxLength": NAME_MAX_CHARACTERS},
        "example": "5d31",
    },
    ("/sessions/{session}", "from"): {"schema": TIME, "example": "2026-01-01T12:00:00Z"},
    ("/sessions/{session}", "to"): {"schema": TIME, "example": "1767268800000"},
    ("/analytics", "timestamp"): {
        "schema": {"type": "integer", "minimum": 0, "maximum": LAST_MS},
        "example": 1767268800000,
    },
    ("/analytics/range", "from"): {"schema": TIME, "example": "2026-01-01T12:00:00Z"},
    ("/analytics/range", "to"): {"schema": TIME, "example": "1767268800000"},
    ("/streams/{key}", "key"): {
        "description": "The Idempotency-Key, percent-encoded where the URL wants it.",
        "schema": KEY,
        "example": "evening-1",
    },
    ("/streams/{key}", "endpoint"): {"schema": {"type": "string", "enum": list(INGEST_ENDPOINTS), "default": "/stats"}},
}
"""Of a parameter, by path and name: what takes the place of Litestar's words."""

ANSWERS: dict[str, dict[str, Any]] = {
    "/stats": answers(
        Answer(
            200,
            "Windows, newest first.",
            {
                "application/json": {"schema": ref(StatsPage), "example": {"rows": [_WINDOW], "next": None}},
                "text/csv": {"schema": {"type": "string"}, "example": _CSV},
                NDJSON: {
                    "schema": {"type": "string", "contentMediaType": NDJSON, "contentSchema": ref(StatsWindow)},
                },
            },
            _NEXT_LINK,
        ),
        problem(400, ProblemDetails, "A parameter is unknown, given twice, malformed or out of range."),
        _AWAY,
    ),
    "/sessions/{session}": answers(
        Answer(
            200,
            "Messages, oldest first.",
            {
                "application/json": {"schema": ref(SessionPage), "example": {"rows": [_MESSAGE], "next": None}},
                NDJSON: {
                    "schema": {"type": "string", "contentMediaType": NDJSON, "contentSchema": ref(SessionMessage)},
                },
                "text/html": {"schema": {"type": "string"}},
            },
            _NEXT_LINK,
        ),
        problem(400, ProblemDetails, "A parameter is unknown, given twice, malformed or out of range."),
        _AWAY,
    ),
    "/analytics": answers(
        Answer(200, "The hour, a line each.", {"text/plain": {"schema": {"type": "string"}, "example": _HOUR}}),
        problem(400, ProblemDetails, "The timestamp is missing, given twice, malformed or out of range."),
        _AWAY,
    ),
    "/analytics/range": answers(
        Answer(
            200,
            "Hours that have something, oldest first.",
            {
                "application/json": {"schema": ref(Hours), "example": {"rows": [_HOUR_ROW]}},
                "text/csv": {"schema": {"type": "string"}, "example": _HOURS_CSV},
            },
        ),
        problem(400, ProblemDetails, "A parameter is unknown, given twice or malformed, or there are too many hours."),
        _AWAY,
    ),
    "/streams/{key}": answers(
        Answer(
            200,
            "How far it is committed.",
            {
                "application/json": {
                    "schema": ref(StreamState),
                    "example": {"committed": 3, "rejected": 1, "complete": True},
                }
            },
        ),
        problem(400, ProblemDetails, "The key or a parameter is not valid."),
        problem(404, ProblemDetails, "No request with this key is known; keys are forgotten after a day."),
        _AWAY,
    ),
    "/health/live": answers(
        Answer(200, "The process answers, and does all that it should.", _TEXT),
        problem(
            503, ProblemDetails, "A defect has ended a part of it, which `detail` names; it is to be started anew."
        ),
    ),
    "/health/ready": answers(
        Answer(200, "Requests can be served.", _TEXT),
        problem(503, ProblemDetails, "Nothing should be sent here; `detail` says why."),
    ),
    "/metrics": answers(
        Answer(
            200,
            "Prometheus' text format.",
            {
                "text/plain": {
                    "schema": {"type": "string"},
                    "example": 'collector_stored_total{endpoint="/stats"} 3.0\n',
                }
            },
        )
    ),
}


def _get(label: str, target: str, options: str = "", answer: str = "") -> dict[str, str]:
    url = f"'{BASE}{target}'" if "?" in target or "&" in target else BASE + target
    return sample(label, f"curl -s {url}{options}", answer)


SAMPLES: dict[str, list[dict[str, str]]] = {
    "/stats": [
        _get(
            "One customer's newest windows",
            "/stats?customer=acme&limit=3",
            answer='{"rows":[{"time":"2026-01-01T12:05:00Z","customer":"acme","content":"film7","cdn":4500000,'
            '"p2p":120000,"sessions":1}],"next":null}',
        ),
        _get("As CSV", "/stats?customer=acme", " -H 'Accept: text/csv'", _CSV.rstrip()),
    ],
    "/sessions/{session}": [_get("A session", "/sessions/5d31")],
    "/analytics": [_get("An hour", "/analytics?timestamp=1767268800000")],
    "/analytics/range": [_get("A day, as CSV", "/analytics/range?from=2026-01-01T00:00:00Z", " -H 'Accept: text/csv'")],
    "/streams/{key}": [
        _get("After a cut", "/streams/evening-1", answer='{"committed":3,"rejected":1,"complete":true}')
    ],
    "/health/live": [_get("Ask", "/health/live", answer="ok")],
    "/health/ready": [_get("Ask", "/health/ready", answer="ok")],
    "/metrics": [_get("The balance", "/metrics", " | grep -E '^collector_(received|stored|rejected|repeated)_total'")],
}
