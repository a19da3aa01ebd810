"""Expressions of the Prometheus panels and of the alert rules: they parse, and a collector has what they name."""

import re
from collections.abc import Iterator

import prometheus_client
import promql_parser
import pytest

import collector.metrics
from dashboards import alerts
from dashboards.written import DASHBOARDS
from tests.conftest import Serve
from tests.harness.client import Client

OF_PROMETHEUS = {"up": {"job", "instance"}}
"""What it knows by itself; `job` and `instance` it also adds to ours."""
OF_SCRAPE = {"job", "instance"}
SUFFIXES = {"counter": ["_total"], "gauge": [""], "histogram": ["_bucket", "_sum", "_count"]}

EXPRESSIONS = [
    *(
        pytest.param(target.expr, target.legend_format or "", id=f"{dashboard.title}: {panel.title} {target.ref_id}")
        for dashboard in DASHBOARDS
        for panel in dashboard.panels
        for target in panel.targets
        if target.expr is not None
    ),
    *(pytest.param(rule.expr, rule.summary, id=f"alert: {rule.title}") for rule in alerts.RULES),
]


def parsed(expression: str) -> promql_parser.Expr:
    """With Grafana's own interval put in."""
    return promql_parser.parse(expression.replace("$__rate_interval", "1m"))


def selectors(expression: str) -> Iterator[tuple[str, set[str]]]:
    """Every metric that it names, with the labels that it matches."""
    found: list[promql_parser.VectorSelector] = []

    def visit(node: promql_parser.Expr) -> None:
        if isinstance(node, promql_parser.MatrixSelector):
            found.append(node.vector_selector)
        elif isinstance(node, promql_parser.VectorSelector):
            found.append(node)

    promql_parser.walk(parsed(expression), visit)
    for selector in found:
        assert selector.name is not None
        yield selector.name, {matcher.name for matcher in selector.matchers.matchers} - {"__name__"}


def grouped_by(expression: str) -> set[str]:
    """Labels of every `by`."""
    labels: set[str] = set()

    def visit(node: promql_parser.Expr) -> None:
        if isinstance(node, promql_parser.AggregateExpr) and node.modifier is not None:
            labels.update(node.modifier.labels)

    promql_parser.walk(parsed(expression), visit)
    return labels


def known() -> dict[str, set[str]]:
    """The collector's samples and their labels, as its code has them."""
    samples: dict[str, set[str]] = dict(OF_PROMETHEUS)
    for metric in vars(collector.metrics).values():
        if isinstance(metric, prometheus_client.metrics.MetricWrapperBase):
            for suffix in SUFFIXES[str(metric._type)]:
                own = {"le"} if suffix == "_bucket" else set()
                samples[metric._name + suffix] = {*metric._labelnames, *OF_SCRAPE, *own}
    return samples


@pytest.mark.parametrize(("expression", "text"), EXPRESSIONS)
def test_an_expression_names_what_there_is(expression: str, text: str) -> None:
    samples = known()
    used = list(selectors(expression))
    assert used
    for name, matched in used:
        assert name in samples
        assert matched | grouped_by(expression) <= samples[name]
    in_text = set(re.findall(r"\{\{\s*(?:\$labels\.)?(\w+)\s*\}\}", text))
    has = grouped_by(expression) or set.union(*(samples[name] for name, _ in used))
    assert in_text <= has, "a label that the expression does not keep"


@pytest.mark.parametrize(("expression", "text"), EXPRESSIONS)
def test_what_came_in_is_counted_once(expression: str, text: str) -> None:
    """What the queue hands on was received at /payloads before."""
    for name, matched in selectors(expression):
        assert name != "collector_received_total" or "endpoint" in matched, text


def test_a_running_collector_has_the_metrics(serve: Serve, best_database_url: str) -> None:
    """By name, also those that have not counted anything yet."""
    client: Client = serve(best_database_url).client
    payload = b'{"token":"t","customer":"c","content":"f","timespan":1,"p2p":1,"cdn":1,"sessionDuration":1}'
    assert client.post(payload).status == 204
    assert client.post_lines(payload + b"\nbad\n").status == 200
    text = client.get("/metrics").body.decode()
    shown = set(re.findall(r"^([a-z_]+)(?:\{| )", text, re.MULTILINE))
    declared = set(re.findall(r"^# TYPE (\w+) ", text, re.MULTILINE))
    for expression in (str(case.values[0]) for case in EXPRESSIONS):
        for name, _ in selectors(expression):
            family = re.sub(r"_(bucket|sum|count)$", "", name)
            assert {name, family} & (shown | declared | set(OF_PROMETHEUS)), name


def test_a_broken_expression_is_found() -> None:
    with pytest.raises(ValueError, match=r"."):
        parsed("sum by (endpoint (rate(collector_received_total[1m]))")
