"""The real collector as processes: `collector serve` in a process group of its own, and its other commands."""

import contextlib
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from collector import processes
from tests.harness.client import Client

REPOSITORY = Path(__file__).resolve().parent.parent.parent
START_S = 30.0
STOP_S = 30.0
LOG_TAIL_BYTES = 20_000


class ServerProcess:
    """A collector that serves `database_url` on a free port of the loopback. Ends by `terminate` or `kill`."""

    def __init__(
        self, database_url: str, log: Path, *, workers: int = 1, environment: Mapping[str, str] | None = None
    ) -> None:
        self.database_url = database_url
        self.log = log
        self.port = free_port()
        self._workers = workers
        self._environment = dict(environment or {})
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.kill()

    @property
    def url(self) -> str:
        """Where it answers, the same after a restart."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def client(self) -> Client:
        """A client for it."""
        return Client(self.url)

    @property
    def pid(self) -> int:
        """The process that was started; the workers are its children."""
        assert self._process is not None
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether it has not ended."""
        return self._process is not None and self._process.poll() is None

    def start(self, *, ready: bool = True) -> Self:
        """Start it, and wait until it is ready, or only until it answers at all."""
        self.launch()
        return self.await_answer("/health/ready" if ready else "/health/live")

    def launch(self) -> None:
        """Start it without waiting."""
        assert not self.running
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "collector", "serve", "--port", str(self.port)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=REPOSITORY,
                env=environment(
                    {"DATABASE_URL": self.database_url, "COLLECTOR_WORKERS": str(self._workers), **self._environment}
                ),
                start_new_session=True,
            )

    def await_answer(self, path: str, status: int = 200, timeout_s: float = START_S) -> Self:
        """Ask until the answer has this status. Raises AssertionError when it ends or time is up."""
        deadline = time.monotonic() + timeout_s
        if not processes.poll_until(lambda: not self.running or self.status(path) == status, deadline):
            raise AssertionError(f"{path} did not answer {status} within {timeout_s:.0f} s:\n{self.log_tail()}")
        if not self.running:
            assert self._process is not None
            raise AssertionError(f"the collector ended with {self._process.returncode}:\n{self.log_tail()}")
        return self

    def status(self, path: str) -> int | None:
        """The status that a GET is answered with; None where there is no answer."""
        try:
            return Client(self.url, timeout_s=5).get(path).status
        except (OSError, http.client.HTTPException):
            return None

    def send(self, number: signal.Signals) -> None:
        """Signal the process that was started."""
        os.kill(self.pid, number)

    def wait(self, timeout_s: float = STOP_S) -> int:
        """Wait for its end, and that of its workers; returns its exit status."""
        assert self._process is not None
        try:
            status = self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"the collector did not end within {timeout_s} s:\n{self.log_tail()}") from None
        assert self._await_group(timeout_s), f"workers of the collector did not end:\n{self.log_tail()}"
        return status

    def terminate(self, timeout_s: float = STOP_S) -> int:
        """SIGTERM; returns the exit status."""
        self.send(signal.SIGTERM)
        return self.wait(timeout_s)

    def kill(self) -> None:
        """SIGKILL, to it and to all its workers at once. Does nothing where it has ended."""
        if self._process is None:
            return
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait(STOP_S)
        assert self._await_group(STOP_S), "killed processes did not end"

    def restart(self) -> Self:
        """Kill it if it runs, and start it again on the same port."""
        self.kill()
        return self.start()

    def worker_pids(self) -> list[int]:
        """The processes that answer requests."""
        return [pid for pid in self._group() if pid != self.pid and _is_worker(pid)]

    def peak_bytes(self) -> int:
        """The most memory that a worker has had resident (VmHWM)."""
        return max(status_bytes(pid, "VmHWM") for pid in self.worker_pids())

    def log_tail(self) -> str:
        """The end of what it wrote."""
        with contextlib.suppress(FileNotFoundError):
            return self.log.read_bytes()[-LOG_TAIL_BYTES:].decode(errors="replace")
        return ""

    def _group(self) -> list[int]:
        return [pid for pid in processes.every_pid() if _group_of(pid) == self.pid and processes.alive(pid)]

    def _await_group(self, timeout_s: float) -> bool:
        return processes.poll_until(lambda: not self._group(), time.monotonic() + timeout_s)


def collector(*arguments: str, database_url: str | None = None, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a command of `collector` to its end."""
    given = {"DATABASE_URL": database_url, **variables} if database_url else variables
    return subprocess.run(
        [sys.executable, "-m", "collector", *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        cwd=REPOSITORY,
        env=environment(given),
        timeout=120,
    )


NO_JOBS = "timescaledb.max_background_workers is 0"
"""What `doctor` finds wrong with the servers of most tests, where it is meant (`tests.harness.engines`)."""


def diagnosed(database_url: str, **variables: str) -> dict[str, Any]:
    """What `collector doctor --json` says, the problem that the tests' servers are to have left aside."""
    done = collector("doctor", "--json", database_url=database_url, **variables)
    document: dict[str, Any] = json.loads(done.stdout)
    assert (done.returncode, done.stderr) == (1 if document["problems"] else 0, "")
    document["problems"] = [problem for problem in document["problems"] if not problem.startswith(NO_JOBS)]
    return document


def environment(given: Mapping[str, str]) -> dict[str, str]:
    """Ours without settings of the collector, which would change what is tested, and with those given."""
    ours = ("COLLECTOR_", "DATABASE_URL", "PG", "PROMETHEUS_")
    return {name: value for name, value in os.environ.items() if not name.startswith(ours)} | dict(given)


def free_port() -> int:
    """A port of the loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def status_bytes(pid: int, field: str) -> int:
    """A field of /proc/…/status that is given in kB; Linux only."""
    text = (processes.PROC / str(pid) / "status").read_text()
    found = re.search(rf"^{field}:\s+(\d+) kB$", text, re.MULTILINE)
    assert found is not None
    return int(found[1]) * 1024


def _group_of(pid: int) -> int | None:
    try:
        return os.getpgid(pid)
    except ProcessLookupError:
        return None


def _is_worker(pid: int) -> bool:
    """Not the resource tracker of multiprocessing, which serves nobody."""
    words = processes.command_line(pid) or []
    return not any("resource_tracker" in word for word in words)
