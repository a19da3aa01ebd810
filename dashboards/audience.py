"""Who sees and clicks: unique users, impressions, clicks and click-through by hour."""

from dashboards import variables
from dashboards.model import Dashboard
from dashboards.panels import Row, Sql, View, chart, column, dashboard, stat, table

_HOUR = "1h"
_WHERE = "$__timeFilter(hour)"
_DAY_BEFORE = (
    "hour BETWEEN $__timeFrom()::timestamptz - INTERVAL '1 day' AND $__timeTo()::timestamptz - INTERVAL '1 day'"
)
"""As an index can serve it: a filter on the shifted hour could not."""
_THROUGH = "coalesce(clicks::float8 / nullif(impressions, 0), 0)"


def _hours(values: str) -> Sql:
    return Sql(f'SELECT hour AS "time", {values}\nFROM analytics\nWHERE {_WHERE}\nORDER BY 1')


def _with_yesterday(value: str, name: str) -> Sql:
    """Each hour, and the same hour of the day before; either may be missing."""
    return Sql(f"""SELECT "time", max(today) AS "{name}", max(yesterday) AS "A day before"
FROM (
  SELECT hour AS "time", {value} AS today, NULL AS yesterday FROM analytics WHERE {_WHERE}
  UNION ALL
  SELECT hour + INTERVAL '1 day', NULL, {value} FROM analytics WHERE {_DAY_BEFORE}
) AS hours
GROUP BY 1
ORDER BY 1""")


_VIEWS: list[View | Row] = [
    stat(
        "Unique users, newest hour",
        "Users who clicked or saw something in the newest UTC hour of the time range, each once; exact.",
        _hours("unique_users"),
        unit="short",
        interval=_HOUR,
    ),
    stat("Impressions", "Of the time range.", _hours("impressions"), unit="short", calc="sum", interval=_HOUR),
    stat("Clicks", "Of the time range.", _hours("clicks"), unit="short", calc="sum", interval=_HOUR),
    stat(
        "Click-through",
        "Clicks for an impression, of the time range.",
        Sql(
            'SELECT max(hour) AS "time", coalesce(sum(clicks) / nullif(sum(impressions), 0), 0)::float8 AS through\n'
            f"FROM analytics\nWHERE {_WHERE}\nHAVING count(*) > 0"
        ),
        unit="percentunit",
        decimals=2,
        interval=_HOUR,
    ),
    Row("By hour"),
    chart(
        "Unique users",
        "Users of each UTC hour, each counted once in it; hours must not be added up, for a user may be in several.",
        _with_yesterday("unique_users", "Unique users"),
        unit="short",
        interval=_HOUR,
    ),
    chart(
        "Click-through",
        "Clicks for an impression, of each UTC hour.",
        _hours(f'{_THROUGH} AS "Click-through"'),
        unit="percentunit",
        interval=_HOUR,
    ),
    chart(
        "Impressions",
        "Of each UTC hour, and of the same hour a day before.",
        _with_yesterday("impressions", "Impressions"),
        unit="short",
        interval=_HOUR,
    ),
    chart(
        "Clicks",
        "Of each UTC hour, and of the same hour a day before.",
        _with_yesterday("clicks", "Clicks"),
        unit="short",
        interval=_HOUR,
    ),
    table(
        "Hours",
        "The same as numbers, newest first; an hour without any event is left out.",
        Sql(
            'SELECT hour AS "Hour", unique_users AS "Unique users", impressions AS "Impressions", clicks AS "Clicks", '
            f'{_THROUGH} AS "Click-through"\nFROM analytics\nWHERE {_WHERE}\nORDER BY hour DESC\nLIMIT 1000'
        ),
        w=24,
        overrides=[column("Click-through", "percentunit")],
    ),
]

AUDIENCE: Dashboard = dashboard(
    "collector-audience",
    "Audience",
    "Unique users, impressions, clicks and click-through by UTC hour; `time` is the hour's beginning.",
    views=_VIEWS,
    variables=[variables.database()],
    since="now-2d",
    refresh="5m",
)
