"""Every panel's query, as Grafana sends it and as the role that may only read: it runs, its times are sorted, there are
rows, and what they add up to is what was stored.
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import psycopg
import pytest

from dashboards.model import Dashboard, Panel, Target, Variable
from dashboards.written import DASHBOARDS
from tests.dashboards.conftest import WINDOW_S, Filled, add_up_cpu
from tests.dashboards.grafana import Choice, Range, everything, expanded, last
from tests.harness.engines import Engine

OF_DATABASE = [each for each in DASHBOARDS if any(target.raw_sql for panel in each.panels for target in panel.targets)]
QUERIES = [
    pytest.param(dashboard, panel, target, id=f"{dashboard.title}: {panel.title}")
    for dashboard in OF_DATABASE
    for panel in dashboard.panels
    for target in panel.targets
]
INTERVALS_S = (300, 3600, 86_400)


def switches(filled: Filled) -> tuple[bool, ...]:
    """What the data source's TimescaleDB switch may be on this engine."""
    return (True, False) if filled.engine.has_timescaledb else (False,)


def run(
    filled: Filled, sql: str, choices: Mapping[str, Choice], *, times: Range | None = None, timescaledb: bool
) -> "Table":
    text = expanded(sql, times or filled.times, choices, timescaledb=timescaledb)
    cursor = filled.reader.execute(text.encode())
    assert cursor.description is not None
    return Table([column.name for column in cursor.description], cursor.fetchall())


class Table(msgspec.Struct):
    """An answer."""

    columns: list[str]
    rows: list[tuple[Any, ...]]

    def column(self, name: str) -> list[Any]:
        at = self.columns.index(name)
        return [row[at] for row in self.rows]


@pytest.mark.parametrize(("dashboard", "panel", "target"), QUERIES)
def test_a_query_runs(filled: Filled, dashboard: Dashboard, panel: Panel, target: Target) -> None:
    assert target.raw_sql is not None
    for timescaledb in switches(filled):
        for interval_s in INTERVALS_S:
            times = msgspec.structs.replace(filled.times, interval_s=interval_s)
            found = run(filled, target.raw_sql, everything(dashboard), times=times, timescaledb=timescaledb)
            assert found.rows
            assert len(set(found.columns)) == len(found.columns)
            if target.format == "time_series":
                _is_series(found, times)


def _is_series(found: Table, times: Range) -> None:
    """As Grafana wants it: sorted times, numbers beside them, and at most one text that names the series."""
    moments = [_epoch(value) for value in found.column("time")]
    assert moments == sorted(moments)
    assert times.since.timestamp() - times.interval_s <= moments[0] <= moments[-1] <= times.until.timestamp() + 3600
    texts = {name for name in found.columns if any(isinstance(value, str) for value in found.column(name))}
    assert texts <= {"metric"}
    for name in set(found.columns) - texts - {"time"}:
        assert all(value is None or float(value) >= 0 for value in found.column(name)), name
    names = found.column("metric") if texts else [""] * len(moments)
    assert len(set(zip(moments, names, strict=True))) == len(moments), "a series has one value for a time"


def _epoch(value: Any) -> float:
    return value.timestamp() if isinstance(value, datetime) else float(value)


@pytest.mark.parametrize(("dashboard", "panel", "target"), QUERIES)
def test_a_query_without_data_is_empty(filled: Filled, dashboard: Dashboard, panel: Panel, target: Target) -> None:
    assert target.raw_sql is not None
    long_ago = Range(datetime.fromisoformat("2001-01-01T00:00:00Z"), datetime.fromisoformat("2001-01-02T00:00:00Z"))
    for timescaledb in switches(filled):
        assert not run(filled, target.raw_sql, everything(dashboard), times=long_ago, timescaledb=timescaledb).rows


@pytest.mark.parametrize("dashboard", OF_DATABASE, ids=lambda each: each.title)
def test_choices_are_those_there_are(filled: Filled, dashboard: Dashboard) -> None:
    listed = [each for each in dashboard.templating["list"] if each.type == "query"]
    for variable in listed:
        names = run(filled, variable.query, everything(dashboard), timescaledb=False).column(variable.name)
        assert names == sorted(names)
        assert names == _stored(filled, variable)


def _stored(filled: Filled, variable: Variable) -> list[object]:
    table = "session_message" if variable.name == "version" else "payload"
    rows = filled.truth.execute(f"SELECT DISTINCT {variable.name} FROM {table} ORDER BY 1".encode()).fetchall()
    return [name for (name,) in rows]


