"""How long the queries of Grafana's panels take, over ten times the rows of a stream, a day of them."""

import statistics
import time
from datetime import timedelta

import psycopg

from dashboards.model import Dashboard
from dashboards.written import DASHBOARDS
from tests.benchmarks.table import Bench
from tests.dashboards.conftest import add_up_cpu
from tests.dashboards.grafana import Range, everything, expanded, last

RAW_PER_STREAM = 10
"""Raw rows for a row of the benchmark's stream."""
CUSTOMERS, CONTENTS = 20, 50
"""Contents of each customer; those in front come more often."""
REPEATS = 5
TARGET_MS = 100

_FILL = """
INSERT INTO payload (received_at, token, customer, content, timespan, p2p, cdn, session_duration, started)
SELECT now() - INTERVAL '1 day' + number * (INTERVAL '1 day' / %(rows)s),
       'token ' || number / 20,
       'customer ' || floor(random() ^ 2 * %(customers)s),
       'content ' || floor(random() ^ 2 * %(contents)s),
       30000, number %% 100000, number %% 1000000, 30000 * (number %% 20 + 1), number %% 20 = 0
FROM generate_series(1, %(rows)s) AS number"""

_SAMPLES = """
INSERT INTO session_message (time, received_at, session, seq, version, cpu)
SELECT began + at * INTERVAL '1 second', began + at * INTERVAL '1 second', 'session ' || session, at,
       '6.0' || session %% 8, random() * 20 + 80 * (session %% 8 = 4)::int * random()
FROM (SELECT session, now() - INTERVAL '1 day' + random() * INTERVAL '23 hours 40 minutes' AS began
      FROM generate_series(1, %(rows)s / %(each)s) AS session) AS begun,
     generate_series(1, %(each)s) AS at"""
SAMPLES_OF_A_SESSION = 1_000

_HITS = """
INSERT INTO analytics_hour (hour, shard, unique_users, clicks, impressions)
SELECT date_trunc('hour', now(), 'UTC') - back * INTERVAL '1 hour', shard, 100, 50, 500
FROM generate_series(0, 24 * 90) AS back, generate_series(0, 63) AS shard"""


def run(bench: Bench) -> None:
    """Fill tables of their own size, and time every query as it is sent."""
    rows = bench.rows * RAW_PER_STREAM
    with psycopg.connect(bench.server.database_url, autocommit=True) as connection:
        bench.say(f"{rows:,} payloads and as many samples of a day")
        connection.execute("TRUNCATE payload, session_message, analytics_hour")
        parameters = {"rows": rows, "customers": CUSTOMERS, "contents": CONTENTS}
        connection.execute(_FILL, parameters)
        connection.execute(_HITS)
        connection.execute(_SAMPLES, {"rows": rows, "each": SAMPLES_OF_A_SESSION})
        add_up_cpu(bench.server.database_url)
        if bench.engine.has_timescaledb:
            connection.execute("CALL refresh_continuous_aggregate('stats_5m', NULL, now() - INTERVAL '6 minutes')")
        connection.execute("VACUUM ANALYZE")
        connection.execute("CHECKPOINT")
        what = f"slowest query of a dashboard at {rows:,} payloads and samples of a day"
        for name, length, target in (
            ("its own time range", None, f"{TARGET_MS} ms"),
            ("the whole day", timedelta(days=1), ""),
        ):
            took = [
                (took_ms, f"{dashboard.title}: {title}")
                for dashboard in DASHBOARDS
                for title, took_ms in _timed(bench, connection, dashboard, length).items()
            ]
            slowest, middle = max(took), statistics.median(took_ms for took_ms, _ in took)
            said = f"{slowest[0]:.0f} ms ({slowest[1]}; of all {len(took)} the median {middle:.0f} ms)"
            bench.table.figure(f"{what}, {name}", said, target)


def _timed(
    bench: Bench, connection: "psycopg.Connection[tuple[object, ...]]", dashboard: Dashboard, length: timedelta | None
) -> dict[str, float]:
    """Milliseconds of each panel's queries: the median."""
    length = length or _own(dashboard)
    times: Range = last(length)
    choices = everything(dashboard)
    took = {}
    queries = [
        (f"{panel.title}, {panel.type}", target.raw_sql) for panel in dashboard.panels for target in panel.targets
    ]
    queries += [(f"choice of {each.name}", each.query) for each in dashboard.templating["list"] if each.type == "query"]
    for title, raw_sql in queries:
        if raw_sql is None:
            continue
        bench.say(f"{dashboard.title}: {title}")
        sql = expanded(raw_sql, times, choices, timescaledb=bench.engine.has_timescaledb).encode()
        seconds = []
        for _ in range(REPEATS):
            began = time.perf_counter()
            connection.execute(sql).fetchall()
            seconds.append(time.perf_counter() - began)
        took[title] = 1000 * statistics.median(seconds)
    return took


def _own(dashboard: Dashboard) -> timedelta:
    """Of `now-6h`."""
    unit = {"h": "hours", "d": "days"}[dashboard.time["from"][-1]]
    return timedelta(**{unit: int(dashboard.time["from"].removeprefix("now-")[:-1])})
