"""`collector migrate`, `collector doctor` and the rest of the command line, on each engine."""

import json
from collections.abc import Iterator

import psycopg
import pytest

from collector import __version__
from collector.migrate import migrations
from tests.harness.engines import Engine
from tests.harness.server import collector
from tests.test_migrate import empty_database

NOWHERE = "postgresql://nobody@127.0.0.1:1/nothing"


@pytest.fixture
def empty_url(engine: Engine) -> Iterator[str]:
    with empty_database(engine) as url:
        yield url


def test_migrate_says_what_it_applied_and_the_second_time_nothing(empty_url: str) -> None:
    first = collector("migrate", database_url=empty_url)
    versions = ", ".join(str(step.version) for step in migrations())
    assert (first.returncode, first.stdout) == (0, f"applied {versions}\n"), first.stderr
    second = collector("migrate", "--database-url", empty_url)
    assert (second.returncode, second.stdout) == (0, "up to date\n"), second.stderr


def test_a_newer_database_is_refused_in_one_line(database_url: str) -> None:
    with psycopg.connect(database_url) as connection:
        connection.execute(
            "INSERT INTO collector_schema (version, engine) SELECT 9999, min(engine) FROM collector_schema"
        )
    for command in ("migrate", "serve"):
        done = collector(command, database_url=database_url)
        assert done.returncode == 1
        assert done.stderr.splitlines()[-1].startswith("collector: the database is at schema 9999")
        assert "Traceback" not in done.stderr
    found = collector("doctor", database_url=database_url)
    assert found.returncode == 1
    assert "9999" in found.stdout


def test_serve_wants_a_schema(empty_url: str) -> None:
    done = collector("serve", "--port", "0", database_url=empty_url)
    assert done.returncode == 1
    assert "collector migrate" in done.stderr


def test_doctor_tells_engine_version_licence_policies_and_what_is_missing(database_url: str, engine: Engine) -> None:
    done = collector("doctor", database_url=database_url)
    assert (done.returncode, done.stderr) == (0, "")
    assert engine.installation.version in done.stdout
    document = json.loads(collector("doctor", "--json", database_url=database_url).stdout)
    assert document["server"] == engine.installation.version
    assert document["engine"] == engine.name
    assert document["schema"] == document["schema_of_program"] == migrations()[-1].version
    assert document["private"] is False
    assert document["settings"] == {"fsync": "on", "synchronous_commit": "on"}
    assert document["problems"] == []
    if engine.has_timescaledb:
        assert document["licence"] == "timescale"
        assert document["timescaledb"] in done.stdout
        assert document["missing"] == []
        assert {policy["table"] for policy in document["policies"]} == {"payload", "session_message", "hit", "stats_5m"}
        assert len(document["policies"]) == 7
        assert "refresh" in done.stdout
    else:
        assert (document["timescaledb"], document["licence"], document["policies"]) == (None, None, [])
        assert any("columnar" in missing for missing in document["missing"])
        assert "columnar" in done.stdout


def test_doctor_finds_what_is_wrong(database_url: str) -> None:
    with psycopg.connect(database_url, autocommit=True) as connection:
        name = connection.info.dbname
        connection.execute(f'ALTER DATABASE "{name}" SET synchronous_commit = off'.encode())
        connection.execute("DELETE FROM collector_schema WHERE version > 1")
    done = collector("doctor", "--json", database_url=database_url)
    problems = json.loads(done.stdout)["problems"]
    assert done.returncode == 1
    assert any("synchronous_commit is off" in problem for problem in problems)
    assert any("collector migrate" in problem for problem in problems)


def test_doctor_before_the_schema(empty_url: str) -> None:
    done = collector("doctor", "--json", database_url=empty_url)
    assert done.returncode == 1
    document = json.loads(done.stdout)
    assert (document["schema"], document["engine"]) == (0, None)


@pytest.mark.parametrize("command", ["migrate", "doctor"])
def test_no_database_there_is_one_line(command: str) -> None:
    done = collector(command, database_url=NOWHERE)
    assert done.returncode == 1
    assert done.stderr.startswith("collector: ")
    assert "Traceback" not in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("command", "url"),
    [("migrate", "not a url"), ("doctor", "host=x nonsense=1"), ("serve", "mysql://root:secret@x/y")],
)
def test_a_database_url_that_is_none_is_named(command: str, url: str) -> None:
    done = collector(command, database_url=url)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("collector: DATABASE_URL: ")
    assert len(done.stderr.splitlines()) == 1
    assert "secret" not in done.stderr


def test_a_bad_setting_is_named_and_is_wrong_usage() -> None:
    done = collector("serve", COLLECTOR_WORKERS="none", database_url=NOWHERE)
    assert done.returncode == 2
    assert done.stderr.startswith("collector: COLLECTOR_WORKERS: ")


@pytest.mark.parametrize(
    "arguments", [["serv"], ["serve", "--prot", "1"], ["serve", "--port", "x"], ["migrate", "now"]]
)
def test_wrong_usage(arguments: list[str]) -> None:
    done = collector(*arguments)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr


def test_help_names_every_command_and_where_settings_come_from() -> None:
    done = collector("--help")
    assert done.returncode == 0
    for command in ("serve", "migrate", "doctor", "psql", "demo"):
        assert command in done.stdout
        described = collector(command, "-h")
        assert described.returncode == 0
        assert "DATABASE_URL" in described.stdout
    assert collector("--version").stdout.strip().endswith(__version__)