def panel_of(title: str, dashboard: str, kind: str) -> tuple[Dashboard, str]:
    (found,) = [
        (each, panel.targets[0].raw_sql)
        for each in DASHBOARDS
        for panel in each.panels
        if (each.title, panel.title, panel.type) == (dashboard, title, kind)
    ]
    assert found[1] is not None
    return found[0], found[1]


def value(filled: Filled, sql: str, *parameters: object) -> Any:
    row = filled.truth.execute(sql.encode(), parameters).fetchone()
    assert row is not None
    return row[0]


def test_numbers_are_those_stored(filled: Filled) -> None:
    for timescaledb in switches(filled):
        for title, column, wanted in (
            ("Delivered", "bytes", "sum(cdn + p2p)"),
            ("Started sessions", "sessions", "count(*) FILTER (WHERE started)"),
        ):
            dashboard, sql = panel_of(title, "Streaming", "stat")
            found = run(filled, sql, everything(dashboard), timescaledb=timescaledb)
            assert sum(found.column(column)) == value(filled, f"SELECT {wanted} FROM payload")
    dashboard, sql = panel_of("P2P share", "Streaming", "stat")
    (share,) = run(filled, sql, everything(dashboard), timescaledb=False).column("share")
    assert float(share) == pytest.approx(float(value(filled, "SELECT sum(p2p) / sum(cdn + p2p) FROM payload")))
    for title, column in (("Clicks", "clicks"), ("Impressions", "impressions")):
        dashboard, sql = panel_of(title, "Audience", "stat")
        found = run(filled, sql, everything(dashboard), timescaledb=False)
        kind = column.removesuffix("s")
        in_range = "date_trunc('hour', time, 'UTC') BETWEEN %s AND %s"
        times = filled.times.since, filled.times.until
        assert sum(found.column(column)) == value(
            filled, f"SELECT count(*) FROM hit WHERE kind = %s AND {in_range}", kind, *times
        )


def test_a_rate_is_bits_a_second(filled: Filled) -> None:
    """Of a whole interval; of the first one, over what of it is in the range; of the newest, over what has passed."""
    dashboard, sql = panel_of("Traffic by source", "Streaming", "timeseries")
    for timescaledb in switches(filled):
        times = msgspec.structs.replace(filled.times, interval_s=3600)
        found = run(filled, sql, everything(dashboard), times=times, timescaledb=timescaledb)
        for at, rate in zip(found.column("time"), found.column("CDN"), strict=True):
            if _epoch(at) + 7200 < times.until.timestamp():
                wanted = value(
                    filled,
                    "SELECT 8 * sum(cdn) / %s FROM payload WHERE received_at >= to_timestamp(%s) "
                    "AND received_at < to_timestamp(%s) + INTERVAL '1 hour' AND received_at >= %s",
                    _epoch(at) + 3600 - max(_epoch(at), times.since.timestamp()),
                    _epoch(at),
                    _epoch(at),
                    times.since,
                )
                assert float(rate) == pytest.approx(float(wanted))


def test_a_rate_is_over_what_has_passed_of_the_interval_and_is_in_the_range(engine: Engine) -> None:
    """Whenever a customer was first seen in it: one who comes late in an interval has not had a higher rate."""
    dashboard, sql = panel_of("Traffic by customer", "Streaming", "timeseries")
    newest = datetime.now(UTC).timestamp() // WINDOW_S * WINDOW_S
    hour = newest // 3600 * 3600
    cut = hour - 3600 - 20 * 60  # the first interval is in the range for its last twenty minutes
    received = {"late": newest, "early": hour, "cut": cut + 60, "whole": hour - 3600 + 50 * 60}
    with engine.database() as url, psycopg.connect(url, autocommit=True) as connection:
        for customer, at in received.items():
            connection.execute(
                "INSERT INTO payload (received_at, token, customer, content, timespan, p2p, cdn, session_duration, "
                "started) VALUES (to_timestamp(%s), %s, %s, 'f', 1, 0, 3600, 1, true)",
                (at, customer, customer),
            )
        for timescaledb in (True, False) if engine.has_timescaledb else (False,):
            now = datetime.now(UTC)
            times = Range(datetime.fromtimestamp(cut, UTC), now, 3600)
            text = expanded(sql, times, everything(dashboard), timescaledb=timescaledb)
            rows = connection.execute(text.encode()).fetchall()
            bits = {str(customer): float(rate) for _, customer, rate in rows}
            assert bits["whole"] == pytest.approx(8 * 3600 / 3600)
            assert bits["cut"] == pytest.approx(8 * 3600 / (20 * 60))
            passed_s = now.timestamp() - hour
            for customer in ("early", "late"):
                if passed_s < 3600:  # else the hour has ended meanwhile
                    assert bits[customer] <= 8 * 3600 / max(1.0, passed_s) + 1e-6
            assert bits["early"] == pytest.approx(bits["late"])


