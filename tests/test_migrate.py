"""The schema: made once, by however many, step by step or at once the same; a newer one is refused."""

import contextlib
import threading
import uuid
from collections.abc import Iterator
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import psycopg
import pytest

from collector.database.upkeep import bring_into_line
from collector.errors import SchemaError, StoreDown
from collector.migrate import PLAIN, TIMESCALEDB, Migration, check, migrate, migrations
from collector.settings import Settings
from tests.harness.engines import Engine

VERSIONS = [step.version for step in migrations()]


@contextlib.contextmanager
def empty_database(engine: Engine) -> Iterator[str]:
    """A database without a schema."""
    with engine.database() as beside:
        name = f"empty_{uuid.uuid4().hex}"
        url = renamed(beside, name)
        with psycopg.connect(beside, autocommit=True) as admin:
            admin.execute(f'CREATE DATABASE "{name}" TEMPLATE template0')
            try:
                yield url
            finally:
                admin.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


def renamed(url: str, name: str) -> str:
    before, _, parameters = url.partition("?")
    return f"{before.rpartition('/')[0]}/{name}?{parameters}"


@pytest.fixture
def empty_url(engine: Engine) -> Iterator[str]:
    with empty_database(engine) as url:
        yield url


def described(url: str) -> list[tuple[Any, ...]]:
    """Everything of the schema that has a name."""
    questions = [
        """SELECT 'column', table_name, column_name, data_type, is_nullable, column_default, collation_name
           FROM information_schema.columns WHERE table_schema = 'public'""",
        """SELECT 'constraint', conrelid::regclass::text, conname, pg_get_constraintdef(oid)
           FROM pg_constraint WHERE connamespace = 'public'::regnamespace""",
        "SELECT 'index', tablename, indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'",
        "SELECT 'view', viewname, regexp_replace(definition, '_materialized_hypertable_\\d+', 'hypertable', 'g') "
        "FROM pg_views WHERE schemaname = 'public'",
        "SELECT 'version', version, engine FROM collector_schema",
    ]
    with psycopg.connect(url) as connection:
        if connection.execute("SELECT 1 FROM pg_extension WHERE extname = 'timescaledb'").fetchone():
            questions.append(
                """SELECT 'job', proc_name, schedule_interval::text, config - 'hypertable_id' - 'mat_hypertable_id'
                   FROM timescaledb_information.jobs WHERE hypertable_name IS NOT NULL"""
            )
            questions.append("SELECT 'hypertable', hypertable_name FROM timescaledb_information.hypertables")
        rows = [row for question in questions for row in connection.execute(question.encode()).fetchall()]
    return sorted(rows, key=repr)


def test_twice_changes_nothing(empty_url: str) -> None:
    assert migrate(empty_url) == VERSIONS
    bring_into_line(empty_url, Settings())
    before = described(empty_url)
    assert migrate(empty_url) == []
    assert described(empty_url) == before
    check(empty_url)


def test_step_by_step_and_at_once_are_one_schema(empty_url: str, database_url: str) -> None:
    steps = migrations()
    for count in range(1, len(steps) + 1):
        assert migrate(empty_url, steps[:count]) == [steps[count - 1].version]
    bring_into_line(empty_url, Settings())
    assert described(empty_url) == described(database_url)


def test_sums_of_overlapping_events_are_made_again_where_their_messages_are_kept(empty_url: str) -> None:
    """From a day after the oldest message on: what is older could not be made again as a whole."""
    steps = migrations()
    migrate(empty_url, [step for step in steps if step.version < 15])
    with psycopg.connect(empty_url, autocommit=True) as connection:
        connection.execute(
            "INSERT INTO session_message (time, received_at, session) VALUES ('2026-01-05T12:00Z', now(), 'a')"
        )
        connection.execute("TRUNCATE cpu_dirty")
        connection.execute("INSERT INTO cpu_session (session) VALUES ('gone'), ('partly'), ('plain'), ('kept')")
        connection.execute(
            "INSERT INTO session_cpu (bucket, session_id, event_id, layer, samples, cpu_max, cpu_sum, cpu)"
            " SELECT bucket::timestamptz, id, 1, layer, 1, 1, 1, ARRAY[1] FROM cpu_session JOIN (VALUES"
            " ('gone', '2026-01-06T12:00Z', 1), ('partly', '2026-01-02T12:00Z', 2), ('partly', '2026-01-07T00:00Z', 1),"
            " ('plain', '2026-01-08T00:00Z', 0), ('kept', '2026-01-08T00:00Z', 0), ('kept', '2026-01-08T06:00Z', 1)"
            ") AS row (session, bucket, layer) USING (session)"
        )
        migrate(empty_url, steps)
        noted = connection.execute(
            "SELECT session, to_char(since AT TIME ZONE 'UTC', 'DD HH24:MI') FROM cpu_dirty ORDER BY session"
        ).fetchall()
    assert noted == [("kept", "08 06:00"), ("partly", "06 12:10")]


