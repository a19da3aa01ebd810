"""The private PostgreSQL: started by whoever needs it first, shared, stopped by the last who lets go of it."""

import atexit
import contextlib
import os
import re
import subprocess
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Self
from urllib.parse import quote

from collector.embedded import locks
from collector.embedded.account import COMMAND_TIMEOUT_S, server_account, server_environment
from collector.embedded.configuration import PORT, render, settings_for
from collector.embedded.directory import DataDirectory
from collector.embedded.errors import EmbeddedError
from collector.embedded.installation import Installation, find_installation, reachable
from collector.embedded.postmaster import START_TIMEOUT_S, Postmaster, State, StopMode
from collector.processes import POLL_S

SUPERUSER = "postgres"
SYSTEM_DATA_DIR = Path("/var/lib/collector")
# Somebody else may be in the middle of a start that takes its whole time, after a stop that did.
MUTEX_TIMEOUT_S = 2 * START_TIMEOUT_S
DATABASE_TIMEOUT_S = 60.0
PSQL_CONNECTION_LOST = 2  # psql's documentation, Exit Status


def default_data_dir() -> Path:
    """Where data lies unless told otherwise: /var/lib/collector for root, else $XDG_DATA_HOME or ~/.local/share."""
    if os.geteuid() == 0:
        return SYSTEM_DATA_DIR
    base = os.environ.get("XDG_DATA_HOME", "")
    # The XDG base directory specification: a relative path is to be ignored.
    return (Path(base) if base.startswith("/") else Path.home() / ".local" / "share") / "collector"


def acquire(
    data_dir: Path,
    postgres_bin: Path | None = None,
    database: str = "collector",
    settings: Mapping[str, str] | None = None,
) -> "PrivateServer":
    """Joins the server of `data_dir`, starting it when it is down and making the database when it is missing.

    `settings` go over the collector's own at a start; they do not change a server that runs. Raises EmbeddedError.
    """
    return PrivateServer(data_dir, postgres_bin, database, settings or {})


