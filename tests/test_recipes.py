"""The recipes, run as they stand against a real collector, where their programs are on the machine."""

import asyncio
import re
import shutil
import signal
import subprocess
import sys
import time
import uuid
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import psycopg
import pytest

from collector.openapi.ingest import BASE
from tests.conftest import Serve
from tests.documents import README, ROOT, Block, blocks
from tests.faults.books import await_true
from tests.harness.broker import Broker
from tests.harness.engines import Engine
from tests.harness.ledger import stored_tokens
from tests.harness.server import ServerProcess, environment
from tests.harness.wire import line_of

PAGE = ROOT / "docs" / "recipes.md"
LINES = "".join(
    f'{{"token": "{token}", "customer": "acme", "content": "{content}", "timespan": 30000, "p2p": {p2p}, '
    f'"cdn": {cdn}, "sessionDuration": {duration}}}\n'
    for token, content, p2p, cdn, duration in (
        ("t1", "film7", 1, 10, 30_000),
        ("t1", "film7", 2, 20, 60_000),
        ("t2", "film8", 3, 30, 30_000),
    )
)
HOW_TO_GET = {
    "curl": "apt-get install curl",
    "kcat": "apt-get install kcat",
    "syslog-ng": "apt-get install syslog-ng-core syslog-ng-mod-http",
    "telegraf": ".ci/clients builds it",
    "vegeta": "go install github.com/tsenart/vegeta/v12@v12.13.0",
    "wrk": "apt-get install wrk",
    "pandas": "pip install pandas",
    "duckdb": "pip install duckdb",
    "psql": "apt-get install postgresql-client",
}
READING = ("pandas", "duckdb", "psql")


def recipe(name: str) -> Block:
    """A recipe, if its program is there."""
    if name in HOW_TO_GET and shutil.which(name) is None and find_spec(name.replace("-", "_")) is None:
        pytest.skip(f"{name} was not found: {HOW_TO_GET[name]}")
    marker = f"<!-- recipe: {name} -->\n"
    text = PAGE.read_text().partition(marker)[2]
    assert text, name
    return next(block for block in blocks(PAGE) if text.startswith(f"```{block.language}\n{block.text}"))


class Kitchen:
    """Runs recipes in a folder with some lines, against a collector."""

    def __init__(self, server: ServerProcess, engine: Engine, path: Path) -> None:
        self.server = server
        self._engine = engine
        self.path = path
        (path / "lines.jsonl").write_text(LINES)
        (path / "payload.json").write_text(LINES.splitlines()[0])

    def filled(self) -> None:
        """With the lines in the database."""
        assert self.server.client.post_lines(LINES).json()["accepted"] == 3

    def variables(self, **more: str) -> dict[str, str]:
        programs = f"{self._engine.installation.bin_dir}:{Path(sys.executable).parent}"
        own = {"DATABASE_URL": self.server.database_url, "PATH": f"{programs}:{environment({})['PATH']}"}
        return environment(own | more)

    def run(self, block: Block, **more: str) -> str:
        """What it prints."""
        text = block.text.replace(BASE, self.server.url)
        command = (
            [sys.executable, "-c", text] if block.language == "python" else ["bash", "-ec", f"set -o pipefail\n{text}"]
        )
        done = subprocess.run(
            command, cwd=self.path, env=self.variables(**more), capture_output=True, text=True, timeout=90, check=False
        )
        assert done.returncode == 0, f"{text}\n{done.stdout}\n{done.stderr}"
        return done.stdout.strip()


@pytest.fixture
def kitchen(server: ServerProcess, engine: Engine, tmp_path: Path) -> Kitchen:
    return Kitchen(server, engine, tmp_path)


@pytest.fixture
def best_kitchen(serve: Serve, best_engine: Engine, best_database_url: str, tmp_path: Path) -> Kitchen:
    return Kitchen(serve(best_database_url), best_engine, tmp_path)


def test_every_recipe_is_run_here() -> None:
    source = Path(__file__).read_text()
    named = set(re.findall(r"<!-- recipe: (\S+) -->", PAGE.read_text()))
    assert named == {*re.findall(r'recipe\("(\S+)"\)', source), *READING}
    shown = [block for block in blocks(PAGE) if block.language not in ("json", "js")]  # test_beacon runs the scripts
    answers = [block for block in shown if any(block.text == other.answer for other in blocks(PAGE))]
    assert len(shown) - len(answers) == len(named)


def test_curl(best_kitchen: Kitchen) -> None:
    block = recipe("curl")
    for _ in range(2):
        assert best_kitchen.run(block) == (block.answer or "").strip()
    assert stored_tokens(best_kitchen.server.database_url, "acme").total() == 3


@pytest.mark.parametrize("name", READING)
def test_reading(kitchen: Kitchen, name: str) -> None:
    block = recipe(name)
    kitchen.filled()
    assert kitchen.run(block) == (block.answer or "").strip()


def test_vegeta(best_kitchen: Kitchen) -> None:
    block = recipe("vegeta")
    assert best_kitchen.run(block) == (block.answer or "").strip()
    assert stored_tokens(best_kitchen.server.database_url, "acme").total() == 400


