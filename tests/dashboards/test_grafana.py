"""The stand-in for Grafana expands queries as Grafana does."""

from datetime import UTC, datetime

import pytest

from tests.dashboards.grafana import ALL, Choice, MacroError, Range, expanded

TIMES = Range(datetime(2026, 1, 1, 12, tzinfo=UTC), datetime(2026, 1, 1, 13, tzinfo=UTC))
FROM, TO = "'2026-01-01T12:00:00.000000Z'", "'2026-01-01T13:00:00.000000Z'"


@pytest.mark.parametrize(
    ("sql", "timescaledb", "plain"),
    [
        ("$__timeFilter(bucket)", f"bucket BETWEEN {FROM} AND {TO}", None),
        ("$__timeFrom() $__timeTo()", f"{FROM} {TO}", None),
        ("$__timeGroup(b, $__interval) x", "time_bucket('300.000s',b) x", "floor(extract(epoch from b)/300)*300 x"),
        ("$__timeGroup(b,'1h'), x", "time_bucket('3600.000s',b) AS \"time\", x", None),
        ("$__timeGroupAlias(b,1d)", "time_bucket('86400.000s',b) AS \"time\"", None),
        ("$__interval_ms ${__interval}", "300000 5m", None),
        ("x -- $__nothing()\n/* $__nothing() */ '--' \"/*\"", "x \n '--' \"/*\"", None),
        ("$__timeFilter(f(x))", f"f(x BETWEEN {FROM} AND {TO})", None),
        ("${typed:sqlstring}::float8 $typed", "'3''0'::float8 3'0", None),
        ("IN ($names) IN (${all})", "IN ('a','O''Neill') IN (names)", None),
    ],
)
def test_expansions(sql: str, timescaledb: str, plain: str | None) -> None:
    choices = {"names": Choice(["a", "O'Neill"]), "all": Choice([ALL], "names"), "typed": Choice([], None, "3'0")}
    assert expanded(sql, TIMES, choices, timescaledb=True) == timescaledb
    if plain is not None:
        assert expanded(sql, TIMES, choices, timescaledb=False) == plain


@pytest.mark.parametrize("sql", ["$__timeGroup(b)", "$__nothing(b)", "$__timeGroup(b, soon)"])
def test_what_grafana_refuses(sql: str) -> None:
    with pytest.raises(MacroError):
        expanded(sql, TIMES, {}, timescaledb=True)
