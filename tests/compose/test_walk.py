"""A walk through compose.yaml without Docker: the same programs with the same commands, environment and health checks,
on a database that its own script has set up; only addresses are other ones.
"""

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from datetime import timedelta
from importlib.metadata import entry_points
from pathlib import Path
from types import MappingProxyType
from urllib.parse import quote

import msgspec
import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from collector import processes
from dashboards.written import DASHBOARDS
from tests.compose.document import Project, Service, load, names_in_example, seconds, server_settings, stages
from tests.dashboards.grafana import everything, expanded, last
from tests.documents import OPERATIONS, ROOT
from tests.harness import broker as brokers
from tests.harness.client import Client
from tests.harness.engines import Engine
from tests.harness.server import environment, free_port
from tests.harness.wire import line_of

SECRETS = {name: f"secret-of-{name.lower()}" for name in names_in_example()}
START_S = 120.0
LOGINS = ("collector_owner", "collector", "grafana")


class Place(msgspec.Struct):
    """Where the containers' addresses are on this machine, as replacements in texts."""

    addresses: dict[str, str]

    def here(self, text: str) -> str:
        """The text with addresses of this machine."""
        for there, here in self.addresses.items():
            text = text.replace(there, here)
        return text


class Walker:
    """Starts services of the project as processes."""

    def __init__(self, project: Project, place: Place, folder: Path, *, kafka: bool) -> None:
        self.project = project
        self.place = place
        self._folder = folder
        self._kafka = kafka
        self.running: dict[str, subprocess.Popen[bytes]] = {}

    def run(self, name: str, *more: str) -> None:
        """To its end, which has to be a good one."""
        process = self._start(name, [*self.project.services[name].command, *more])
        assert process.wait(START_S) == 0, self.log(name)

    def run_instead(self, name: str, *command: str) -> str:
        """As `docker compose run` does: another command than the service's; what it printed."""
        assert self._start(name, list(command)).wait(START_S) == 0, self.log(name)
        return self.log(name)

    def start(self, name: str, **variables: str) -> None:
        """Start it, with other variables than the file's where given, and wait until its health check says so."""
        process = self.running[name] = self._start(name, self.project.services[name].command, variables)
        health = self.project.services[name].healthcheck
        assert health is not None
        kind, program, *arguments = health.test
        assert (kind, program) == ("CMD", "python")
        check = [sys.executable, *map(self.place.here, arguments)]

        def healthy() -> bool:
            assert process.poll() is None, self.log(name)
            asked = subprocess.run(check, env=self._environment(name, variables), capture_output=True, check=False)
            return asked.returncode == 0

        assert processes.poll_until(healthy, time.monotonic() + START_S), self.log(name)

    def stop(self, name: str) -> None:
        """As `docker stop` does, within the time that the file gives."""
        process = self.running.pop(name)
        process.send_signal(signal.SIGTERM)
        grace = self.project.services[name].stop_grace_period
        assert grace is not None
        assert process.wait(seconds(grace)) == 0, self.log(name)

    def kill(self) -> None:
        """What is left."""
        for process in self.running.values():
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait(30)

    def log(self, name: str) -> str:
        """What it wrote."""
        return (self._folder / name).read_text()[-10_000:]

    def _environment(self, name: str, given: Mapping[str, str]) -> dict[str, str]:
        there = {**self.project.services[name].environment, **given}
        variables = {key: self.place.here(value) for key, value in there.items()}
        variables["COLLECTOR_PORT"] = self.place.here("8080")
        if not self._kafka:
            variables.pop("COLLECTOR_KAFKA_BOOTSTRAP", None)
        return environment({**variables, "TMPDIR": str(self._folder)})

    def _start(
        self, name: str, command: list[str], given: Mapping[str, str] = MappingProxyType({})
    ) -> "subprocess.Popen[bytes]":
        service = self.project.services[name]
        with (self._folder / name).open("wb") as log:
            return subprocess.Popen(
                [sys.executable, "-c", _program(service), *map(self.place.here, command)],
                cwd=self._folder,
                env=self._environment(name, given),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )


def _program(service: Service) -> str:
    """Python that does what the image's entry point does."""
    assert service.build is not None
    (entry,) = [rest for instruction, rest in stages()[service.build.target] if instruction == "ENTRYPOINT"]
    (name,) = msgspec.json.decode(entry)
    (command,) = entry_points(group="console_scripts", name=name)
    return f"import sys; sys.argv[0] = {name!r}; from {command.module} import {command.attr} as run; run()"


@pytest.fixture
def database(best_engine: Engine) -> Iterator[str]:
    """A server set up as the image does it: the command's settings, an empty database, the extension, and our script;
    passwords count.
    """
    with best_engine.bare_server(None, **server_settings(load(SECRETS).services["database"])) as server:
        with psycopg.connect(server.url, autocommit=True) as admin:
            if best_engine.has_timescaledb:
                admin.execute("CREATE EXTENSION timescaledb")
            psql = best_engine.installation.bin_dir / "psql"
            command: list[str | Path] = [
                psql,
                "--no-psqlrc",
                "--quiet",
                "-d",
                server.url,
                "-f",
                ROOT / "schema" / "logins.sql",
            ]
            subprocess.run(command, env=environment(SECRETS), check=True)
            row = admin.execute("SHOW hba_file").fetchone()
            assert row is not None
            rules = Path(row[0])
            rules.write_text(f"local all {','.join(LOGINS)} scram-sha-256\n{rules.read_text()}")
            admin.execute("SELECT pg_reload_conf()")
        yield server.url


