"""What Litestar does not know of GET /reports/cpu: its parameters, its answers in every media type, and samples."""

from typing import Any

from collector.openapi.answers import Answer, answers, problem
from collector.openapi.ingest import BASE, sample
from collector.openapi.reading import TIME, formats
from collector.openapi.schemas import ProblemDetails, ref
from collector.report.model import CpuReport
from collector.report.question import LOWEST_MIN_SUPPORT, MAX_CHARACTERS, MAX_DEPTH, MAX_HOURS, MAX_THRESHOLD, USUAL

PATH = "/reports/cpu"

_NAME = {"type": "string", "minLength": 1, "maxLength": MAX_CHARACTERS}

PARAMETERS: dict[tuple[str, str], dict[str, Any]] = {
    (PATH, "format"): formats("json", "text", "html"),
    (PATH, "hours"): {
        "schema": {"type": "number", "exclusiveMinimum": 0, "maximum": MAX_HOURS, "default": USUAL.hours},
    },
    (PATH, "from"): {"schema": TIME, "example": "2026-01-01T00:00:00Z"},
    (PATH, "to"): {"schema": TIME, "example": "2026-01-01T12:00:00Z"},
    (PATH, "threshold"): {
        "schema": {"type": "number", "minimum": 0, "maximum": MAX_THRESHOLD, "default": USUAL.threshold},
        "example": 50,
    },
    (PATH, "statistic"): {"schema": {"type": "string", "enum": ["max", "mean", "p95"], "default": USUAL.statistic}},
    (PATH, "min_support"): {
        "schema": {"type": "number", "minimum": LOWEST_MIN_SUPPORT, "maximum": 1, "default": USUAL.min_support},
        "example": 0.1,
    },
    (PATH, "depth"): {
        "schema": {"type": "integer", "minimum": 1, "maximum": MAX_DEPTH, "default": USUAL.depth},
        "example": 2,
    },
    (PATH, "version"): {"schema": _NAME, "example": "6.04"},
    (PATH, "event"): {"schema": _NAME, "example": "indexing"},
    (PATH, "where"): {
        "description": "Only what fulfils this, too: a key of `properties`, then `=`, `>` or `<=`, then the value. It "
        "may come several times. A key that has one of these characters is a JSON string, in quotes.",
        "schema": {"type": "array", "items": _NAME},
        "style": "form",
        "explode": True,
        "example": ["filename_length>42"],
    },
}

_WORST = {
    "session": "5d31",
    "cpu": 88.5,
    "at": "2026-01-01T03:12:40.25Z",
    "href": "/sessions/5d31?from=2026-01-01T02:42:40Z&to=2026-01-01T03:47:40Z",
}
_HREF = "/reports/cpu?from=2026-01-01T00:00:00Z&to=2026-01-01T12:00:00Z&threshold=30"
_NODE = {
    "dimension": "version",
    "op": "=",
    "value": "6.04",
    "threshold": 30.0,
    "sessions": 1620,
    "hot": 1010,
    "outside_sessions": 2590,
    "outside_hot": 253,
    "share_inside": 0.6234567901234568,
    "share_outside": 0.09768339768339769,
    "risk_ratio": 6.382417,
    "risk_ratio_low": 5.651203,
    "covers": 0.7996832937450515,
    "hot_time": 0.91,
    "all_time": 0.385,
    "q_value": 1e-12,
    "sentence": "80% of them ran version 6.04 (21% of the others did)",
    "finding": "6.04 is at least 5.6 times as likely to run hot as the others, and covers 80% of the hot sessions.",
    "base_rate": "91% of the hot time was with version 6.04, against 38% of all time.",
    "href": f"{_HREF}&version=6.04",
    "worst": [_WORST],
    "children": [],
}
_REPORT = {
    "from": "2026-01-01T00:00:00Z",
    "to": "2026-01-01T12:00:00Z",
    "threshold": 30.0,
    "statistic": "max",
    "min_support": 0.05,
    "depth": 3,
    "filters": [],
    "sessions": 4210,
    "hot": 1263,
    "share": 0.3,
    "sentence": "2026-01-01 00:00 to 12:00 UTC: 30% of 4,210 sessions had CPU over 30%.",
    "href": _HREF,
    "worst": [_WORST],
    "answer": [[{"dimension": "version", "op": "=", "value": "6.04"}]],
    "tree": [_NODE],
}
_TEXT = """\
Last 12 hours: 30% of 4,210 sessions had CPU over 30%.
└ 80% of them ran version 6.04 (21% of the others did)
  └ 42% were over 30% while indexing
"""

ANSWERS: dict[str, dict[str, Any]] = {
    PATH: answers(
        Answer(
            200,
            "The report.",
            {
                "application/json": {"schema": ref(CpuReport), "example": _REPORT},
                "text/plain": {"schema": {"type": "string"}, "example": _TEXT},
                "text/html": {"schema": {"type": "string"}},
            },
        ),
        problem(400, ProblemDetails, "A parameter is unknown, given twice, malformed or out of range."),
        problem(503, ProblemDetails, "The database is away, or so much has come in that it is not added up yet."),
    )
}

SAMPLES: dict[str, list[dict[str, str]]] = {
    PATH: [
        sample("The last 12 hours, as sentences", f"curl -s {BASE}{PATH} -H 'Accept: text/plain'"),
        sample("One version, while it indexes", f"curl -s '{BASE}{PATH}?hours=24&version=6.04&event=indexing'"),
    ]
}
