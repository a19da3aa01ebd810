"""What the database does with old rows: brought into line with the settings, from whatever it was before."""

import json
import threading
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from collector.database.upkeep import bring_into_line, pending, wiping_refreshes
from collector.errors import SettingError
from collector.migrate import migrate
from collector.settings import Settings
from collector.store.admin import connected
from tests.conftest import Serve
from tests.harness.engines import Engine
from tests.harness.server import collector, diagnosed
from tests.test_migrate import described, empty_database

OTHER = Settings(
    payload_retention_days=90.0,
    payload_columnstore_days="never",
    stats_retention_days=365.0,
    stats_columnstore_days=10.0,
    stats_refresh_days=9.5,
    session_retention_days=7.0,
    hit_retention_days="forever",
    user_retention_days=100.0,
    key_retention_h=48.0,
    chunk_h=1.0,
)
WINDOW = timedelta(minutes=5)


def ask(url: str, question: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("SET timezone = 'UTC'")
        cursor = connection.execute(question.encode())
        return cursor.fetchall() if cursor.description else []


def kept(url: str) -> dict[str, str | None]:
    return dict(ask(url, "SELECT name, keep::text FROM retention"))


def policies(url: str) -> dict[tuple[str, str], dict[str, str]]:
    """What the policies of TimescaleDB act on, by job and table."""
    rows = ask(
        url,
        "SELECT proc_name, hypertable_name, config - 'hypertable_id' - 'mat_hypertable_id'"
        " FROM timescaledb_information.jobs WHERE hypertable_name IS NOT NULL",
    )
    return {(job.removeprefix("policy_"), table): config for job, table, config in rows}


def test_the_database_does_as_the_settings_say_and_twice_changes_nothing(database_url: str, engine: Engine) -> None:
    before = described(database_url)
    assert bring_into_line(database_url, Settings()) == []
    changed = bring_into_line(database_url, OTHER)
    assert {
        "payload: kept 90 days, was 30 days",
        "stats_5m: kept 365 days, was forever",
        "session_message: kept 7 days, was 30 days",
        "hit: kept forever, was 30 days",
        "analytics_user: kept 100 days, was forever",
        "keys: kept 2 days, was 1 day",
    } <= set(changed)
    told = kept(database_url)
    assert (told["payload"], told["hit"], told["keys"], told["rejected"]) == ("90 days", None, "2 days", "30 days")
    if engine.has_timescaledb:
        assert {"payload: columnar never, was 1 day", "hit: chunks of 1 hour, was 6 hours"} <= set(changed)
        assert policies(database_url) == {
            ("retention", "payload"): {"drop_after": "90 days"},
            ("refresh_continuous_aggregate", "stats_5m"): {"start_offset": "9 days 12:00:00", "end_offset": "00:06:00"},
            ("retention", "stats_5m"): {"drop_after": "365 days"},
            ("compression", "stats_5m"): {"compress_after": "10 days"},
            ("retention", "session_message"): {"drop_after": "7 days"},
            ("compression", "session_message"): {"compress_after": "1 day"},
            ("retention", "session_cpu"): {"drop_after": "90 days"},
            ("compression", "session_cpu"): {"compress_after": "2 days"},
            ("compression", "hit"): {"compress_after": "1 day"},
        }
    there = described(database_url)
    assert bring_into_line(database_url, OTHER) == []
    assert described(database_url) == there != before or not engine.has_timescaledb
    bring_into_line(database_url, Settings())
    assert described(database_url) == before


def test_policies_that_were_made_by_hand_or_by_an_older_version_are_put_right(
    best_engine: Engine, best_database_url: str
) -> None:
    url = best_database_url
    if not best_engine.has_timescaledb:
        pytest.skip("policies are TimescaleDB's")
    ask(url, "SELECT remove_continuous_aggregate_policy('stats_5m')")
    ask(url, "SELECT add_continuous_aggregate_policy('stats_5m', NULL, INTERVAL '1 hour', INTERVAL '1 day')")
    ask(url, "SELECT remove_retention_policy('payload')")
    ask(url, "CALL remove_columnstore_policy('hit')")
    ask(url, "DELETE FROM retention")
    ask(url, "INSERT INTO retention (name, keep) VALUES ('of a version to come', NULL)")
    changed = bring_into_line(url, Settings())
    assert "stats_5m: refreshed over the last 3 days, was forever" in changed
    assert "hit: columnar after 1 day" in changed
    assert "of a version to come: not known any more" in changed
    assert bring_into_line(url, Settings()) == []
    jobs = policies(url)
    assert jobs["refresh_continuous_aggregate", "stats_5m"] == {"start_offset": "3 days", "end_offset": "00:06:00"}
    assert jobs["retention", "payload"] == {"drop_after": "30 days"}


def test_two_at_once_are_safe(database_url: str) -> None:
    barrier = threading.Barrier(2)
    found: list[list[str]] = []

    def run() -> None:
        barrier.wait(30)
        found.append(bring_into_line(database_url, OTHER))

    threads = [threading.Thread(target=run) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(map(bool, found)) == [False, True]


def test_settings_that_would_harm_are_refused_before_anything_is_done(engine: Engine) -> None:
    with empty_database(engine) as url:
        done = collector("migrate", database_url=url, COLLECTOR_PAYLOAD_RETENTION_DAYS="3")
        assert done.returncode == 2
        assert done.stderr.startswith("collector: COLLECTOR_PAYLOAD_RETENTION_DAYS: ")
        assert "COLLECTOR_STATS_REFRESH_DAYS" in done.stderr
        assert len(done.stderr.splitlines()) == 1
        assert ask(url, "SELECT to_regclass('payload')::text") == [(None,)]
        migrate(url)
        with pytest.raises(SettingError):
            bring_into_line(url, Settings(payload_retention_days=3.0))
        assert kept(url) == {}


def test_migrate_says_what_is_different_now(database_url: str) -> None:
    done = collector("migrate", "--json", database_url=database_url, COLLECTOR_HIT_RETENTION_DAYS="7")
    assert json.loads(done.stdout) == {"applied": [], "changed": ["hit: kept 7 days, was 30 days"]}
    done = collector("migrate", database_url=database_url, COLLECTOR_HIT_RETENTION_DAYS="forever")
    assert (done.returncode, done.stdout) == (0, "hit: kept forever, was 7 days\n")


def test_doctor_and_serve_tell_where_the_database_does_otherwise(serve: Serve, database_url: str) -> None:
    other = {"COLLECTOR_REJECTED_RETENTION_DAYS": "7"}
    found = diagnosed(database_url, **other)
    (problem,) = found["problems"]
    assert "rejected: kept 7 days, was 30 days" in problem
    assert "collector migrate" in problem
    assert found["kept"]["rejected"] == "30 days"
    server = serve(database_url, **other)
    assert "rejected: kept 7 days, was 30 days" in server.log_tail()
    collector("migrate", database_url=database_url, **other)
    assert diagnosed(database_url, **other)["problems"] == []


def test_a_refresh_over_rows_that_are_gone_wipes_their_windows_and_doctor_says_so(
    best_engine: Engine, best_database_url: str
) -> None:
    """The trap is a real one; and with the policies of the settings it does not snap."""
    url = best_database_url
    if not best_engine.has_timescaledb:
        pytest.skip("policies are TimescaleDB's")
    now = datetime.now(UTC)
    for days in (40, 2):
        ask(
            url,
            "INSERT INTO payload (received_at, token, customer, content, timespan, p2p, cdn, session_duration, started)"
            f" VALUES ('{(now - timedelta(days=days)).isoformat()}', 't', 'c', 'f', 1, 1, 1, 1, true)",
        )
    windows = "SELECT count(*) FROM stats_5m"
    refresh_all = "CALL refresh_continuous_aggregate('stats_5m', NULL, NULL)"
    ask(url, refresh_all)

    def run(job: str) -> None:
        ((number,),) = ask(
            url,
            "SELECT job_id FROM timescaledb_information.jobs WHERE proc_name = 'policy_"
            f"{job}' AND hypertable_name IN ('payload', 'stats_5m')",
        )
        ask(url, f"CALL run_job({number})")

    run("retention")
    run("refresh_continuous_aggregate")
    assert ask(url, "SELECT count(*) FROM payload") == [(1,)]
    assert ask(url, windows) == [(2,)]
    with connected(url) as admin:
        assert wiping_refreshes(admin) == []
    ask(url, "SELECT remove_continuous_aggregate_policy('stats_5m')")
    ask(url, "SELECT add_continuous_aggregate_policy('stats_5m', INTERVAL '50 days', INTERVAL '6 min', INTERVAL '1 h')")
    (trap,) = [problem for problem in diagnosed(url)["problems"] if "wipes" in problem]
    assert "stats_5m is refreshed over the last 50 days, but rows of payload are dropped after 30 days" in trap
    run("refresh_continuous_aggregate")
    assert ask(url, windows) == [(1,)]
    collector("migrate", database_url=url)
    assert diagnosed(url)["problems"] == []


def test_old_windows_are_read_alike_from_the_columnstore(best_engine: Engine, best_database_url: str) -> None:
    url = best_database_url
    if not best_engine.has_timescaledb:
        pytest.skip("the columnstore is TimescaleDB's")
    begin = datetime(2026, 1, 1, tzinfo=UTC)
    rows = ", ".join(
        f"('{(begin + number * WINDOW).isoformat()}', 't', 'c{number % 3}', 'f{number % 2}', 1, {number}, 1, 1, true)"
        for number in range(2_000)
    )
    columns = "received_at, token, customer, content, timespan, p2p, cdn, session_duration, started"
    ask(url, f"INSERT INTO payload ({columns}) VALUES {rows}")
    ask(url, "CALL refresh_continuous_aggregate('stats_5m', NULL, NULL)")
    page = "SELECT * FROM stats ORDER BY time DESC, customer, content LIMIT 1000"
    before, one = ask(url, page), ask(url, "SELECT * FROM stats WHERE customer = 'c1' ORDER BY time")
    chunks = ask(url, "SELECT show_chunks('stats_5m', older_than => INTERVAL '7 days')")
    ((job,),) = ask(
        url,
        "SELECT job_id FROM timescaledb_information.jobs "
        "WHERE proc_name = 'policy_compression' AND hypertable_name LIKE '%stats_5m' OR hypertable_name = 'stats_5m' "
        "AND proc_name = 'policy_compression'",
    )
    ask(url, f"CALL run_job({job})")
    compressed = ask(url, "SELECT count(*) FROM timescaledb_information.chunks WHERE is_compressed")
    assert compressed == [(len(chunks),)] != [(0,)]
    assert ask(url, page) == before
    assert ask(url, "SELECT * FROM stats WHERE customer = 'c1' ORDER BY time") == one
    # Late payloads go to windows that are columnar, too.
    ask(url, f"INSERT INTO payload ({columns}) VALUES ('{begin.isoformat()}', 'late', 'c0', 'f0', 1, 7, 1, 1, true)")
    ask(
        url,
        f"CALL refresh_continuous_aggregate('stats_5m', '{begin.isoformat()}', '{(begin + 2 * WINDOW).isoformat()}')",
    )
    assert ask(url, "SELECT p2p FROM stats ORDER BY time, customer LIMIT 1") == [(7,)]


def test_nothing_is_pending_after_a_migration(database_url: str) -> None:
    with connected(database_url) as admin:
        assert pending(admin, Settings()) == []
        assert pending(admin, OTHER)
