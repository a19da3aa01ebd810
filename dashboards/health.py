"""How the collector itself is, from its metrics."""

from dashboards import variables
from dashboards.model import Dashboard
from dashboards.panels import Prom, Row, View, chart, dashboard, stat

UID = "collector-health"

_GREEN_TO_RED = "green", "orange", "red"


OUTSIDE = 'endpoint!="queue"'
"""What the queue hands on was counted at /payloads already."""


def rate(metric: str, by: str, where: str = "") -> str:
    """A counter's increase a second."""
    return f"sum by ({by}) (rate({metric}{{{where}}}[$__rate_interval]))"


def total(what: str) -> str:
    """Messages of all endpoints that were received, stored, repeated or rejected, a second."""
    return f"sum(rate(collector_{what}_total{{{OUTSIDE}}}[$__rate_interval]))"


def quantile(q: float, metric: str) -> str:
    """A quantile of a histogram, by writer."""
    return f"histogram_quantile({q}, sum by (le, writer) (rate({metric}_bucket[$__rate_interval])))"


def rejected_share(window: str) -> str:
    """Of what came in; what was given back because the database was away is not the devices' fault, and has a panel
    of its own. Without anything that came in there is no share.
    """
    return (
        f'(sum(rate(collector_rejected_total{{reason!="unavailable"}}[{window}])) or vector(0)) '
        f"/ (sum(rate(collector_received_total{{{OUTSIDE}}}[{window}])) > 0)"
    )


BACKLOG_SHARE = "max by (instance, writer) (collector_backlog_full_ratio)"
CONNECTIONS_SHARE = "max by (instance) (collector_connections / (collector_connections_max > 0))"
UP = 'up{job=~"collector|consumer"}'
REFRESH_AGE = "time() - max by (aggregate) (collector_aggregate_refreshed_timestamp_seconds)"


def _limits(orange: float, red: float) -> list[tuple[float | None, str]]:
    good, fair, bad = _GREEN_TO_RED
    return [(None, good), (orange, fair), (red, bad)]


_VIEWS: list[View | Row] = [
    stat(
        "Received",
        "Lines and single messages taken in, a second.",
        Prom(total("received"), "received"),
        unit="cps",
    ),
    stat(
        "Rejected",
        "Share of what came in that could not be accepted; `collector psql` and the table `rejected` tell why.",
        Prom(rejected_share("$__rate_interval"), "rejected"),
        unit="percentunit",
        decimals=2,
        thresholds=_limits(0.01, 0.05),
    ),
    stat(
        "Fullest backlog",
        "Rows taken in and not committed, of those at which producers have to wait; or their bytes, if that is more.",
        Prom(f"max({BACKLOG_SHARE})", "backlog"),
        unit="percentunit",
        decimals=0,
        thresholds=_limits(0.5, 0.8),
    ),
    stat(
        "Oldest uncommitted row",
        "How long the oldest row has waited for its commit.",
        Prom("max(collector_backlog_oldest_seconds)", "age"),
        unit="s",
        thresholds=_limits(2, 10),
    ),
    Row("What comes in, and what becomes of it"),
    chart(
        "Received",
        "Lines and single messages taken in, a second, by endpoint.",
        Prom(rate("collector_received_total", "endpoint", OUTSIDE), "{{endpoint}}"),
        unit="cps",
        stack=True,
    ),
    chart(
        "What becomes of it",
        "At rest, received = stored + rejected + repeated; what is missing waits in the backlog. Of /payloads, stored "
        "means in the queue.",
        Prom(total("stored"), "stored"),
        Prom(total("repeated"), "repeated"),
        Prom(total("rejected"), "rejected"),
        unit="cps",
    ),
    chart(
        "Rejected",
        "By endpoint and reason; `unavailable` was given back with 503, and comes again.",
        Prom(rate("collector_rejected_total", "endpoint, reason"), "{{endpoint}} {{reason}}"),
        unit="cps",
    ),
    chart(
        "Open streams",
        "Requests of JSON lines under way.",
        Prom("sum by (instance) (collector_open_streams)", "{{instance}}"),
        unit="short",
    ),
    chart(
        "Connections",
        "Of each collector's fullest worker, idle ones too. At 100 % new ones wait until another ends.",
        Prom(CONNECTIONS_SHARE, "{{instance}}"),
        unit="percentunit",
        max=1,
    ),
    Row("Writing"),
    chart(
        "Backlog",
        "What is taken in and not committed, by writer, in rows or in bytes, whichever is more. At 100 % producers "
        "wait: the database does not keep up.",
        Prom(BACKLOG_SHARE, "{{instance}} {{writer}}"),
        unit="percentunit",
        max=1,
    ),
    chart(
        "Oldest uncommitted row",
        "How long the oldest row of each writer has waited.",
        Prom("max by (instance, writer) (collector_backlog_oldest_seconds)", "{{instance}} {{writer}}"),
        unit="s",
    ),
    chart(
        "Commit, 99th percentile",
        "From the beginning of a transaction to its commit: of 100 transactions one took longer.",
        Prom(quantile(0.99, "collector_commit_seconds"), "{{writer}}"),
        unit="s",
    ),
    chart(
        "Rows of a transaction",
        "Mean. The more comes in while one is under way, the larger the next.",
        Prom(
            "sum by (writer) (rate(collector_batch_rows_sum[$__rate_interval])) "
            "/ sum by (writer) (rate(collector_batch_rows_count[$__rate_interval]))",
            "{{writer}}",
        ),
        unit="short",
    ),
    chart(
        "Transactions",
        "Committed, a second.",
        Prom(rate("collector_batches_total", "writer"), "{{writer}}"),
        unit="cps",
    ),
    chart(
        "Retries",
        "Transactions tried again: deadlocks, lost connections; the log has each with its reason.",
        Prom(rate("collector_retries_total", "writer, why"), "{{writer}} {{why}}"),
        unit="cps",
    ),
    Row("Behind the endpoints"),
    chart(
        "Queue behind /payloads",
        "Payloads not processed yet.",
        Prom("max by (source) (collector_queue_waiting)", "{{source}}"),
        unit="short",
    ),
    chart(
        "Age of the queue",
        "Of the oldest payload that is not processed yet.",
        Prom("max by (source) (collector_queue_oldest_seconds)", "{{source}}"),
        unit="s",
    ),
    chart(
        "Since the last refresh",
        "Of each continuous aggregate, by its policy; TimescaleDB only. Until then reads compute more by themselves.",
        Prom(REFRESH_AGE, "{{aggregate}}"),
        unit="s",
    ),
    chart(
        "Collectors that answer",
        "1 where Prometheus could read the metrics, of collectors and consumers.",
        Prom(UP, "{{job}} {{instance}}"),
        unit="short",
        max=1,
    ),
]

HEALTH: Dashboard = dashboard(
    UID,
    "Collector health",
    "What comes in, what becomes of it, and where it waits.",
    views=_VIEWS,
    variables=[variables.metrics()],
    since="now-1h",
    refresh="15s",
)
