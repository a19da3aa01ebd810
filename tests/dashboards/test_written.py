"""The files that Grafana reads: up to date, complete, and free of what would surprise it."""

import itertools
import re
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml

from dashboards import alerts, variables
from dashboards.health import HEALTH
from dashboards.health import UP as HEALTH_UP
from dashboards.model import Dashboard, Panel
from dashboards.written import DASHBOARDS, FOLDER, contents

RAW = {"payload", "payload_queue", "session_message", "hit", "analytics_user", "session_token", "progress", "rejected"}
"""Tables of which a dashboard reads nothing: they grow with every message."""
PROVISIONING = FOLDER / "provisioning"
PROMETHEUS = FOLDER.parent / "prometheus.yaml"


def panels(dashboard: Dashboard) -> list[Panel]:
    """Those that show something."""
    return [panel for panel in dashboard.panels if panel.type != "row"]


EVERY_PANEL = [
    pytest.param(panel, id=f"{dashboard.title}: {panel.title}")
    for dashboard in DASHBOARDS
    for panel in panels(dashboard)
]


def test_what_is_committed_is_what_is_written() -> None:
    wanted = contents()
    for path, text in wanted.items():
        assert path.read_text() == text, "make dashboards writes it"
    written = set(FOLDER.rglob("*.json"))
    assert written == set(wanted), "make dashboards removes what is no more"


@pytest.mark.parametrize("dashboard", DASHBOARDS, ids=lambda each: each.title)
def test_a_dashboard_is_whole(dashboard: Dashboard) -> None:
    document = msgspec.json.decode(msgspec.json.encode(dashboard))
    assert document["schemaVersion"] == 42
    assert re.fullmatch(r"[a-z-]{1,40}", dashboard.uid)
    ids = [panel["id"] for panel in document["panels"]]
    assert len(set(ids)) == len(ids)
    assert len({each.uid for each in DASHBOARDS}) == len(DASHBOARDS)
    assert {variable["name"] for variable in document["templating"]["list"]} >= {"datasource"}
    assert "id" not in document  # of Grafana's own database: another one's would be overwritten


@pytest.mark.parametrize("dashboard", DASHBOARDS, ids=lambda each: each.title)
def test_panels_stand_side_by_side(dashboard: Dashboard) -> None:
    taken = [
        {
            (x, y)
            for x in range(p.grid_pos.x, p.grid_pos.x + p.grid_pos.w)
            for y in range(p.grid_pos.y, p.grid_pos.y + p.grid_pos.h)
        }
        for p in dashboard.panels
    ]
    assert all(0 <= x < 24 for cells in taken for x, _ in cells)
    assert not any(one & other for one, other in itertools.combinations(taken, 2))
    in_order = [(panel.grid_pos.y, panel.grid_pos.x) for panel in dashboard.panels]
    assert in_order == sorted(in_order)


@pytest.mark.parametrize("panel", EVERY_PANEL)
def test_a_panel_says_what_it_shows(panel: Panel) -> None:
    assert panel.title
    assert panel.description
    assert panel.description.endswith(".")
    assert panel.field_config is not None
    assert panel.field_config.defaults.unit
    assert panel.targets
    for target in panel.targets:
        assert target.datasource == panel.datasource
        assert target.datasource.uid == "${datasource}"
        assert (target.raw_sql is None) != (target.expr is None)


@pytest.mark.parametrize("panel", EVERY_PANEL)
def test_queries_filter_by_time_and_read_aggregates_only(panel: Panel) -> None:
    for target in panel.targets:
        if target.raw_sql is not None:
            assert "$__timeFilter(" in target.raw_sql
            assert not set(re.findall(r"\b(?:FROM|JOIN) (\w+)", target.raw_sql)) & RAW


def test_variables_are_used_and_those_used_are_there() -> None:
    of_grafana = {"__interval", "__interval_ms", "__rate_interval", "__url_time_range", "__value", "__from", "__to"}
    for dashboard in DASHBOARDS:
        text = msgspec.json.encode([dashboard.panels, dashboard.templating, dashboard.links]).decode()
        used = set(re.findall(r"\$\{?(\w+)(?!\w*\()", text)) - of_grafana
        used -= {name for name in used if f"${name}(" in text and name.startswith("__time")}
        assert used - {"__data", "__all"} == {variable.name for variable in dashboard.templating["list"]}


def test_dashboards_are_provisioned_from_where_compose_puts_them() -> None:
    (provider,) = _yaml(PROVISIONING / "dashboards" / "collector.yaml")["providers"]
    assert provider["type"] == "file"
    assert provider["allowUiUpdates"] is False
    assert provider["folder"] == alerts.FOLDER


def test_data_sources_are_those_that_the_dashboards_name() -> None:
    sources = {
        source["uid"]: source for source in _yaml(PROVISIONING / "datasources" / "collector.yaml")["datasources"]
    }
    database, metrics = sources[variables.DATABASE_UID], sources[variables.METRICS_UID]
    assert len(sources) == 2
    assert database["type"] == "grafana-postgresql-datasource"
    assert database["jsonData"]["timescaledb"] is True
    assert metrics["type"] == "prometheus"
    assert all(source["editable"] is False for source in sources.values())
    # Grafana puts these in from its environment; nothing secret is written here.
    assert re.fullmatch(r"\$\w+", database["secureJsonData"]["password"])
    for dashboard in DASHBOARDS:
        (chosen,) = [each for each in dashboard.templating["list"] if each.type == "datasource"]
        assert sources[chosen.current["value"]]["type"] == chosen.query
        assert sources[chosen.current["value"]]["name"] == chosen.current["text"]


def test_alert_rules_are_whole() -> None:
    (group,) = alerts.document()["groups"]
    assert {"collector-backlog", "collector-lag", "collector-rejected", "collector-refresh-lag"} <= {
        rule["uid"] for rule in group["rules"]
    }
    panels_of_health = {str(panel.id) for panel in HEALTH.panels}
    for rule in group["rules"]:
        assert {query["refId"] for query in rule["data"]} >= {rule["condition"]}
        assert rule["annotations"]["__panelId__"] in panels_of_health
        assert rule["annotations"]["__dashboardUid__"] == HEALTH.uid
        assert (rule["dashboardUid"], str(rule["panelId"])) == (HEALTH.uid, rule["annotations"]["__panelId__"])
        assert rule["noDataState"] in ("OK", "NoData", "Alerting")
        for query in rule["data"]:
            assert query["datasourceUid"] in (variables.METRICS_UID, "__expr__")


def test_prometheus_has_the_jobs_that_the_rules_look_for() -> None:
    """One each: a name without an address leaves no target, and a job of two would still have the others."""
    jobs = {each["job_name"]: each for each in _yaml(PROMETHEUS)["scrape_configs"]}
    for name in ("collector", "consumer"):
        assert [each["names"] for each in jobs[name]["dns_sd_configs"]] == [[name]]
    (up,) = re.findall(r'up\{job=~"(\S+)"\}', HEALTH_UP)
    assert set(up.split("|")) == {"collector", "consumer"}
    rules = {rule.uid: rule for rule in alerts.RULES}
    assert rules["collector-gone"].expr == 'absent(up{job="collector"} == 1)'
    assert rules["collector-queue-lag"].no_data == rules["collector-no-consumer"].no_data == "Alerting"


def _yaml(path: Path) -> Any:
    return yaml.safe_load(path.read_text())
