"""`collector doctor`: whatever keeps a collector from doing its work is a problem, with a word on what to do."""

from collections.abc import Iterator

import psycopg
import pytest

from collector.service import CONNECTIONS_TO_DATABASE
from tests.faults.books import await_true
from tests.harness.broker import Broker
from tests.harness.engines import Engine
from tests.harness.server import NO_JOBS, collector, diagnosed, free_port

PAUSE = (
    "SELECT alter_job(job_id, scheduled => false) FROM timescaledb_information.jobs "
    "WHERE proc_name LIKE 'policy_re%' AND hypertable_name IS NOT NULL"
)
EVERY_SECOND = (
    "SELECT alter_job(job_id, schedule_interval => INTERVAL '1 second') FROM timescaledb_information.jobs "
    "WHERE proc_name = 'policy_retention' AND hypertable_name = 'payload'"
)


@pytest.fixture
def timescaledb(best_engine: Engine) -> Engine:
    if not best_engine.has_timescaledb:
        pytest.skip("jobs are TimescaleDB's")
    return best_engine


@pytest.fixture
def connection(best_database_url: str) -> Iterator["psycopg.Connection[tuple[object, ...]]"]:
    with psycopg.connect(best_database_url, autocommit=True) as made:
        yield made


def problems(url: str, word: str, **variables: str) -> list[str]:
    """Those that have the word in them."""
    found: list[str] = [problem for problem in diagnosed(url, **variables)["problems"] if word in problem]
    return found


def test_jobs_that_are_paused(
    timescaledb: Engine, best_database_url: str, connection: "psycopg.Connection[tuple[object, ...]]"
) -> None:
    """Each with the command that lets it run, which does."""
    paused = connection.execute(PAUSE).fetchall()
    found = problems(best_database_url, "paused")
    assert len(found) == len(paused) >= 2
    assert any("refresh continuous aggregate of stats_5m" in problem for problem in found)
    assert any("retention of payload" in problem for problem in found)
    for problem in found:
        connection.execute(problem.partition("; ")[2].removesuffix(" lets it run").encode())
    assert diagnosed(best_database_url)["problems"] == []


def test_a_restore_that_was_not_ended(
    timescaledb: Engine, best_database_url: str, connection: "psycopg.Connection[tuple[object, ...]]"
) -> None:
    connection.execute("SELECT timescaledb_pre_restore()")
    (found,) = diagnosed(best_database_url)["problems"]
    assert "timescaledb_post_restore()" in found
    connection.execute("SELECT timescaledb_post_restore()")
    assert diagnosed(best_database_url)["problems"] == []


def test_a_server_that_runs_no_jobs(timescaledb: Engine, best_database_url: str) -> None:
    done = collector("doctor", database_url=best_database_url)
    assert done.returncode == 1
    assert NO_JOBS in done.stdout


def test_a_job_that_has_not_succeeded_for_long(timescaledb: Engine) -> None:
    """The server has a worker for the scheduler, and none for jobs."""
    with timescaledb.private_server(None, **{"timescaledb.max_background_workers": "1"}) as server:
        assert problems(server.url, "no success") == []
        with psycopg.connect(server.url, autocommit=True) as connection:
            connection.execute(EVERY_SECOND)
            assert problems(server.url, "no success") == []  # the schema was only just made
            connection.execute("UPDATE collector_schema SET applied_at = now() - INTERVAL '1 day'")
        await_true(lambda: len(problems(server.url, "no success")) == 1)
        (found,) = problems(server.url, "no success")
        assert "retention of payload" in found
        assert "00:00:01" in found


def test_a_server_that_has_too_few_connections_or_tears_pages(best_engine: Engine) -> None:
    with best_engine.private_server(max_connections="50") as server:
        assert problems(server.url, "max_connections") == []
        (found,) = problems(server.url, "max_connections", COLLECTOR_WORKERS="3")
        assert f"may need {3 * CONNECTIONS_TO_DATABASE}" in found
        assert "room for 47" in found
        with psycopg.connect(server.url, autocommit=True) as connection:
            connection.execute("ALTER SYSTEM SET full_page_writes = off")
            connection.execute("SELECT pg_reload_conf()")
        await_true(lambda: len(problems(server.url, "full_page_writes is off")) == 1)


def test_a_queue_that_cannot_be_reached(best_database_url: str, broker: Broker) -> None:
    topic = broker.create("payloads-doctor")
    for address, name, wanted in (
        (broker.address, topic, None),
        (broker.address, "payloads-missing", "Unknown topic"),
        (f"127.0.0.1:{free_port()}", topic, "COLLECTOR_KAFKA_BOOTSTRAP"),
    ):
        kafka = {"COLLECTOR_KAFKA_BOOTSTRAP": address, "COLLECTOR_KAFKA_TOPIC": name}
        found = diagnosed(best_database_url, **kafka)["problems"]
        assert [wanted is not None and wanted in problem for problem in found] == [True] * (wanted is not None), found
        assert all(address in problem and name in problem for problem in found)


def test_a_certificate_that_is_not_there(best_database_url: str) -> None:
    nowhere = {"COLLECTOR_SSL_CERTIFICATE": "/nowhere/tls.crt", "COLLECTOR_SSL_KEYFILE": "/nowhere/tls.key"}
    (found,) = diagnosed(best_database_url, **nowhere)["problems"]
    assert "/nowhere/tls.crt" in found
    (found,) = diagnosed(best_database_url, COLLECTOR_SSL_CERTIFICATE="/nowhere/tls.crt")["problems"]
    assert "COLLECTOR_SSL_KEYFILE" in found