@pytest.fixture
def kafka(request: pytest.FixtureRequest) -> str | None:
    """A broker's address; None where there is none, and then the queue is a table."""
    if not brokers.found() and not os.environ.get(brokers.REQUIRED):
        return None
    broker: brokers.Broker = request.getfixturevalue("broker")
    return broker.address if broker.create("payloads") else None


@pytest.fixture
def walker(database: str, kafka: str | None, tmp_path: Path) -> Iterator[Walker]:
    with walking(database, kafka, tmp_path) as walker:
        yield walker


@contextlib.contextmanager
def walking(database: str, kafka: str | None, folder: Path) -> Iterator[Walker]:
    """What is left of it in the end is killed."""
    socket = conninfo_to_dict(database)
    place = Place(
        {
            "@database:5432/collector": f"@/{socket['dbname']}?host={quote(str(socket['host']), safe='')}"
            f"&port={socket['port']}",
            "kafka:9092": kafka or "",
            "http://collector:8080": f"http://127.0.0.1:{(port := free_port())}",
            "8080": str(port),
            "9100": str(free_port()),
            "0.0.0.0": "127.0.0.1",
        }
    )
    walker = Walker(load(SECRETS), place, folder, kafka=kafka is not None)
    try:
        yield walker
    finally:
        walker.kill()


def test_the_walk(walker: Walker, database: str) -> None:
    walker.run("migrate")
    walker.start("collector")
    walker.start("consumer", COLLECTOR_API_KEYS="on")  # as it is where the collector asks for keys
    client = Client(walker.place.here("http://collector:8080"))
    # Devices of every kind, through the queue too; each proves its numbers.
    walker.run("simulator", "--duration", "3s", "--speed", "60", "--verify")
    assert client.get("/stats").json()["rows"]
    walker.run("migrate")  # up again, the next time
    _is_asked_by_prometheus(walker)
    _is_shown_by_grafana(walker, database)
    for name in ("collector", "consumer"):
        walker.stop(name)


def _is_asked_by_prometheus(walker: Walker) -> None:
    stored = {
        port: Client(f"http://127.0.0.1:{walker.place.here(port)}").metrics().total("collector_stored_total")
        for port in ("8080", "9100")
    }
    assert all(stored.values()), stored


def _is_shown_by_grafana(walker: Walker, database: str) -> None:
    """With the user, the password and the database that its environment has."""
    # Who asks for the report does not wait for the sums that it reads, which are brought up to date every minute.
    assert Client(f"http://127.0.0.1:{walker.place.here('8080')}").get("/reports/cpu").status == 200
    grafana = walker.project.services["grafana"].environment
    names = {name.removeprefix("GRAFANA_DATABASE_").lower(): value for name, value in grafana.items()}
    where = conninfo_to_dict(database)
    with psycopg.connect(
        host=where["host"], port=where["port"], dbname=names["name"], user=names["user"], password=names["password"]
    ) as connection:
        # Hits of the simulator are of hours before, too.
        times = last(timedelta(hours=3))
        for dashboard in DASHBOARDS:
            choices = everything(dashboard)
            for target in (target for panel in dashboard.panels for target in panel.targets if target.raw_sql):
                sql = expanded(str(target.raw_sql), times, choices, timescaledb=False)
                assert connection.execute(sql.encode()).fetchall(), target.raw_sql
        with pytest.raises(psycopg.errors.Error, match=re.compile("read-only|permission")):
            connection.execute("DELETE FROM analytics_hour")


def test_with_keys(database: str, tmp_path: Path) -> None:
    """Opened as the document says: its commands make the keys, and Prometheus gets in by one."""
    text = OPERATIONS.read_text().partition("### Containers")[2].partition("\n### ")[0]
    commands = re.findall(r"^docker compose run --rm (\w+) (keys create .*?)(?: >.*)?$", text, re.MULTILINE)
    assert len(commands) == 2
    with walking(database, None, tmp_path) as walker:
        walker.run("migrate")
        keys = {}
        for service, command in commands:
            printed = walker.run_instead(service, *command.split())
            keys[command.split()[-1]] = re.findall(r"^ck_\S+$", printed, re.MULTILINE)[0]
        walker.start("collector", COLLECTOR_API_KEYS="on")
        client = Client(walker.place.here("http://collector:8080"))
        assert client.get("/metrics").status == 401
        assert client.get("/metrics", {"Authorization": f"Bearer {keys['read']}"}).status == 200
        assert client.post(line_of("keys", "a"), {"Authorization": f"Bearer {keys['ingest']}"}).status == 204
        walker.stop("collector")


@pytest.mark.parametrize("login", LOGINS)
def test_passwords_are_asked_for(database: str, login: str) -> None:
    where = conninfo_to_dict(database)
    with pytest.raises(psycopg.OperationalError, match="password"):
        psycopg.connect(host=where["host"], port=where["port"], dbname=where["dbname"], user=login, password="wrong")