class PrivateServer:
    """A use of the private server, from acquire() to release(), by this process and the children it forks."""

    def __init__(self, data_dir: Path, postgres_bin: Path | None, database: str, settings: Mapping[str, str]) -> None:
        if not re.fullmatch(r"[a-z_][a-z0-9_]{0,62}", database):
            raise EmbeddedError(f"{database!r} is no name for the private database: a-z, 0-9 and _ only")
        self._postgres_bin = postgres_bin
        self._database = database
        self._settings = dict(settings)
        self._guard = threading.Lock()
        self._users_fd: int | None = None
        self.installation: Installation
        """The programs of the server that runs."""
        try:
            self.data_dir = data_dir.expanduser().resolve()
            account = server_account()
            self._directory = DataDirectory(self.data_dir, account)
            self._postmaster = Postmaster(self._directory.pgdata, account, self._directory.cluster_name)
            self._directory.make()
            with locks.mutex(self._directory.start_lock, MUTEX_TIMEOUT_S):
                self._join()
        except OSError as exc:
            raise EmbeddedError(f"the private PostgreSQL in {data_dir}: {exc}") from exc
        atexit.register(self.release)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    @property
    def url(self) -> str:
        """The database as a libpq URI, through the unix socket."""
        file = self._postmaster.pid_file()
        # The one who started it chose the folder; while it is down, the next one will be ours.
        folder = (file.socket_dir if file else "") or str(self._directory.socket_dir)
        return f"postgresql://{SUPERUSER}@/{self._database}?host={quote(folder, safe='')}&port={PORT}"

    @property
    def log(self) -> Path:
        """The server's log."""
        return self._directory.log

    @property
    def pid(self) -> int | None:
        """The server's process, None when it is down."""
        file = self._postmaster.pid_file()
        return file.pid if file and self._postmaster.state() is not State.DOWN else None

    def ensure_running(self) -> bool:
        """Starts the server again when it is down; True if this call had to. Blocking. Raises EmbeddedError."""
        if self._postmaster.state() is State.READY:
            return False
        with self._guard:
            if self._users_fd is None:
                raise EmbeddedError("the private PostgreSQL was released")
            try:
                with locks.mutex(self._directory.start_lock, MUTEX_TIMEOUT_S):
                    return self._start_if_down()
            except OSError as exc:
                raise EmbeddedError(f"the private PostgreSQL in {self.data_dir}: {exc}") from exc

    def stop(self, mode: StopMode = "fast") -> None:
        """Stops the server whoever uses it; the next ensure_running() starts it again."""
        with self._guard, locks.mutex(self._directory.start_lock, MUTEX_TIMEOUT_S):
            self._postmaster.stop(mode)

    def release(self) -> None:
        """Lets go of the server, and stops it if nobody else uses it. A second time does nothing."""
        with self._guard:
            if self._users_fd is None:
                return
            atexit.unregister(self.release)
            users_fd, self._users_fd = self._users_fd, None
            try:
                with locks.mutex(self._directory.start_lock, MUTEX_TIMEOUT_S):
                    os.close(users_fd)
                    users_fd = -1
                    if locks.unused(self._directory.users_lock):
                        self._postmaster.stop("fast")
            finally:
                if users_fd >= 0:
                    os.close(users_fd)

    def _join(self) -> None:
        users_fd = locks.share(self._directory.users_lock)
        try:
            last = self._directory.last_start()
            if self._postmaster.state() is State.READY and last:
                self.installation = last.installation
            else:
                found = find_installation(self._postgres_bin)
                self._directory.check(found)
                self.installation = reachable(found, self._directory.account, self.data_dir)
                self._start_if_down()
            self._create_database()
        except BaseException:
            os.close(users_fd)
            if locks.unused(self._directory.users_lock):
                with contextlib.suppress(EmbeddedError):
                    self._postmaster.stop("fast")
            raise
        self._users_fd = users_fd

    def _start_if_down(self) -> bool:
        state = self._postmaster.await_settled()
        if state is State.READY:
            return False
        if state is State.DEAF:
            self._postmaster.stop("fast")
        directory = self._directory
        directory.check(self.installation)
        directory.create_cluster(self.installation)
        directory.make_socket_dir()
        own = settings_for(self.installation, str(directory.socket_dir), directory.cluster_name)
        directory.write_config(render(own | self._settings))
        directory.bound_log()
        postgres = self.installation.bin_dir / "postgres"
        self._postmaster.start(postgres, directory.config, directory.log, directory.socket_dir)
        directory.remember(self.installation)
        return True

    def _create_database(self) -> None:
        """Makes the database unless it is there. From template0, which nobody is ever connected to."""
        sql = (
            f"SELECT 'CREATE DATABASE {self._database} TEMPLATE template0' "  # noqa: S608 - the name was checked
            f"WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = '{self._database}') \\gexec\n"
        )
        deadline = time.monotonic() + DATABASE_TIMEOUT_S
        while (done := self._psql(sql)).returncode == PSQL_CONNECTION_LOST and time.monotonic() < deadline:
            # Killed since, or recovering from the kill of a backend.
            time.sleep(POLL_S)
            self._start_if_down()
        if done.returncode:
            raise EmbeddedError(f"database {self._database!r} could not be made: {done.stderr.strip()}")

    def _psql(self, sql: str) -> subprocess.CompletedProcess[str]:
        url = self.url.replace(f"/{self._database}?", "/postgres?", 1)
        command = [str(self.installation.bin_dir / "psql"), "-XAtqw", "-v", "ON_ERROR_STOP=1", url]
        try:
            return subprocess.run(  # noqa: S603 - the installation's psql
                command,
                input=sql,
                capture_output=True,
                text=True,
                check=False,
                timeout=COMMAND_TIMEOUT_S,
                env=server_environment(),
            )
        except (OSError, subprocess.TimeoutExpired) as exc:
            raise EmbeddedError(f"{command[0]} could not make the database: {exc}") from exc
