"""Health, metrics, and errors of the frame: unknown paths, wrong methods."""

import re
from collections.abc import Callable

import pytest

from collector.service import Service
from tests.contract.driver import NDJSON, Answer, App, Table, payload, unique
from tests.strategies import encoded

BALANCE = ("received", "stored", "rejected", "repeated")


def totals(app: App) -> dict[str, float]:
    """The sums of what came in and what became of it."""
    answer = app.get("/metrics")
    assert answer.media_type == "text/plain"
    found = dict.fromkeys(BALANCE, 0.0)
    for name, value in re.findall(r"^collector_(\w+?)_total\{.*\} (\S+)$", answer.body.decode(), re.MULTILINE):
        if name in found:
            found[name] += float(value)
    return found


def gained(before: dict[str, float], after: dict[str, float]) -> tuple[float, ...]:
    assert after["received"] == after["stored"] + after["rejected"] + after["repeated"]
    return tuple(after[name] - before[name] for name in BALANCE)


def test_alive_and_ready(app: App) -> None:
    for path in ("/health/live", "/health/ready"):
        assert app.get(path).status == 200


@pytest.mark.parametrize("name", ["synchronous_commit", "default_transaction_read_only"])
def test_not_ready_where_what_is_acknowledged_could_be_lost(app: App, table: Table, name: str) -> None:
    value = "off" if name == "synchronous_commit" else "on"
    database = table.rows("SELECT current_database()")[0][0]
    table.run(f'ALTER DATABASE "{database}" SET {name} = {value}')
    try:
        table.run(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() "
            "AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
        )
        document = app.get("/health/ready").problem(503)
        assert name.removeprefix("default_transaction_").replace("_only", "-only") in document["detail"]
        assert app.get("/health/live").status == 200
    finally:
        table.run("SET default_transaction_read_only = off")
        table.run(f'ALTER DATABASE "{database}" RESET {name}')
        table.run(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() "
            "AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
        )
    assert app.get("/health/ready").status == 200


def test_every_line_that_came_in_is_accounted_for(app: App) -> None:
    customer, key, single_key = unique("acme"), unique("key"), unique("key")
    one, two = encoded(payload(customer, 1)), encoded(payload(customer, 2))
    steps: list[tuple[Callable[[], Answer], tuple[int, ...]]] = [
        (lambda: app.post(one), (1, 1, 0, 0)),
        (lambda: app.post(b"bad"), (1, 0, 1, 0)),
        (lambda: app.post(one, key=single_key), (1, 1, 0, 0)),
        (lambda: app.post(one, key=single_key), (1, 0, 0, 1)),
        (lambda: app.post(two, key=single_key), (1, 0, 0, 1)),
        (lambda: app.stream([one, b"", b"bad", b"x" * 70_000, two]), (4, 2, 2, 0)),
        (lambda: app.post([one + b"\n" + two[:20]], NDJSON, key=key, cut=True), (1, 1, 0, 0)),
        (lambda: app.stream([one, b"", b"bad", two], key=key), (3, 1, 1, 1)),
        (lambda: app.stream([one, b"", b"bad", two], key=key), (3, 0, 0, 3)),
        (lambda: app.stream([b""], key=unique("key")), (0, 0, 0, 0)),
    ]
    for number, (act, expected) in enumerate(steps):
        before = totals(app)
        act()
        assert gained(before, totals(app)) == expected, f"step {number}"


def test_metrics_that_people_watch_are_there(app: App) -> None:
    app.single(payload(unique("acme")))
    app.stream([payload(unique("acme")), b"bad"])
    text = app.get("/metrics").body.decode()
    for name in (
        "collector_received_total",
        "collector_stored_total",
        "collector_batches_total",
        "collector_batch_rows_bucket",
        "collector_commit_seconds_bucket",
        "collector_backlog_rows",
        "collector_backlog_bytes",
        "collector_open_streams",
    ):
        assert re.search(rf"^{name}(\{{.*\}})? \S+$", text, re.MULTILINE), name
    assert re.search(r'^collector_rejected_total\{endpoint="/stats",reason="malformed"\} ', text, re.MULTILINE)
    for gauge in ("backlog_rows", "backlog_bytes", "open_streams"):
        assert all(float(value) == 0 for value in re.findall(rf"^collector_{gauge}(?:\{{.*\}})? (\S+)$", text, re.M))


@pytest.mark.parametrize("path", ["/nowhere", "/stat", "/stats/more", "/health", "/streams", "/é", "/STATS"])
def test_unknown_paths(app: App, path: str) -> None:
    app.get(path).problem(404)


def test_a_stream_without_a_name(app: App) -> None:
    assert app.get("/streams/").status in (400, 404)


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH"])
@pytest.mark.parametrize(("path", "allowed"), [("/stats", {"GET", "POST"}), ("/streams/k", {"GET"})])
def test_wrong_methods_are_told_the_right_ones(app: App, method: str, path: str, allowed: set[str]) -> None:
    answer = app.request(method, path, chunks=[b"{}"])
    answer.problem(405)
    assert {name.strip() for name in answer.headers["allow"].split(",")} >= allowed


def test_head_is_get_without_its_body(app: App) -> None:
    for path in ("/stats", "/health/live", "/metrics"):
        answer = app.request("HEAD", path)
        assert (answer.status, answer.body) == (200, b"")


def test_a_post_to_a_reading_endpoint(app: App) -> None:
    app.post(b"{}", path="/health/live").problem(405)
    app.post(b"{}", path="/streams/k").problem(405)
    app.post(b"{}", path="/nowhere").problem(404)


def test_the_service_is_the_one_the_test_made(app: App) -> None:
    """The clock above is injected, not the machine's."""
    assert isinstance(app.service, Service)
    assert app.service.now_ms() == int(app.clock.now * 1000)
