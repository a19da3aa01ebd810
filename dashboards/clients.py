"""What the app costs its users: CPU of clients, and the sessions that ran hot, by version."""

from dashboards import variables
from dashboards.model import Dashboard, DashboardLink, Link
from dashboards.panels import Row, Sql, View, chart, column, dashboard, stat, table

_QUARTER = "15m"
_WHERE = "$__timeFilter(bucket) AND version IN ($version) AND samples > 0"
_TOP = 10
"""Series of a chart: more cannot be told apart."""
_ROWS = 50

_THRESHOLD = "${threshold:sqlstring}::float8"
_REPORT = "${collector}/reports/cpu?from=${__from}&to=${__to}&threshold=${threshold}"

_IN_INTERVALS = f"""WITH session AS MATERIALIZED (
  SELECT $__timeGroup(bucket, $__interval) AS "time", session, max(version) AS version,
    sum(samples) AS samples, sum(total) AS total, max(highest) AS highest
  FROM session_cpu_15m
  WHERE {_WHERE}
  GROUP BY 1, 2
)"""
"""Sessions of each interval."""

_SESSIONS = f"""WITH session AS MATERIALIZED (
  SELECT session, max(version) AS version, max(bucket) AS newest,
    sum(samples) AS samples, sum(total) AS total, max(highest) AS highest
  FROM session_cpu_15m
  WHERE {_WHERE}
  GROUP BY session
)"""
"""Sessions of the time range."""

_HOT = f"count(*) FILTER (WHERE highest > {_THRESHOLD})"
_SHARE = f"{_HOT}::float8 / count(*)"
_MEAN = "sum(total) / sum(samples)"


def _over_time(values: str) -> Sql:
    return Sql(f"""{_IN_INTERVALS}
SELECT "time", {values}
FROM session
GROUP BY 1
ORDER BY 1""")


def _by_version(value: str) -> Sql:
    """Of the versions with the most sessions."""
    return Sql(f"""{_IN_INTERVALS}, top AS (
  SELECT version FROM session GROUP BY version ORDER BY count(DISTINCT session) DESC, version LIMIT {_TOP}
)
SELECT "time", version AS metric, {value} AS value
FROM session JOIN top USING (version)
GROUP BY 1, 2
ORDER BY 1, 2""")


def _at_once(value: str, name: str) -> Sql:
    """One number for the whole time range."""
    return Sql(f'{_SESSIONS}\nSELECT max(newest) AS "time", {value} AS {name}\nFROM session\nHAVING count(*) > 0')


_OPEN_REPORT = Link(title="Why: the report on this version", url=f"{_REPORT}&version=${{__value.raw:percentencode}}")
_OPEN_SESSION = Link(title="The session", url="${collector}/sessions/${__value.raw:percentencode}")

_VIEWS: list[View | Row] = [
    stat(
        "Measured sessions",
        "Sessions with a sample of their CPU in the time range.",
        _at_once("count(*)", "sessions"),
        unit="short",
        interval=_QUARTER,
    ),
    stat(
        "Hot sessions",
        "Share of them that were over the threshold at any moment.",
        _at_once(_SHARE, "share"),
        unit="percentunit",
        decimals=1,
        interval=_QUARTER,
    ),
    stat(
        "Mean CPU",
        "Of all samples, in percent of a core.",
        _at_once(_MEAN, "cpu"),
        unit="percent",
        decimals=1,
        interval=_QUARTER,
    ),
    stat(
        "Highest CPU",
        "The highest sample of the time range, in percent of a core: over 100 on several cores.",
        _at_once("max(highest)", "cpu"),
        unit="percent",
        decimals=0,
        interval=_QUARTER,
    ),
    Row("Over time"),
    chart(
        "Hot sessions",
        "Share of the sessions of each interval that were over the threshold in it. The report says what they were "
        "doing then.",
        _over_time(f'{_SHARE} AS "Hot"'),
        unit="percentunit",
        max=1,
        interval=_QUARTER,
        links=[Link(title="Why: the report", url=_REPORT)],
    ),
    chart(
        "Hot sessions by version",
        f"Share of the sessions of each interval, of the {_TOP} versions with the most sessions.",
        _by_version(_SHARE),
        unit="percentunit",
        max=1,
        interval=_QUARTER,
    ),
    chart(
        "Mean CPU by version",
        "Of all samples of each interval, in percent of a core.",
        _by_version(_MEAN),
        unit="percent",
        interval=_QUARTER,
    ),
    chart(
        "Sessions by version",
        f"Measured in each interval, of the {_TOP} versions with the most.",
        _by_version("count(*)"),
        unit="short",
        stack=True,
        interval=_QUARTER,
    ),
    Row("Where to look"),
    table(
        "Versions",
        "A version leads to the report on it, which says what its hot sessions were doing.",
        Sql(f"""{_SESSIONS}
SELECT version AS "Version", count(*) AS "Sessions", {_HOT} AS "Hot", {_SHARE} AS "Share",
  {_MEAN} AS "Mean CPU", max(highest) AS "Highest CPU"
FROM session
GROUP BY version
ORDER BY 2 DESC, 1
LIMIT {_ROWS}"""),
        overrides=[
            column("Version", links=[_OPEN_REPORT]),
            column("Share", "percentunit", gauge=True),
            column("Mean CPU", "percent"),
            column("Highest CPU", "percent"),
        ],
    ),
    table(
        "Worst sessions",
        f"The {_ROWS} with the highest samples. A session leads to its page: CPU over time, with what the app did.",
        Sql(f"""{_SESSIONS}
SELECT session AS "Session", version AS "Version", samples AS "Samples", total / samples AS "Mean CPU",
  highest AS "Highest CPU"
FROM session
ORDER BY highest DESC, 1
LIMIT {_ROWS}"""),
        overrides=[
            column("Session", links=[_OPEN_SESSION]),
            column("Mean CPU", "percent"),
            column("Highest CPU", "percent"),
        ],
    ),
]

CLIENTS: Dashboard = dashboard(
    "collector-clients",
    "Clients",
    "CPU of clients and the share of sessions that ran hot, by version: quarters of an hour, as of a minute ago.",
    views=_VIEWS,
    variables=[
        variables.database(),
        variables.choice(
            "version",
            "Version",
            "SELECT DISTINCT version\nFROM session_cpu_15m\nWHERE $__timeFilter(bucket)\nORDER BY 1\n"
            f"LIMIT {variables.MAX_CHOICES}",
        ),
        variables.text("threshold", "Hot over, percent of a core", "A session is hot if a sample is over it.", "30"),
        variables.text(
            "collector", "Collector", "Address of the collector, for links to its report.", "http://localhost:8080"
        ),
    ],
    links=[DashboardLink(title="Report on CPU", type="link", icon="bolt", url=_REPORT, target_blank=True)],
    since="now-12h",
)
