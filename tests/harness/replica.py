"""A streaming replica of a private server: a base backup of it, on the same machine, that follows."""

import contextlib
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, quote, urlsplit

import psycopg

from collector import processes
from collector.embedded import PrivateServer
from collector.embedded.account import server_account, server_environment
from collector.embedded.configuration import PORT, render, settings_for
from tests.harness.engines import NO_JOBS, Engine, folder

NAME = "replica"
"""In `synchronous_standby_names`."""
PATIENCE_S = 60.0


class Replica:
    """In a folder of its own; `start` after `kill` goes on where it was."""

    def __init__(self, engine: Engine, primary: PrivateServer, path: Path) -> None:
        self._primary = primary
        self._bin_dir = engine.installation.bin_dir
        self._account = server_account()
        self._data, self._log = path / "postgres", path / "postgres.log"
        self._config = path / "postgres.conf"
        self._socket_dir = path / "run"
        self._process: subprocess.Popen[bytes] | None = None
        if self._account.switch:  # as root: the server's user makes its folders itself
            path.chmod(0o777)
        parts = urlsplit(primary.url)
        host = parse_qs(parts.query)["host"][0]
        conninfo = f"host={host} port={PORT} user={parts.username} application_name={NAME}"
        command: list[str | Path] = [self._bin_dir / "pg_basebackup", "--pgdata", self._data, "--write-recovery-conf"]
        done = self._account.run(*command, "--wal-method=stream", "--checkpoint=fast", "--dbname", conninfo)
        assert done.returncode == 0, done.stderr
        assert self._account.run("mkdir", "-m", "700", self._socket_dir).returncode == 0
        settings = settings_for(engine.installation, str(self._socket_dir), NAME)
        own = {"max_connections": "250", "hot_standby": "on", **(NO_JOBS if engine.has_timescaledb else {})}
        self._config.write_text(render(settings | own))
        self._config.chmod(0o644)

    @property
    def url(self) -> str:
        """The database of the primary, as it is here."""
        database = urlsplit(self._primary.url).path
        return f"postgresql://postgres@{database}?host={quote(str(self._socket_dir), safe='')}&port={PORT}"

    def start(self) -> None:
        """Start it, and wait until it can be read."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [self._bin_dir / "postgres", "-D", self._data, "-c", f"config_file={self._config}"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
                env=server_environment(),
                **self._account.switch,
            )
        assert processes.poll_until(self._answers, time.monotonic() + PATIENCE_S), self._log.read_text()[-5_000:]

    def kill(self) -> None:
        """SIGQUIT: an immediate end. Does nothing where it does not run."""
        if self._process is not None:
            self._process.send_signal(signal.SIGQUIT)
            self._process.wait(PATIENCE_S)
            self._process = None

    def ask(self, question: str) -> object:
        """The only value of an answer."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            row = connection.execute(question.encode()).fetchone()
        return row[0] if row is not None else None

    def pause(self) -> None:
        """Follow no more; what was there stays readable."""
        self.ask("SELECT pg_wal_replay_pause()")
        paused = "SELECT pg_get_wal_replay_pause_state() = 'paused'"
        assert processes.poll_until(lambda: bool(self.ask(paused)), time.monotonic() + PATIENCE_S)

    def resume(self) -> None:
        """Follow again."""
        self.ask("SELECT pg_wal_replay_resume()")

    def promote(self) -> None:
        """Become a primary; returns when it can be written to. Its own settings are those of the base backup."""
        self.ask("SELECT pg_promote()")
        assert processes.poll_until(
            lambda: self.ask("SELECT pg_is_in_recovery()") is False, time.monotonic() + PATIENCE_S
        )

    def catch_up(self) -> None:
        """Wait until all is there that is committed on the primary now."""
        with psycopg.connect(self._primary.url, autocommit=True) as connection:
            row = connection.execute("SELECT pg_current_wal_flush_lsn()::text").fetchone()
        assert row is not None
        there = f"SELECT pg_last_wal_replay_lsn() >= '{row[0]}'"
        assert processes.poll_until(lambda: bool(self.ask(there)), time.monotonic() + PATIENCE_S)

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, self._log.read_text()[-5_000:]
        with contextlib.suppress(psycopg.OperationalError):
            return self.ask("SELECT pg_is_in_recovery()") is True
        return False


def both(primary: PrivateServer, replica: Replica) -> str:
    """A URL of whichever of the two can be written to."""
    hosts = [parse_qs(urlsplit(url).query)["host"][0] for url in (primary.url, replica.url)]
    query = f"host={quote(','.join(hosts), safe=',')}&port={PORT},{PORT}&target_session_attrs=read-write"
    return f"postgresql://postgres@{urlsplit(primary.url).path}?{query}"


@contextlib.contextmanager
def following(engine: Engine, primary: PrivateServer) -> Iterator[Replica]:
    """A replica that runs."""
    with folder(NAME) as path:
        replica = Replica(engine, primary, path)
        try:
            replica.start()
            yield replica
        finally:
            replica.kill()
