"""Alert rules on the collector's metrics, as Grafana provisions them."""

from typing import Any

import msgspec

from dashboards import health, variables

FOLDER = "Collector"
EVERY_S = 30
"""Between two evaluations: twice Prometheus' own interval."""
LOOK_BACK_S = 600


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """Fires when `expr` has been over `limit` for as long as `lasting`, for each of its series; `panel` shows it.

    Without any data it is quiet, except where that is what is wrong.
    """

    uid: str
    title: str
    expr: str
    limit: float
    lasting: str
    severity: str
    summary: str
    description: str
    panel: str
    below: bool = False
    no_data: str = "OK"


RULES = [
    Rule(
        uid="collector-down",
        title="A collector does not answer",
        expr=health.UP,
        below=True,
        limit=1,
        lasting="1m",
        severity="critical",
        summary="Prometheus cannot read the metrics of {{ $labels.instance }}",
        description="The process is gone or stuck, or the network between is cut.",
        panel="Collectors that answer",
        no_data="Alerting",
    ),
    # One that is gone as a whole, and found by its name or by Kubernetes, leaves no series of `up`.
    Rule(
        uid="collector-gone",
        title="No collector",
        expr='absent(up{job="collector"} == 1)',
        limit=0,
        lasting="1m",
        severity="critical",
        summary="There is no collector that Prometheus can read the metrics of",
        description="None runs, none is found, or the network between is cut. Prometheus' job has to be `collector`.",
        panel="Collectors that answer",
    ),
    Rule(
        uid="collector-no-consumer",
        title="No consumer",
        expr="sum(collector_consumers) or vector(0)",
        below=True,
        limit=1,
        lasting="1m",
        severity="critical",
        summary="Nobody processes the queue behind /payloads",
        description="What is posted to /payloads is safe, and waits: `collector consume` does not run, and collectors "
        "are told to leave it the queue.",
        panel="Queue behind /payloads",
        no_data="Alerting",
    ),
    Rule(
        uid="collector-backlog",
        title="Backlog",
        expr=health.BACKLOG_SHARE,
        limit=0.8,
        lasting="2m",
        severity="warning",
        summary="The backlog of {{ $labels.writer }} on {{ $labels.instance }} is over 80 % full",
        description="The database does not keep up: streams are slowed down, single messages are about to get 503.",
        panel="Backlog",
    ),
    Rule(
        uid="collector-connections",
        title="Connections",
        expr=health.CONNECTIONS_SHARE,
        limit=0.9,
        lasting="2m",
        severity="warning",
        summary="A worker of {{ $labels.instance }} has over 90 % of the connections that it takes",
        description="Whoever comes beyond them waits until one ends, the probes too: more workers or collectors, or a "
        "higher COLLECTOR_CONNECTIONS.",
        panel="Connections",
    ),
    Rule(
        uid="collector-lag",
        title="Lag of commits",
        expr="max by (instance, writer) (collector_backlog_oldest_seconds)",
        limit=10,
        lasting="1m",
        severity="critical",
        summary="{{ $labels.writer }} on {{ $labels.instance }} has not committed for over 10 s",
        description="The database is away, locked or very slow. Nothing is lost, and nothing is acknowledged.",
        panel="Oldest uncommitted row",
    ),
    Rule(
        uid="collector-queue-lag",
        title="Lag of the queue",
        expr="max by (source) (collector_queue_oldest_seconds)",
        limit=300,
        lasting="5m",
        severity="warning",
        summary="A payload in {{ $labels.source }} has waited for over 5 minutes",
        description="No consumer runs, or those that run do not keep up. Without data, no collector can look at it.",
        panel="Age of the queue",
        no_data="Alerting",
    ),
    Rule(
        uid="collector-rejected",
        title="Rejected share",
        expr=health.rejected_share("5m"),
        limit=0.05,
        lasting="5m",
        severity="warning",
        summary="Over 5 % of what comes in cannot be accepted",
        description="The table `rejected` has the lines and the reasons; often a new release of a client is why.",
        panel="Rejected",
    ),
    Rule(
        uid="collector-refresh-lag",
        title="Lag of refreshes",
        expr=health.REFRESH_AGE,
        limit=600,
        lasting="5m",
        severity="warning",
        summary="{{ $labels.aggregate }} has not been refreshed for over 10 minutes",
        description="Its policy fails or does not run: `collector doctor` says how its last run went. Answers stay "
        "right and become slower.",
        panel="Since the last refresh",
    ),
]


def document() -> dict[str, Any]:
    """The file that Grafana reads."""
    group = {
        "orgId": 1,
        "name": "collector",
        "folder": FOLDER,
        "interval": f"{EVERY_S}s",
        "rules": [_provisioned(rule) for rule in RULES],
    }
    return {"apiVersion": 1, "groups": [group]}


def _provisioned(rule: Rule) -> dict[str, Any]:
    panels = {panel.title: panel.id for panel in health.HEALTH.panels if panel.type == "timeseries"}
    panel = panels[rule.panel]
    evaluator = {"type": "lt" if rule.below else "gt", "params": [rule.limit]}
    return {
        "uid": rule.uid,
        "title": rule.title,
        "condition": "C",
        "data": [
            _query("A", variables.METRICS_UID, {"expr": rule.expr, "instant": True, "range": False}),
            _query(
                "C",
                "__expr__",
                {"type": "threshold", "expression": "A", "conditions": [{"evaluator": evaluator, "type": "query"}]},
            ),
        ],
        "for": rule.lasting,
        "noDataState": rule.no_data,
        "execErrState": "Error",
        "dashboardUid": health.UID,
        "panelId": panel,
        "annotations": {
            "summary": rule.summary,
            "description": rule.description,
            "__dashboardUid__": health.UID,
            "__panelId__": str(panel),
        },
        "labels": {"severity": rule.severity},
        "isPaused": False,
    }


def _query(ref_id: str, datasource: str, model: dict[str, Any]) -> dict[str, Any]:
    return {
        "refId": ref_id,
        "relativeTimeRange": {"from": LOOK_BACK_S, "to": 0},
        "datasourceUid": datasource,
        "model": {"refId": ref_id, "datasource": {"uid": datasource}, **model},
    }
