"""The server process of one data directory: whether it runs, starting it, stopping it, what a killed one leaves behind.

PostgreSQL itself refuses to start while the process named in postmaster.pid exists, whatever that process is by now, or
while backends of a killed server still hold its shared memory. After a power cut the number may belong to anybody, so
this module looks closer before it believes such a file.
"""

import contextlib
import itertools
import os
import signal
import socket
import struct
import subprocess
import time
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from typing import Literal

import msgspec

from collector import processes
from collector.embedded.account import COMMAND_TIMEOUT_S, Account, server_environment
from collector.embedded.configuration import PORT
from collector.embedded.errors import EmbeddedError

StopMode = Literal["fast", "immediate"]
STOP_SIGNALS: dict[StopMode, signal.Signals] = {"fast": signal.SIGINT, "immediate": signal.SIGQUIT}

# Recovery reads at most max_wal_size (2 GB) of WAL back, and a slow disk takes minutes for that.
START_TIMEOUT_S = 300.0
# A fast shutdown ends with a checkpoint; past this, crash recovery at the next start is the better way.
FAST_STOP_TIMEOUT_S = 120.0
IMMEDIATE_STOP_TIMEOUT_S = 20.0
CONTACT_TIMEOUT_S = 2.0
# The shortest message that a server answers, by one byte, and does not log: length and code of SSLRequest
# (PostgreSQL's documentation, Message Formats).
SSL_REQUEST = struct.pack("!ii", 8, 80877103)
# Backends notice within moments that their server was killed, unless they are busy with a query. How long to wait for
# them, and what to send then; their shared memory is lost, so that nothing they could still do counts.
ORPHANS: tuple[tuple[float, signal.Signals | None], ...] = ((2.0, signal.SIGQUIT), (8.0, signal.SIGKILL), (20.0, None))
ORPHANS_TIMEOUT_S = sum(bound_s for bound_s, _ in ORPHANS)
LOG_TAIL_LINES = 8


class State(Enum):
    """How a server stands."""

    DOWN = "down"
    BUSY = "busy"  # starting or stopping
    READY = "ready"
    DEAF = "deaf"  # runs, and its socket was taken away


class Contact(Enum):
    """What somebody who knocks at the socket meets."""

    ANSWERS = "answers"
    SILENT = "silent"  # overloaded, or about to end
    REFUSED = "refused"


class PidFile(msgspec.Struct, frozen=True):
    """postmaster.pid, as far as it is written yet."""

    pid: int
    socket_dir: str
    status: str


