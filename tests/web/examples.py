"""A report and a session as the pages get them."""

import math
from datetime import UTC, datetime, timedelta
from typing import Any

from collector.report.model import Band, Condition, CpuPoint, CpuReport, Node, SessionCpu, WorstSession

SINCE = datetime(2026, 1, 1, 12, tzinfo=UTC)
HOSTILE = '</script><b onclick="x">\u202eevil\'"&amp;'


def worst(name: str = "desktop-7") -> WorstSession:
    return WorstSession(session=name, cpu=97.5, at=SINCE + timedelta(hours=3), href="/sessions/desktop-7?from=1&to=2")


def node(dimension: str = "version", value: Any = "6.04", *children: Node, **changes: Any) -> Node:
    given: dict[str, Any] = {
        "dimension": dimension,
        "op": "=",
        "value": value,
        "threshold": 30.0,
        "sessions": 1285,
        "hot": 1028,
        "outside_sessions": 2925,
        "outside_hot": 235,
        "share_inside": 0.8,
        "share_outside": 0.12,
        "risk_ratio": 6.6,
        "risk_ratio_low": 5.9,
        "covers": 0.81,
        "hot_time": 0.42,
        "all_time": 0.12,
        "q_value": 1e-12,
        "sentence": f"80% of them ran version {value} (12% of the others did)",
        "finding": f"{value} is at least 5.9 times as likely to run hot as the others, and covers 81 % of them.",
        "base_rate": "42 % of the hot time, against 12 % of all time.",
        "href": f"/reports/cpu?from=2026-01-01T12:00:00Z&to=2026-01-02T00:00:00Z&threshold=30&{dimension}={value}",
        "worst": [worst()],
        "children": list(children),
    }
    return Node(**{**given, **changes})


def report(**changes: Any) -> CpuReport:
    low = node("filename_length", 42, op=">", covers=0.98, share_inside=0.61, share_outside=0.02, threshold=80.0)
    inside = [
        node("event", "indexing", covers=0.62, share_inside=0.42, share_outside=0.09),
        node("event", "incoming_file", low, covers=0.2, share_inside=0.05, share_outside=0.01, threshold=80.0),
    ]
    given: dict[str, Any] = {
        "since": SINCE,
        "to": SINCE + timedelta(hours=12),
        "threshold": 30.0,
        "statistic": "max",
        "min_support": 0.05,
        "depth": 3,
        "filters": [],
        "sessions": 4210,
        "hot": 1263,
        "share": 0.3,
        "sentence": "Last 12 hours: 30% of 4,210 sessions had CPU over 30%.",
        "href": "/reports/cpu?from=2026-01-01T12:00:00Z&to=2026-01-02T00:00:00Z&threshold=30",
        "worst": [worst(), worst("desktop-9")],
        "tree": [node("version", "6.04", *inside), node("cores", 2, op="<=", covers=0.12, share_inside=0.4)],
    }
    return CpuReport(**{**given, **changes})


def filtered() -> CpuReport:
    filters = [Condition("version", "=", "6.04"), Condition("filename_length", ">", 42)]
    href = "/reports/cpu?from=2026-01-01T12:00:00Z&to=2026-01-02T00:00:00Z&threshold=30&min_support=0.1"
    return report(filters=filters, href=f"{href}&version=6.04&where=filename_length%3E42")


def session(name: str = "desktop-7", number: int = 400, **changes: Any) -> SessionCpu:
    found = [
        CpuPoint(SINCE + timedelta(seconds=20 * place), 25 + 30 * math.sin(place / 23) ** 2 + (place * 7919 % 17))
        for place in range(number)
    ]
    length = timedelta(seconds=20 * number)
    bands = [
        Band("login", SINCE, SINCE + length * 0.02, None),
        Band("indexing", SINCE + length * 0.02, SINCE + length * 0.2, '{"files": 812}'),
        Band("incoming_file", SINCE + length * 0.3, SINCE + length * 0.34, '{"filename_length": 90, "size": 120000}'),
        Band("incoming_file", SINCE + length * 0.5, SINCE + length * 0.55, '{"filename_length": 12, "size": 4000}'),
        Band("indexing", SINCE + length * 0.7, SINCE + length * 0.9, None),
    ]
    given: dict[str, Any] = {
        "session": name,
        "version": "6.04",
        "properties": '{"cores": 8, "os": "linux"}',
        "since": SINCE,
        "to": SINCE + length,
        "samples": number,
        "highest": max(found, key=lambda point: point.cpu, default=None),
        "points": found,
        "bands": bands,
        "bands_left_out": 0,
    }
    return SessionCpu(**{**given, **changes})
