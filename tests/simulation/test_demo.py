"""`collector demo` with the stand-in as its server: what it shows, how it ends, and that no process is left."""

import os
import re
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from collector.commands.demo import demo as run_demo
from collector.commands.demo import free_port
from collector.errors import SettingError
from collector.settings import Settings

ROOT = Path(__file__).parents[2]
PROGRAM = """
import sys
from pathlib import Path
from collector.commands.demo import DemoError, demo
from collector.settings import Settings
data_dir, port, duration_s, *command = sys.argv[1:]
try:
    status = demo(Settings(data_dir=Path(data_dir)), port=int(port), duration_s=float(duration_s), command=command)
except DemoError as exc:
    sys.exit(str(exc))
sys.exit(status)
"""
STANDIN = (sys.executable, "-m", "tests.simulation.standin")
FOREVER_S = 3600.0


class Demo:
    """A demo in a process of its own."""

    def __init__(self, data_dir: Path, duration_s: float, *command: str, port: int = 0) -> None:
        arguments = [str(data_dir), str(port), str(duration_s), *command]
        self.log = data_dir / "demo.log"
        self.process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, *arguments],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.output = ""

    def read_until(self, pattern: str) -> re.Match[str]:
        """Read its output up to a line with the pattern."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.output += line
            if match := re.search(pattern, line):
                return match
        raise AssertionError(f"no line with {pattern!r} in:\n{self.output}")

    def end(self) -> int:
        """Its exit status, once it has ended by itself."""
        assert self.process.stdout is not None
        self.output += self.process.stdout.read()
        return self.process.wait()

    @property
    def port(self) -> int:
        match = re.search(r"http://127\.0\.0\.1:(\d+)/", self.output)
        assert match is not None, self.output
        return int(match[1])


def listening(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture
def demos() -> Iterator[list[Demo]]:
    """Demos that the test starts; what is left of them is ended."""
    started: list[Demo] = []
    yield started
    for demo in started:
        if demo.process.poll() is None:
            demo.process.terminate()
            demo.end()


def test_it_runs_for_its_time_shows_numbers_and_proves_them(tmp_path: Path, demos: list[Demo]) -> None:
    demos.append(demo := Demo(tmp_path, 4.0, *STANDIN))
    demo.read_until("Ctrl-C ends it")
    demo.read_until("newest window of 5 minutes is still filling")
    shown = demo.read_until(
        r"acknowledged ([\d,]+) .* window .* cdn .* p2p .* sessions .*"
        r"  sessions ([\d,]+) messages .*  analytics ([\d,]+) users, .* this hour"
        r"  queue ([\d,]+) payloads acknowledged, [\d,]+ waiting to be applied  lag none"
    )
    assert all(int(number.replace(",", "")) > 5 for number in shown.groups())
    assert demo.end() == 0, demo.output
    assert "stats agrees to the byte" in demo.output
    assert "analytics agrees" in demo.output
    assert "sessions agree" in demo.output
    assert not listening(demo.port)
    assert (tmp_path / "demo-ledger.json").exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_it_with_the_proof(tmp_path: Path, demos: list[Demo], number: signal.Signals) -> None:
    demos.append(demo := Demo(tmp_path, FOREVER_S, *STANDIN))
    demo.read_until("acknowledged")
    demo.process.send_signal(number)
    assert demo.end() == 0, demo.output
    assert "agrees to the byte" in demo.output
    assert not listening(demo.port)


def test_a_difference_is_its_exit_status(tmp_path: Path, demos: list[Demo]) -> None:
    demos.append(demo := Demo(tmp_path, 1.0, *STANDIN, "plant"))
    assert demo.end() == 1
    assert "differences" in demo.output


def test_a_server_that_does_not_start_is_shown_with_its_log(tmp_path: Path, demos: list[Demo]) -> None:
    demos.append(demo := Demo(tmp_path, 1.0, sys.executable, "-c", "raise SystemExit('no database here')"))
    assert demo.end() == 1
    assert "did not start" in demo.output
    assert "no database here" in demo.output


def test_a_server_that_dies_ends_the_demo(tmp_path: Path, demos: list[Demo]) -> None:
    demos.append(demo := Demo(tmp_path, FOREVER_S, *STANDIN))
    demo.read_until("acknowledged")
    os.kill(int(re.findall(r"pid (\d+)", demo.log.read_text())[0]), signal.SIGKILL)
    assert demo.end() == 1
    assert "ended by itself" in demo.output


def test_a_signal_while_the_server_starts_ends_it(tmp_path: Path, demos: list[Demo]) -> None:
    hanging = "import time, os; print('pid', os.getpid(), flush=True); time.sleep(3600)"
    demos.append(demo := Demo(tmp_path, FOREVER_S, sys.executable, "-c", hanging))
    demo.read_until("starting the collector")
    demo.process.send_signal(signal.SIGINT)
    assert demo.end() == 0, demo.output


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's death signal is Linux's")
def test_a_killed_demo_takes_its_server_along(tmp_path: Path, demos: list[Demo]) -> None:
    demos.append(demo := Demo(tmp_path, FOREVER_S, *STANDIN))
    demo.read_until("acknowledged")
    server = int(re.findall(r"pid (\d+)", demo.log.read_text())[0])
    watched = os.pidfd_open(server)
    demo.process.kill()
    demo.end()
    assert select.select([watched], [], [], 20)[0], "the server outlives the demo"
    os.close(watched)


def test_a_taken_port_is_left_to_its_owner() -> None:
    with socket.socket() as owner:
        owner.bind(("127.0.0.1", 0))
        owner.listen()
        taken = owner.getsockname()[1]
        assert free_port(taken) not in (0, taken)
    assert free_port(taken) == taken


@pytest.mark.parametrize("flag", [{"speed": 0.0}, {"speed": float("nan")}, {"rate": -1.0}, {"duration_s": 0.0}])
def test_numbers_that_make_no_sense_are_named(tmp_path: Path, flag: dict[str, float]) -> None:
    with pytest.raises(SettingError, match=next(iter(flag)).removesuffix("_s")):
        run_demo(Settings(data_dir=tmp_path), **flag)  # type: ignore[arg-type]