class Postmaster:
    """The server process of the data directory `pgdata`, run by `account`."""

    def __init__(self, pgdata: Path, account: Account, cluster_name: str) -> None:
        self.pgdata = pgdata
        self.account = account
        self.cluster_name = cluster_name

    def pid_file(self) -> PidFile | None:
        """What postmaster.pid says; None without one, or one without a number."""
        try:
            lines = (self.pgdata / "postmaster.pid").read_text(errors="surrogateescape").splitlines()
            return PidFile(int(lines[0]), _line(lines, 4), _line(lines, 7))
        except (FileNotFoundError, IndexError, ValueError):
            return None

    def state(self) -> State:
        """How the server stands right now."""
        file = self.pid_file()
        if file is None:
            return State.DOWN
        # Asked at its socket too: another container that shares the directory sees other process numbers.
        contact = _contact(file.socket_dir)
        ours = self._is_postmaster(file.pid)
        if file.status == "ready" and (contact is Contact.ANSWERS or (contact is Contact.SILENT and ours)):
            return State.READY
        if ours:
            return State.DEAF if file.status == "ready" and contact is Contact.REFUSED else State.BUSY
        return State.DOWN if contact is Contact.REFUSED else State.BUSY

    def start(self, postgres: Path, config: Path, log: Path, socket_dir: Path) -> None:
        """Starts the server and waits until it takes connections; the caller knows that it is down.

        Raises EmbeddedError with the end of the server's log.
        """
        self._clear_remains(socket_dir)
        deadline = time.monotonic() + START_TIMEOUT_S
        orphans_deadline = time.monotonic() + ORPHANS_TIMEOUT_S
        while True:
            with _open_log(log) as fd:
                offset = os.fstat(fd).st_size
                pid = self._launch(postgres, config, fd)
            if self._await_ready(pid, deadline):
                return
            tail = _tail(log, offset)
            # Where /proc does not show the orphans of a killed server, PostgreSQL's refusal does.
            if "pre-existing shared memory block" not in tail or time.monotonic() > orphans_deadline:
                raise EmbeddedError(f"PostgreSQL could not start in {self.pgdata}; the end of {log}:\n{tail}")
            time.sleep(10 * processes.POLL_S)

    def await_settled(self) -> State:
        """Waits while the server starts or stops, and returns what became of it."""
        deadline = time.monotonic() + START_TIMEOUT_S
        if not processes.poll_until(lambda: self.state() is not State.BUSY, deadline):
            file = self.pid_file()
            raise EmbeddedError(
                f"the private PostgreSQL in {self.pgdata} (process {file.pid if file else '?'}) has been starting or "
                f"stopping for {START_TIMEOUT_S:.0f} s"
            )
        return self.state()

    def stop(self, mode: StopMode = "fast") -> None:
        """Stops the server and waits for its end; nothing to do when it is down. Raises EmbeddedError if it stays."""
        file = self.pid_file()
        if file is None or not self._is_postmaster(file.pid):
            return
        if mode == "fast":
            processes.send(file.pid, STOP_SIGNALS["fast"])
            if processes.await_end(file.pid, FAST_STOP_TIMEOUT_S):
                return
        processes.send(file.pid, STOP_SIGNALS["immediate"])
        if not processes.await_end(file.pid, IMMEDIATE_STOP_TIMEOUT_S):
            raise EmbeddedError(f"the private PostgreSQL in {self.pgdata} (process {file.pid}) does not stop")

    def _launch(self, postgres: Path, config: Path, log_fd: int) -> int:
        """Starts the server as nobody's child, in a session of its own, and returns its process number.

        A session of its own: Ctrl-C in the collector's terminal must not reach it. Nobody's child: when it is killed,
        no dead entry may stay in the process table, for PostgreSQL would take that for a server that runs.
        """
        command = [str(postgres), "-D", str(self.pgdata), "-c", f"config_file={config}"]
        try:
            done = subprocess.run(  # noqa: S603 - fixed script, words handed over as arguments
                ["/bin/sh", "-c", '"$@" </dev/null >&2 & echo $!', "sh", *command],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log_fd,
                check=True,
                timeout=COMMAND_TIMEOUT_S,
                cwd="/",
                env=server_environment(),
                umask=0o077,
                start_new_session=True,
                **self.account.switch,
            )
        except (OSError, subprocess.SubprocessError) as exc:
            raise EmbeddedError(f"{postgres} could not be started as user {self.account.name!r}: {exc}") from exc
        return int(done.stdout)

    def _await_ready(self, pid: int, deadline: float) -> bool:
        """True when the server takes connections, False when it has ended. Raises EmbeddedError when time is up."""

        def settled() -> bool:
            return self.state() is State.READY or not processes.alive(pid)

        if not processes.poll_until(settled, deadline):
            raise EmbeddedError(f"the private PostgreSQL in {self.pgdata} is not ready after {START_TIMEOUT_S:.0f} s")
        return self.state() is State.READY

    def _is_postmaster(self, pid: int) -> bool:
        """Whether this process is the server of this directory, not somebody who has got its number since."""
        if not processes.alive(pid):
            return False
        words = processes.command_line(pid)
        if words is None:
            return True
        if processes.owner(pid) != self.account.uid:
            return False
        return any(flag == "-D" and folder == str(self.pgdata) for flag, folder in itertools.pairwise(words))

    def _orphans(self) -> list[int]:
        """Backends whose server is gone; they carry the cluster's name in their title."""
        title = f"postgres: {self.cluster_name}: "
        return [
            pid
            for pid in processes.every_pid()
            if (processes.command_line(pid) or [""])[0].startswith(title) and processes.owner(pid) == self.account.uid
        ]

    def _clear_remains(self, socket_dir: Path) -> None:
        """Makes way after a kill: backends without a server, files that name a process which is no server."""
        for bound_s, number in ORPHANS:
            deadline = time.monotonic() + bound_s
            if all(processes.await_end(pid, deadline - time.monotonic()) for pid in self._orphans()):
                break
            for pid in self._orphans():
                if number is None:
                    raise EmbeddedError(f"process {pid}, left of a PostgreSQL that was killed, does not end")
                processes.send(pid, number)
        file = self.pid_file()
        # A power cut leaves it empty, or its number goes to somebody else: PostgreSQL refuses both. One that names
        # nobody stays, for from it PostgreSQL finds shared memory that is still in use.
        if file is None or _exists(file.pid):
            (self.pgdata / "postmaster.pid").unlink(missing_ok=True)
        for name in (f".s.PGSQL.{PORT}", f".s.PGSQL.{PORT}.lock"):
            (socket_dir / name).unlink(missing_ok=True)


def _line(lines: list[str], index: int) -> str:
    return lines[index].strip() if len(lines) > index else ""


def _exists(pid: int) -> bool:
    """Whether the number is taken, be it by a process that has ended and was not buried."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def _contact(socket_dir: str) -> Contact:
    """Knocks at the server's socket, for an answer: the kernel lets one connect while anybody still has it open."""
    if not socket_dir:
        return Contact.REFUSED
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        client.settimeout(CONTACT_TIMEOUT_S)
        try:
            client.connect(f"{socket_dir}/.s.PGSQL.{PORT}")
            client.sendall(SSL_REQUEST)
            return Contact.ANSWERS if client.recv(1) else Contact.REFUSED
        except (TimeoutError, BlockingIOError):
            return Contact.SILENT
        except OSError:
            return Contact.REFUSED


@contextlib.contextmanager
def _open_log(log: Path) -> Iterator[int]:
    """The server's log, opened for appending by the caller: the server's user need not be able to."""
    fd = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    try:
        yield fd
    finally:
        os.close(fd)


def _tail(log: Path, offset: int) -> str:
    """The last lines that were written to the log after `offset`."""
    with log.open("rb") as file:
        file.seek(offset)
        lines = file.read()[-16_384:].decode(errors="replace").splitlines()
    return "\n".join(f"  {line}" for line in lines[-LOG_TAIL_LINES:]) or "  (nothing)"
