"""What the app costs its users: CPU of clients, and sessions that ran hot, by version and by what they were doing."""

from dashboards import variables
from dashboards.model import Dashboard, DashboardLink, Link
from dashboards.panels import Row, Sql, View, chart, column, dashboard, stat, table

_TOP = 10
"""Series of a chart: more cannot be told apart."""
_ROWS = 50

_THRESHOLD = "${threshold:sqlstring}::float8"
_REPORT = "${collector}/reports/cpu?from=${__from}&to=${__to}&threshold=${threshold}"

_TIME = '$__timeGroup(bucket, $__interval) AS "time"'
_VERSION = "coalesce(fact.version, 'unknown')"


def _sessions(grouping: str, groups: str) -> str:
    """What was measured of each session, each sample once: of the time range, or of each interval."""
    return f"""WITH measured AS MATERIALIZED (
  SELECT {grouping}session_id, max(bucket) AS newest,
    sum(samples) AS samples, sum(cpu_sum) AS total, max(cpu_max) AS highest
  FROM session_cpu
  WHERE $__timeFilter(bucket) AND layer = 0
  GROUP BY {groups}
), session AS (
  SELECT measured.*, {_VERSION} AS version
  FROM measured
  LEFT JOIN LATERAL (
    SELECT session_fact.version
    FROM session_fact
    WHERE session_fact.session_id = measured.session_id AND session_fact.bucket <= measured.newest
    ORDER BY session_fact.bucket DESC
    LIMIT 1
  ) AS fact ON true
  WHERE {_VERSION} IN ($version)
)"""


_IN_INTERVALS = _sessions(f"{_TIME}, ", "1, 2")
_SESSIONS = _sessions("", "1")

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
  SELECT version FROM session GROUP BY version ORDER BY count(DISTINCT session_id) DESC, version LIMIT {_TOP}
)
SELECT "time", version AS metric, {value} AS value
FROM session JOIN top USING (version)
GROUP BY 1, 2
ORDER BY 1, 2""")


def _at_once(value: str, name: str) -> Sql:
    """One number for the whole time range."""
    return Sql(f'{_SESSIONS}\nSELECT max(newest) AS "time", {value} AS {name}\nFROM session\nHAVING count(*) > 0')


_DOING = """WITH doing AS MATERIALIZED (
  SELECT %sevent, session_id, sum(samples) AS samples, sum(cpu_sum) AS total, max(cpu_max) AS highest
  FROM session_cpu JOIN cpu_event ON cpu_event.id = event_id
  WHERE $__timeFilter(bucket) AND layer < 2
  GROUP BY %s
)"""
"""What was measured of each session while an event was in force; while several were, it counts for each of them."""

_OPEN_REPORT = Link(title="Why: the report on this version", url=f"{_REPORT}&version=${{__value.raw:percentencode}}")
_OPEN_EVENT = Link(title="Why: the report on this event", url=f"{_REPORT}&event=${{__value.raw:percentencode}}")
_OPEN_SESSION = Link(
    title="The session", url="${collector}/sessions/${__value.raw:percentencode}?threshold=${threshold}"
)

_VIEWS: list[View | Row] = [
    stat(
        "Measured sessions",
        "Sessions with a sample of their CPU in the time range.",
        _at_once("count(*)", "sessions"),
        unit="short",
    ),
    stat(
        "Hot sessions",
        "Share of them that were over the threshold at any moment.",
        _at_once(_SHARE, "share"),
        unit="percentunit",
        decimals=1,
    ),
    stat(
        "Mean CPU",
        "Of all samples, in percent of a core.",
        _at_once(_MEAN, "cpu"),
        unit="percent",
        decimals=1,
    ),
    stat(
        "Highest CPU",
        "The highest sample of the time range, in percent of a core: over 100 on several cores.",
        _at_once("max(highest)", "cpu"),
        unit="percent",
        decimals=0,
    ),
    Row("Over time"),
    chart(
        "Hot sessions",
        "Share of the sessions of each interval that were over the threshold in it. The report says what they were "
        "doing then.",
        _over_time(f'{_SHARE} AS "Hot"'),
        unit="percentunit",
        max=1,
        links=[Link(title="Why: the report", url=_REPORT)],
    ),
    chart(
        "Hot sessions by version",
        f"Share of the sessions of each interval, of the {_TOP} versions with the most sessions.",
        _by_version(_SHARE),
        unit="percentunit",
        max=1,
    ),
    chart(
        "Mean CPU by version",
        "Of all samples of each interval, in percent of a core.",
        _by_version(_MEAN),
        unit="percent",
    ),
    chart(
        "Sessions by version",
        f"Measured in each interval, of the {_TOP} versions with the most.",
        _by_version("count(*)"),
        unit="short",
        stack=True,
    ),
    chart(
        "Hot sessions by what they were doing",
        f"Share of the sessions in which an event was in force that were over the threshold meanwhile, of the {_TOP} "
        "events that most sessions had.",
        Sql(f"""{_DOING % (f"{_TIME}, ", "1, 2, 3")}, top AS (
  SELECT event FROM doing GROUP BY event ORDER BY count(DISTINCT session_id) DESC, event LIMIT {_TOP}
)
SELECT "time", event AS metric, {_SHARE} AS share
FROM doing JOIN top USING (event)
GROUP BY 1, 2
ORDER BY 1, 2"""),
        unit="percentunit",
        max=1,
    ),
    table(
        "What they were doing",
        "Of each event: sessions in which it was in force, and which were over the threshold meanwhile.",
        Sql(f"""{_DOING % ("", "1, 2")}
