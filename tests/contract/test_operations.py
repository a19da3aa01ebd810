"""Health, metrics, and errors of the frame: unknown paths, wrong methods."""

import asyncio
import re
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import psycopg
import pytest
from structlog.testing import capture_logs

from collector import background
from collector.service import Service
from tests.contract.driver import DEADLINE_S, NDJSON, Answer, App, Table, payload, running, unique
from tests.harness.client import Metrics
from tests.harness.engines import Engine
from tests.strategies import encoded

BALANCE = ("received", "stored", "rejected", "repeated")


T = TypeVar("T")


def eventually(look: Callable[[], T], good: Callable[[T], bool]) -> T:
    """What is seen once it is good. Raises AssertionError when it never is."""
    deadline = time.monotonic() + DEADLINE_S
    while not good(seen := look()):
        assert time.monotonic() < deadline, seen
        time.sleep(0.05)
    return seen


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


def test_a_part_that_a_defect_has_ended_is_told(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(background, "_ended", [])

    async def defective() -> None:
        raise ValueError

    async def ended() -> None:
        await asyncio.wait([background.run(defective(), "the sweeper")])

    app.call(ended())
    for path in ("/health/live", "/health/ready"):
        assert app.get(path).problem(503)["detail"] == "the sweeper has ended by an error"


def test_what_ends_in_order_is_no_defect(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(background, "_ended", [])
    with running(database_url) as app:
        app.get("/health/ready")
    assert background.ended() == []


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


def test_a_schema_newer_than_needed_will_do_and_an_older_one_will_not(
    app: App, table: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A release's migration runs before its processes do, beside those of the release before."""
    readiness = app.service._readiness
    assert app.get("/health/ready").status == 200
    needed = readiness._schema
    monkeypatch.setattr(readiness, "_schema", needed - 1)
    with capture_logs() as logged:
        for _ in range(3):
            assert app.get("/health/ready").status == 200
    (warning,) = logged
    assert (warning["log_level"], warning["schema"], warning["needed"]) == ("warning", needed, needed - 1)
    monkeypatch.setattr(readiness, "_schema", needed + 1)
    assert f"at schema {needed}" in app.get("/health/ready").problem(503)["detail"]


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
        "collector_backlog_max_rows",
        "collector_backlog_max_bytes",
        "collector_backlog_full_ratio",
        "collector_backlog_oldest_seconds",
        "collector_open_streams",
    ):
        assert re.search(rf"^{name}(\{{.*\}})? \S+$", text, re.MULTILINE), name
    assert re.search(r'^collector_rejected_total\{endpoint="/stats",reason="malformed"\} ', text, re.MULTILINE)
    for gauge in ("backlog_rows", "backlog_bytes", "open_streams"):
        assert all(float(value) == 0 for value in re.findall(rf"^collector_{gauge}(?:\{{.*\}})? (\S+)$", text, re.M))


def gauge(app: App, name: str, **labels: str) -> float:
    """The sum of a gauge's samples with these labels."""
    return Metrics(app.get("/metrics").body.decode()).total(name, **labels)


def test_what_waits_has_an_age(module_url: str, table: Table) -> None:
    """A lock holds the database up, and the age grows until it is gone."""
    name = "collector_backlog_oldest_seconds"
    with running(module_url) as app, ThreadPoolExecutor() as threads:
        assert gauge(app, "collector_backlog_max_rows", writer="singles /stats") == app.settings.backlog_rows
        table.run("BEGIN")
        try:
            table.run("LOCK payload")
            posted = threads.submit(app.single, payload(unique("acme")))
            first = eventually(lambda: gauge(app, name, writer="singles /stats"), lambda age: age > 0)
            eventually(lambda: gauge(app, name, writer="singles /stats"), lambda age: age > first)
        finally:
            table.run("ROLLBACK")
        assert posted.result(DEADLINE_S).status == 204
        eventually(lambda: gauge(app, name), lambda age: age == 0)


def test_the_backlog_is_shown_while_a_transaction_hangs(module_url: str, table: Table) -> None:
    """What comes in after the transaction began is in it, and how full it is is said by the bound that is nearer."""
    where = {"writer": "singles /stats"}
    settings = {"backlog_rows": 1_000, "backlog_bytes": 100_000, "single_wait_s": DEADLINE_S}
    with running(module_url, **settings) as app, ThreadPoolExecutor() as threads:
        table.run("BEGIN")
        try:
            table.run("LOCK payload")
            posted = [threads.submit(app.single, payload(unique("acme")))]
            eventually(lambda: gauge(app, "collector_backlog_rows", **where), lambda rows: rows == 1)
            eventually(lambda: gauge(app, "collector_backlog_oldest_seconds", **where), lambda age: age > 0)
            posted += [threads.submit(app.single, payload(unique("acme"))) for _ in range(2)]
            eventually(lambda: gauge(app, "collector_backlog_rows", **where), lambda rows: rows == 3)
            size_bytes = gauge(app, "collector_backlog_bytes", **where)
            assert gauge(app, "collector_backlog_full_ratio", **where) == pytest.approx(size_bytes / 100_000)
            assert size_bytes / 100_000 > 3 / 1_000
            assert gauge(app, "collector_backlog_max_bytes", **where) == 100_000
        finally:
            table.run("ROLLBACK")
        assert [each.result(DEADLINE_S).status for each in posted] == [204, 204, 204]


def test_refreshes_of_aggregates_are_shown(engine: Engine) -> None:
    """By the policy itself, which the tests' other servers do not run."""
    name = "collector_aggregate_refreshed_timestamp_seconds"
    jobs = {"timescaledb.max_background_workers": "8"} if engine.has_timescaledb else {}
    with (
        engine.private_server(None, **jobs) as server,
        running(server.url) as app,
        psycopg.connect(server.url) as connection,
    ):

        def look() -> float:
            app.call(app.service.look_at_aggregates())
            return gauge(app, name, aggregate="stats_5m")

        if not engine.has_timescaledb:
            app.call(app.service.look_at_aggregates())
            assert "stats_5m" not in app.call(app.service.store.refreshed_aggregates())
            return
        row = connection.execute("SELECT extract(epoch FROM min(applied_at))::float8 FROM collector_schema").fetchone()
        assert row is not None
        assert look() >= row[0]
        before = time.time()
        connection.execute(
            "SELECT alter_job(job_id, next_start => now()) FROM timescaledb_information.jobs "
            "WHERE proc_name = 'policy_refresh_continuous_aggregate'"
        )
        connection.commit()
        eventually(look, lambda refreshed_at: refreshed_at > before)


@pytest.mark.parametrize("path", ["/nowhere", "/stat", "/stats/more", "/health", "/streams", "/é", "/STATS"])
def test_unknown_paths(app: App, path: str) -> None:
    app.get(path).problem(404)


@pytest.mark.parametrize(
    ("method", "path", "detail"),
    [
        ("GET", "/stat", "no endpoint /stat; did you mean /stats?"),
        ("GET", "/é", "no endpoint /%C3%A9; see /docs"),
        ("GET", "/STATS", "no endpoint /STATS; did you mean /stats?"),
        ("GET", "/session/a", "no endpoint /session/a; did you mean /sessions?"),
        ("GET", "/openapi", "no endpoint /openapi; did you mean /openapi.json?"),
        ("GET", "/favicon.ico", "no endpoint /favicon.ico; see /docs"),
        ("GET", "/" + "x" * 5_000, f"no endpoint /{'x' * 99}; see /docs"),
        ("POST", "/stat", "no endpoint /stat; did you mean /stats?"),
        ("POST", "/v1/stats", "no endpoint /v1/stats; did you mean /stats?"),
        ("POST", "/payload", "no endpoint /payload; did you mean /payloads?"),
        ("POST", "/payloads/", "no endpoint /payloads/; did you mean /payloads?"),
        ("POST", "/stats/", "no endpoint /stats/; did you mean /stats?"),
        ("POST", "/sessions/logs/", "no endpoint /sessions/logs/; did you mean /sessions/logs?"),
    ],
)
def test_an_unknown_path_is_told_which_one_was_meant(app: App, method: str, path: str, detail: str) -> None:
    document = app.request(method, path, chunks=[b"{}"]).problem(404)
    assert (document["title"], document["detail"]) == ("There is nothing by this name", detail)


def test_a_slash_at_the_end_does_not_matter_for_reading(app: App) -> None:
    assert app.get("/stats/").status == app.get("/stats").status == 200


@pytest.mark.parametrize(
    ("method", "path", "detail"),
    [
        ("PUT", "/stats", "/stats takes GET, HEAD, OPTIONS, POST"),
        ("POST", "/metrics", "/metrics takes GET, HEAD, OPTIONS"),
        ("GET", "/payloads", "/payloads takes POST only"),
    ],
)
def test_a_wrong_method_is_told_in_words(app: App, method: str, path: str, detail: str) -> None:
    document = app.request(method, path, chunks=[b"{}"]).problem(405)
    assert (document["title"], document["detail"]) == ("The path does not take this method", detail)


def test_what_the_framework_refuses_has_the_same_title(app: App) -> None:
    found = app.get("/stats", limit=0).problem(400)
    assert found["title"] == app.get("/stats", nothing=1).problem(400)["title"]
    assert found["detail"].startswith("limit: ")


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