def test_a_session_without_a_version_leads_nowhere(engine: Engine) -> None:
    dashboard, sql = panel_of("Versions", "Clients", "table")
    now = datetime.now(UTC)
    with engine.database() as url, psycopg.connect(url, autocommit=True) as connection:
        for session, version in (("known", "1.0"), ("silent", None)):
            connection.execute(
                "INSERT INTO session_message (time, received_at, session, seq, version, cpu) "
                "VALUES (%s, %s, %s, 1, %s, 50)",
                (now - timedelta(hours=1), now, session, version),
            )
        add_up_cpu(url)
        times = last(timedelta(hours=3))
        rows = connection.execute(expanded(sql, times, everything(dashboard), timescaledb=False).encode()).fetchall()
    assert sorted((str(row[0]), row[-1]) for row in rows) == [("1.0", "1.0"), ("unknown", None)]


def test_a_table_of_customers_agrees_with_stats(filled: Filled) -> None:
    dashboard, sql = panel_of("Customers", "Streaming", "table")
    found = run(filled, sql, everything(dashboard), timescaledb=False)
    rows = filled.truth.execute("SELECT customer, sum(cdn), sum(p2p), sum(sessions) FROM stats GROUP BY 1").fetchall()
    shown = zip(*(found.column(name) for name in ("customer", "CDN", "P2P", "Sessions")), strict=True)
    assert sorted(shown) == sorted(rows)


def test_hot_sessions_are_those_over_the_threshold(filled: Filled) -> None:
    dashboard, sql = panel_of("Versions", "Clients", "table")
    for threshold in (0, 30, 75.5, 10_000):
        choices = {**everything(dashboard), "threshold": Choice([], None, str(threshold))}
        found = run(filled, sql, choices, timescaledb=False)
        rows = filled.truth.execute(
            """SELECT version, count(*), count(*) FILTER (WHERE highest > %s), max(highest), sum(total) / sum(samples)
               FROM (SELECT max(version) AS version, max(cpu) AS highest, count(cpu) AS samples, sum(cpu) AS total
                     FROM session_message GROUP BY session HAVING count(cpu) > 0) AS session
               GROUP BY version""",
            (threshold,),
        ).fetchall()
        shown = zip(*(found.column(name) for name in ("Version", "Sessions", "Hot", "Highest CPU")), strict=True)
        assert sorted(shown) == sorted(row[:4] for row in rows)
        means = dict(zip(found.column("Version"), found.column("Mean CPU"), strict=True))
        assert means == pytest.approx({str(row[0]): row[4] for row in rows})
        for version, sessions, hot, share in zip(
            *(found.column(name) for name in ("Version", "Sessions", "Hot", "Share")), strict=True
        ):
            assert share == pytest.approx(hot / sessions), version


def test_what_is_typed_is_a_value(filled: Filled) -> None:
    dashboard, sql = panel_of("Hot sessions", "Clients", "stat")
    choices = {**everything(dashboard), "threshold": Choice([], None, "0) FROM api; DROP TABLE payload; --")}
    with pytest.raises(psycopg.errors.InvalidTextRepresentation):
        run(filled, sql, choices, timescaledb=False)


def test_a_choice_chooses(filled: Filled) -> None:
    """One customer, several, and names that would be SQL if they were not quoted."""
    dashboard, sql = panel_of("Customers", "Streaming", "table")
    names = [str(name) for name in run(filled, sql, everything(dashboard), timescaledb=False).column("customer")]
    for chosen in (names[:1], names[:2], ["nobody"], ["'; DROP TABLE payload; --", *names[:1]]):
        choices = {**everything(dashboard), "customer": Choice(chosen, "customer")}
        found = run(filled, sql, choices, timescaledb=False).column("customer")
        assert sorted(found) == sorted(set(chosen) & set(names))


def test_the_reader_can_only_read(filled: Filled) -> None:
    filled.reader.execute("SET default_transaction_read_only = off")
    try:
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            filled.reader.execute("DELETE FROM analytics_hour")
    finally:
        filled.reader.execute("SET default_transaction_read_only = on")