def test_wrk(best_kitchen: Kitchen) -> None:
    block = recipe("wrk")
    assert best_kitchen.run(block) == (block.answer or "").strip()
    assert stored_tokens(best_kitchen.server.database_url, "acme").total() > 0


def test_kcat(serve: Serve, best_engine: Engine, best_database_url: str, broker: Broker, tmp_path: Path) -> None:
    block = recipe("kcat")
    topic = broker.create(f"recipe-{uuid.uuid4().hex[:8]}")
    settings = {"COLLECTOR_KAFKA_BOOTSTRAP": broker.address, "COLLECTOR_KAFKA_TOPIC": topic}
    kitchen = Kitchen(serve(best_database_url, **settings), best_engine, tmp_path)
    kitchen.run(block, **settings)
    await_true(lambda: stored_tokens(best_database_url, "acme").total() == 3, 60)
    assert stored_tokens(best_database_url, "acme") == {"t1": 2, "t2": 1}


def test_syslog_ng(best_kitchen: Kitchen) -> None:
    block = recipe("syslog-ng")
    path = best_kitchen.path
    configuration = path / "syslog-ng.conf"
    configuration.write_text(block.text.replace(BASE, best_kitchen.server.url))
    (path / "messages.log").write_text('it rained\nit "poured"\n')
    state = [f"--{name}={path / name}" for name in ("persist-file", "pidfile", "control")]
    command = ["syslog-ng", "--foreground", "--no-caps", "--stderr", f"--cfgfile={configuration}", *state]
    with subprocess.Popen(command, cwd=path, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        try:
            await_true(lambda: len(messages(best_kitchen)) == 2, 60)
        finally:
            process.send_signal(signal.SIGTERM)
            _, said = process.communicate(timeout=30)
    assert {row["message"] for row in messages(best_kitchen)} == {"it rained", 'it "poured"'}, said


def test_telegraf(best_kitchen: Kitchen) -> None:
    """Given the measurements of two machines by a file, of all their cores and of one. Each machine has four."""
    block = recipe("telegraf")
    path = best_kitchen.path
    now_ns = time.time_ns()
    measured = [
        f"cpu,host=web{number},cpu={cpu} usage_active={number}.5,usage_iowait=0.5 {now_ns}\n"
        for number in (1, 2)
        for cpu in ("cpu-total", "cpu0")
    ]
    (path / "cpu.influx").write_text("".join(measured))
    own = "[agent]\n  skip_processors_after_aggregators = true\n"
    given = '[[inputs.file]]\n  files = ["cpu.influx"]\n  data_format = "influx"\n'
    (path / "telegraf.conf").write_text(own + given + block.text.replace(BASE, best_kitchen.server.url))
    command = ["telegraf", "--config", str(path / "telegraf.conf"), "--once"]
    cores = environment({"CORES": "4"})
    done = subprocess.run(command, cwd=path, env=cores, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    with psycopg.connect(best_kitchen.server.database_url) as connection:
        rows = connection.execute("SELECT session, cpu, properties FROM session_message ORDER BY session").fetchall()
    properties = [{"usage_active": number + 0.5, "usage_iowait": 0.5} for number in (1, 2)]
    assert rows == [("web1", 6, properties[0]), ("web2", 10, properties[1])], done.stderr


def messages(kitchen: Kitchen) -> list[dict[str, Any]]:
    with psycopg.connect(kitchen.server.database_url) as connection:
        rows = connection.execute("SELECT properties FROM session_message WHERE event = 'log'").fetchall()
    return [properties for (properties,) in rows]


def test_the_client_with_aiohttp_goes_on_after_a_cut(server: ServerProcess) -> None:
    """The collector is killed twice while the stream is open: every line is there, once."""
    example: dict[str, Any] = {}
    (source,) = [block.text for block in blocks(README) if block.language == "python" and "aiohttp" in block.text]
    exec(compile(source, str(README), "exec"), example)
    lines = [line_of("endless", f"t{number}") for number in range(600)]

    def committed() -> int:
        answer = server.client.stream("endless-1")
        return int(answer.json()["committed"]) if answer.status == 200 else 0

    def arrived(count: int) -> None:
        await_true(lambda: committed() == count, 60)

    async def run() -> object:
        queue: asyncio.Queue[bytes | None] = asyncio.Queue()
        async with asyncio.timeout(120):
            sending = asyncio.create_task(example["stream"](queue, "endless-1", server.url))
            for begin in (0, 200, 400):
                for line in lines[begin : begin + 199]:
                    queue.put_nowait(line)
                await asyncio.to_thread(arrived, begin + 199)
                queue.put_nowait(lines[begin + 199])  # may be on its way, or committed, when all ends
                await asyncio.to_thread(server.restart)
            queue.put_nowait(None)
            return await sending

    assert asyncio.run(run()) == {"accepted": 600, "rejected": 0, "errors": []}
    stored = stored_tokens(server.database_url, "endless")
    assert set(stored) == {f"t{number}" for number in range(600)}
    assert set(stored.values()) == {1}