def _migrate_at_once(url: str, barrier: Any, answers: Any) -> None:
    barrier.wait(30)
    try:
        answers.put(migrate(url))
        bring_into_line(url, Settings())
    except BaseException as exc:
        answers.put(repr(exc))
        raise


def test_four_processes_at_once_are_safe(empty_url: str, database_url: str) -> None:
    context = get_context("spawn")
    barrier, answers = context.Barrier(4), context.Queue()
    processes = [context.Process(target=_migrate_at_once, args=(empty_url, barrier, answers)) for _ in range(4)]
    for process in processes:
        process.start()
    found = [answers.get(timeout=60) for _ in processes]
    for process in processes:
        process.join(60)
    assert sorted(found, key=repr) == sorted([[], [], [], VERSIONS], key=repr)
    assert described(empty_url) == described(database_url)


def test_two_threads_at_once_are_safe(empty_url: str) -> None:
    barrier = threading.Barrier(2)
    found: list[list[int]] = []

    def run() -> None:
        barrier.wait(30)
        found.append(migrate(empty_url))
        bring_into_line(empty_url, Settings())

    threads = [threading.Thread(target=run) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(found) == [[], VERSIONS]


def test_a_newer_database_is_refused_and_left_alone(database_url: str) -> None:
    with psycopg.connect(database_url) as connection:
        connection.execute(
            "INSERT INTO collector_schema (version, engine) SELECT 9999, min(engine) FROM collector_schema"
        )
    before = described(database_url)
    for act in (migrate, check):
        with pytest.raises(SchemaError, match=r"schema 9999.*install a newer"):
            act(database_url)
    assert described(database_url) == before


def test_check_tells_what_to_do(empty_url: str) -> None:
    with pytest.raises(SchemaError, match=r"no schema yet.*collector migrate"):
        check(empty_url)
    migrate(empty_url, migrations()[:1])
    with pytest.raises(SchemaError, match=r"is at schema 1.*collector migrate"):
        check(empty_url)


def test_a_step_that_fails_leaves_nothing_of_itself(empty_url: str, tmp_path: Path) -> None:
    good, bad = tmp_path / "0001_good.sql", tmp_path / "0002_bad.sql"
    good.write_text("CREATE TABLE good (number int);")
    bad.write_text("CREATE TABLE half (number int); SELECT nonsense;")
    steps = [
        Migration(version, {PLAIN: [path], TIMESCALEDB: [path]}) for version, path in enumerate((good, bad), start=1)
    ]
    with pytest.raises(StoreDown, match="nonsense"):
        migrate(empty_url, steps)
    with psycopg.connect(empty_url) as connection:
        tables = "SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1"
        assert connection.execute(tables.encode()).fetchall() == [("collector_schema",), ("good",)]
    bad.write_text("CREATE TABLE half (number int);")
    assert migrate(empty_url, steps) == [2]


def test_the_engine_is_what_the_server_can_do(database_url: str, engine: Engine) -> None:
    with psycopg.connect(database_url) as connection:
        engines = connection.execute("SELECT DISTINCT engine FROM collector_schema").fetchall()
        assert engines == [(TIMESCALEDB if engine.has_timescaledb else PLAIN,)]
        if engine.has_timescaledb:
            jobs = connection.execute(
                "SELECT proc_name FROM timescaledb_information.jobs WHERE hypertable_name IS NOT NULL ORDER BY 1"
            ).fetchall()
            assert [name for (name,) in jobs] == [
                *["policy_compression"] * 5,
                "policy_refresh_continuous_aggregate",
                *["policy_retention"] * 4,
            ]


def test_every_step_has_something_for_each_engine() -> None:
    steps = migrations()
    assert list(range(1, len(steps) + 1)) == VERSIONS
    for step in steps:
        for files in step.files.values():
            assert files
            assert all(path.read_text().startswith("--") for path in files)


def test_no_database_there_is_said_plainly(tmp_path: Path) -> None:
    with pytest.raises(StoreDown):
        migrate(f"postgresql://nobody@/nothing?host={tmp_path}")
