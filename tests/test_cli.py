"""`collector migrate`, `collector doctor` and the rest of the command line, on each engine."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from collector import __version__
from collector.migrate import migrations
from tests.conftest import Serve
from tests.harness.engines import Engine, folder
from tests.harness.server import collector, diagnosed, environment
from tests.harness.terminal import on_a_terminal
from tests.test_migrate import empty_database

NOWHERE = "postgresql://nobody@127.0.0.1:1/nothing"


@pytest.fixture
def empty_url(engine: Engine) -> Iterator[str]:
    with empty_database(engine) as url:
        yield url


def test_migrate_says_what_it_applied_and_the_second_time_nothing(empty_url: str) -> None:
    first = collector("migrate", database_url=empty_url)
    versions = ", ".join(str(step.version) for step in migrations())
    assert first.returncode == 0, first.stderr
    assert first.stdout.splitlines()[:2] == [f"applied {versions}", "payload: kept 30 days"]
    second = collector("migrate", "--database-url", empty_url)
    assert (second.returncode, second.stdout) == (0, "up to date\n"), second.stderr


def test_a_newer_database_is_refused_in_one_line(database_url: str) -> None:
    with psycopg.connect(database_url) as connection:
        connection.execute(
            "INSERT INTO collector_schema (version, engine) SELECT 9999, min(engine) FROM collector_schema"
        )
    for command in (["migrate"], ["serve", "--port", "0"]):
        done = collector(*command, database_url=database_url)
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
    assert done.stderr == ""
    assert engine.installation.version in done.stdout
    document = diagnosed(database_url)
    assert document["server"] == engine.installation.version
    assert document["engine"] == engine.name
    assert document["schema"] == document["schema_of_program"] == migrations()[-1].version
    assert document["private"] is False
    assert document["settings"] == {"fsync": "on", "synchronous_commit": "on", "full_page_writes": "on"}
    assert document["problems"] == []
    if engine.has_timescaledb:
        assert document["licence"] == "timescale"
        assert document["timescaledb"] in done.stdout
        assert document["missing"] == []
        tables = {"payload", "session_message", "session_cpu", "hit", "stats_5m"}
        assert {policy["table"] for policy in document["policies"]} == tables
        assert len(document["policies"]) == 10
        assert "refresh" in done.stdout
    else:
        assert (document["timescaledb"], document["licence"], document["policies"]) == (None, None, [])
        assert any("columnar" in missing for missing in document["missing"])
        assert "columnar" in done.stdout


def test_doctor_tells_the_address_to_other_programs(best_engine: Engine) -> None:
    """Of a private server, too: it can be read there while somebody uses it."""
    with best_engine.private_server() as server:
        own = {
            "COLLECTOR_DATA_DIR": str(server.data_dir),
            "COLLECTOR_POSTGRES_BIN": str(best_engine.installation.bin_dir),
        }
        done = collector("doctor", "--url", **own)
        assert (done.returncode, done.stderr) == (0, "")
        with psycopg.connect(done.stdout.strip()) as connection:
            assert connection.execute("SELECT version FROM collector_schema").fetchone()
    given = collector("doctor", "--url", database_url=NOWHERE)
    assert (given.returncode, given.stdout) == (0, f"{NOWHERE}\n")


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


def test_doctor_before_the_schema(empty_url: str, engine: Engine) -> None:
    """Nothing is missing while nothing is chosen; what would be chosen is told."""
    done = collector("doctor", "--json", database_url=empty_url)
    assert done.returncode == 1
    document = json.loads(done.stdout)
    assert (document["schema"], document["engine"], document["missing"]) == (0, None, [])
    assert document["available"] == engine.has_timescaledb
    shown = collector("doctor", database_url=empty_url).stdout
    assert f"not chosen yet (TimescaleDB is {'' if engine.has_timescaledb else 'not '}available)" in shown
    assert "missing" not in shown


def test_doctor_on_a_new_private_database_finds_nothing_wrong(best_engine: Engine) -> None:
    """Whatever uses it first makes the schema."""
    with folder("doctor") as data_dir:
        own = {"COLLECTOR_DATA_DIR": str(data_dir), "COLLECTOR_POSTGRES_BIN": str(best_engine.installation.bin_dir)}
        done = collector("doctor", **own)
    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, "all is well"), done.stderr
    assert "none yet" in done.stdout


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


def test_a_misspelt_setting_is_told(best_database_url: str, serve: Serve) -> None:
    server = serve(best_database_url, COLLECTOR_BATCH_ROW="5")
    (line,) = [line for line in server.log.read_text().splitlines() if "COLLECTOR_BATCH_ROW " in line]
    told = json.loads(line)
    assert (told["level"], told["unknown"]) == ("warning", "COLLECTOR_BATCH_ROW (is it COLLECTOR_BATCH_ROWS?)")


def test_a_bad_flag_is_named() -> None:
    done = collector("serve", "--port", "99999", database_url=NOWHERE)
    assert (done.returncode, done.stderr.partition(": Expected")[0]) == (2, "collector: --port")


@pytest.mark.parametrize("value", ["x", "0", "-1s"])
def test_a_duration_of_the_demo_is_as_those_of_simulate(value: str) -> None:
    done = collector("demo", "--duration", value)
    assert done.returncode == 2
    assert "write 500ms, 60s, 5m or 1h" in done.stderr


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


# Completion, terminals and colours

PROGRAMS = Path(sys.executable).parent


def completed(program: str, words: str) -> list[str]:
    """What the Tab key would offer after these words, in bash."""
    given = {f"_{program.upper()}_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": str(words.count(" "))}
    done = subprocess.run(
        [PROGRAMS / program], env=environment(given), capture_output=True, text=True, check=True, timeout=60
    )
    return [line.partition(",")[2] for line in done.stdout.splitlines()]


@pytest.mark.parametrize(
    ("program", "words", "expected"),
    [
        ("collector", "collector rej", ["rejected"]),
        ("collector", "collector rejected re", ["replay"]),
        ("collector", "collector doctor --js", ["--json"]),
        ("collector", "collector import --to se", ["sessions"]),
        ("simulate", "simulate pay", ["payloads"]),
    ],
)
def test_the_tab_key(program: str, words: str, expected: list[str]) -> None:
    assert completed(program, words) == expected


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts_are_there(shell: str) -> None:
    given = environment({"_COLLECTOR_COMPLETE": f"{shell}_source"})
    done = subprocess.run([PROGRAMS / "collector"], env=given, capture_output=True, text=True, check=True, timeout=60)
    assert "_COLLECTOR_COMPLETE" in done.stdout


def test_colours_are_for_terminals_that_want_them(best_database_url: str) -> None:
    with psycopg.connect(best_database_url, autocommit=True) as connection:
        connection.execute(f'ALTER DATABASE "{connection.info.dbname}" SET synchronous_commit = off'.encode())
    url = {"DATABASE_URL": best_database_url}
    red = re.compile(r"\x1b\[[0-9;]*31")
    assert red.search(on_a_terminal(["collector", "doctor"], url))
    without = on_a_terminal(["collector", "doctor"], {**url, "NO_COLOR": "1"})
    assert "problem" in without
    assert not red.search(without)
    assert "\x1b" not in collector("doctor", database_url=best_database_url).stdout


def test_a_bar_is_for_terminals(best_engine: Engine) -> None:
    with empty_database(best_engine) as url:
        shown = on_a_terminal(["collector", "migrate"], {"DATABASE_URL": url})
        assert "schema" in shown
        assert f"{len(migrations())}/{len(migrations())}" in shown
    with empty_database(best_engine) as url:
        assert collector("migrate", database_url=url).stderr == ""


def test_lines_are_not_wrapped_where_nobody_looks(best_database_url: str) -> None:
    done = collector("doctor", database_url=best_database_url, COLLECTOR_PAYLOAD_RETENTION_DAYS="3")
    (problem,) = [line for line in done.stdout.splitlines() if "would refuse" in line]
    assert problem.endswith("for more than 78 hours")
    assert all(line == line.rstrip() for line in done.stdout.splitlines())