SELECT event AS "Doing", count(*) AS "Sessions", {_HOT} AS "Hot", {_SHARE} AS "Share",
  {_MEAN} AS "Mean CPU", max(highest) AS "Highest CPU"
FROM doing
GROUP BY event
ORDER BY 4 DESC, 1
LIMIT {_ROWS}"""),
        h=8,
        overrides=[
            column("Doing", links=[_OPEN_EVENT]),
            column("Share", "percentunit", gauge=True),
            column("Mean CPU", "percent"),
            column("Highest CPU", "percent"),
        ],
    ),
    Row("Where to look"),
    table(
        "Versions",
        "Each has a report, which says what its hot sessions were doing; sessions that told no version have none.",
        Sql(f"""{_SESSIONS}
SELECT version AS "Version", count(*) AS "Sessions", {_HOT} AS "Hot", {_SHARE} AS "Share",
  {_MEAN} AS "Mean CPU", max(highest) AS "Highest CPU", nullif(version, 'unknown') AS "Report"
FROM session
GROUP BY version
ORDER BY 2 DESC, 1
LIMIT {_ROWS}"""),
        overrides=[
            column("Report", links=[_OPEN_REPORT], says="why"),
            column("Share", "percentunit", gauge=True),
            column("Mean CPU", "percent"),
            column("Highest CPU", "percent"),
        ],
    ),
    table(
        "Worst sessions",
        f"The {_ROWS} with the highest samples. A session leads to its page: CPU over time, with what the app did.",
        Sql(f"""{_SESSIONS}
SELECT cpu_session.session AS "Session", version AS "Version", samples AS "Samples", total / samples AS "Mean CPU",
  highest AS "Highest CPU"
FROM session JOIN cpu_session ON cpu_session.id = session_id
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
    "CPU of clients and the share of hot sessions, by version and by what they were doing: windows of 5 minutes.",
    views=_VIEWS,
    variables=[
        variables.database(),
        variables.choice(
            "version",
            "Version",
            # A session tells its version when it begins: since a day before, or longer ago and it is not in the list.
            "SELECT DISTINCT coalesce(version, 'unknown') AS version\nFROM session_fact\n"
            "WHERE bucket BETWEEN $__timeFrom()::timestamptz - INTERVAL '1 day' AND $__timeTo()::timestamptz\n"
            f"ORDER BY 1\nLIMIT {variables.MAX_CHOICES}",
            of_all="coalesce(fact.version, 'unknown')",
        ),
        variables.text("threshold", "Hot over, percent of a core", "A session is hot if a sample is over it.", "30"),
        variables.text(
            "collector", "Collector", "Address of the collector, for links to its report.", "http://localhost:8080"
        ),
    ],
    links=[DashboardLink(title="Report on CPU", type="link", icon="bolt", url=_REPORT, target_blank=True)],
    since="now-12h",
)
