"""What is delivered: bytes from the CDN and from peers, and started sessions, by customer and content."""

from dashboards import variables
from dashboards.model import Dashboard, Link
from dashboards.panels import Row, Sql, View, chart, column, dashboard, stat, table

UID = "collector-streaming"

_WHERE = "$__timeFilter(bucket) AND customer IN ($customer) AND content IN ($content)"
_TOP = 10
"""Series of a chart: more cannot be told apart."""
_ROWS = 100
"""Of a table: those with the most bytes."""

_LENGTH = "($__interval_ms / 1000.0)"
_BEGIN = f"floor(extract(epoch FROM min(bucket)) / least({_LENGTH}, 86400)) * least({_LENGTH}, 86400)"
"""Of the interval, whenever a customer's first window in it is; of one that is longer than a day, of that day."""
_SECONDS = f"""greatest(1, least({_BEGIN} + {_LENGTH}, extract(epoch FROM now()),
    floor(extract(epoch FROM $__timeTo()::timestamptz) / 300) * 300 + 300)
    - greatest({_BEGIN}, ceil(extract(epoch FROM $__timeFrom()::timestamptz) / 300) * 300))"""
"""What of an interval has passed, and is in the time range by windows: else its first and its newest interval would
always look like a fall."""

_BYTES = "(sum(cdn) + sum(p2p))"
"""Cheaper than the sum of sums: they are `numeric`."""

_SHARE = f"coalesce(sum(p2p) / nullif({_BYTES}, 0), 0)"

_TIME = '$__timeGroup(bucket, $__interval) AS "time"'

_VALUES = "These windows begin in the time range; the newest is still being written."


def _rate(amount: str) -> str:
    """Bits a second of an amount of bytes."""
    return f"8 * sum({amount}) / {_SECONDS}"


def _top(column: str) -> Sql:
    """Bits a second of the customers or contents with the most bytes."""
    return Sql(f"""WITH sums AS MATERIALIZED (
  SELECT {_TIME}, {column}, {_BYTES} AS bytes, {_SECONDS} AS seconds
  FROM stats_5m
  WHERE {_WHERE}
  GROUP BY 1, 2
), top AS (
  SELECT {column} FROM sums GROUP BY {column} ORDER BY sum(bytes) DESC, {column} LIMIT {_TOP}
)
SELECT "time", {column} AS metric, 8 * bytes / seconds AS bits
FROM sums JOIN top USING ({column})
ORDER BY 1, 2""")


def _over_time(values: str) -> Sql:
    return Sql(f"""SELECT {_TIME}, {values}
FROM stats_5m
WHERE {_WHERE}
GROUP BY 1
ORDER BY 1""")


def _by(column: str) -> Sql:
    """A row for each customer or content."""
    return Sql(f"""SELECT {column}, sum(cdn) AS "CDN", sum(p2p) AS "P2P",
  {_SHARE} AS "P2P share", sum(sessions) AS "Sessions"
FROM stats_5m
WHERE {_WHERE}
GROUP BY {column}
ORDER BY {_BYTES} DESC, {column}
LIMIT {_ROWS}""")


_HERE = f"/d/{UID}?${{__url_time_range}}&${{datasource:queryparam}}"

_COLUMNS = [
    column("CDN", "decbytes"),
    column("P2P", "decbytes"),
    column("P2P share", "percentunit", gauge=True),
    column("Sessions", "short"),
]

_VIEWS: list[View | Row] = [
    stat(
        "Delivered",
        f"Bytes from the CDN and from peers. {_VALUES}",
        _over_time(f"{_BYTES} AS bytes"),
        unit="decbytes",
        calc="sum",
    ),
    stat(
        "P2P share",
        "Bytes from peers, of all bytes of the time range.",
        Sql(f'SELECT max(bucket) AS "time", {_SHARE} AS share\nFROM stats_5m\nWHERE {_WHERE}\nHAVING count(*) > 0'),
        unit="percentunit",
        decimals=1,
    ),
    stat(
        "Started sessions",
        "Each session once, in the window in which it was first received.",
        _over_time("sum(sessions) AS sessions"),
        unit="short",
        calc="sum",
    ),
    stat(
        "Customers",
        "Customers of whom anything was received, in each interval; the newest.",
        _over_time("count(DISTINCT customer) AS customers"),
        unit="short",
    ),
    Row("Traffic"),
    chart(
        "Traffic by source",
        "Mean rate of each interval, from the CDN and from peers.",
        _over_time(f'{_rate("cdn")} AS "CDN", {_rate("p2p")} AS "P2P"'),
        unit="bps",
        stack=True,
    ),
    chart(
        "P2P share",
        "Bytes from peers, of all bytes of each interval.",
        _over_time(f'{_SHARE} AS "P2P share"'),
        unit="percentunit",
        max=1,
    ),
    chart("Traffic by customer", f"Mean rate of the {_TOP} with the most bytes.", _top("customer"), unit="bps"),
    chart("Traffic by content", f"Mean rate of the {_TOP} with the most bytes.", _top("content"), unit="bps"),
    Row("Sessions"),
    chart(
        "Started sessions",
        "In each interval. A token counts once, when it is first received.",
        _over_time('sum(sessions) AS "Sessions"'),
        unit="short",
        bars=True,
    ),
    chart(
        "Bytes of a started session",
        "Bytes of each interval, of all sessions that run, divided by the sessions that started in it.",
        _over_time(f'{_BYTES} / nullif(sum(sessions), 0) AS "Bytes"'),
        unit="decbytes",
    ),
    Row("By customer and content"),
    table(
        "Customers",
        f"The {_ROWS} with the most bytes; a customer's name shows only that one.",
        _by("customer"),
        overrides=[
            *_COLUMNS,
            column(
                "customer",
                links=[
                    Link(
                        title="Only this customer",
                        url=f"{_HERE}&var-customer=${{__value.raw:percentencode}}",
                        target_blank=False,
                    )
                ],
            ),
        ],
    ),
    table(
        "Contents",
        f"The {_ROWS} with the most bytes; a content's name shows only that one.",
        _by("content"),
        overrides=[
            *_COLUMNS,
            column(
                "content",
                links=[
                    Link(
                        title="Only this content",
                        url=f"{_HERE}&${{customer:queryparam}}&var-content=${{__value.raw:percentencode}}",
                        target_blank=False,
                    )
                ],
            ),
        ],
    ),
]

_CHOICES = f"FROM stats_5m\nWHERE $__timeFilter(bucket)%s\nORDER BY 1\nLIMIT {variables.MAX_CHOICES}"

STREAMING: Dashboard = dashboard(
    UID,
    "Streaming",
    "Bytes from the CDN and from peers, and started sessions, by customer and content: windows of 5 minutes.",
    views=_VIEWS,
    variables=[
        variables.database(),
        variables.choice("customer", "Customer", f"SELECT DISTINCT customer\n{_CHOICES % ''}"),
        variables.choice("content", "Content", f"SELECT DISTINCT content\n{_CHOICES % ' AND customer IN ($customer)'}"),
    ],
)
