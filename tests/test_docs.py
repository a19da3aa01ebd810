"""What people read is true: commands on the pages run and answer what they say; settings, commands, metrics, columns
and files that are named are those there are.
"""

import contextlib
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
import msgspec
import prometheus_client
import psycopg
import pytest

import collector.metrics
from collector.cli import cli
from collector.messages.payload import DECODER
from collector.openapi.ingest import BASE
from collector.settings import Settings, variable
from simulation.cli import cli as simulate
from simulation.load import chaos
from tests.conftest import Serve
from tests.documents import (
    API,
    CHANGELOG,
    DATA_MODEL,
    OPERATIONS,
    PAGES,
    README,
    ROOT,
    SIMULATOR,
    Block,
    anchors,
    api_page,
    blocks,
    links,
    prose,
    with_tables,
)
from tests.harness.client import Client
from tests.harness.engines import Engine
from tests.harness.server import ServerProcess, environment

WINDOW_S = 300
TABLES = (
    *("payload", "payload_queue", "session_token", "session_message", "hit", "analytics_user", "analytics_hour"),
    *("session_cpu", "session_fact", "cpu_session", "cpu_event", "cpu_dirty"),
    *("progress", "rejected", "retention", "collector_schema", "session_log", "api_key", "stats", "analytics"),
)
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")


# Commands


class Shell:
    """Runs what a page says, against a collector that is not at the page's address."""

    def __init__(self, server: ServerProcess, programs: Path, folder: Path) -> None:
        self._server = server
        self._programs = programs
        self._folder = folder

    def run(self, script: str) -> str:
        """What it prints, without carriage returns. Raises AssertionError where it fails."""
        script = script.replace(BASE, self._server.url)
        own = f'set -e -o pipefail\ncollector() {{ "{sys.executable}" -m collector "$@"; }}\n'
        variables = {"DATABASE_URL": self._server.database_url, "PYTHONPATH": str(ROOT), "PGTZ": "UTC", "PAGER": "cat"}
        variables["PATH"] = f"{environment({})['PATH']}:{self._programs}"
        done = subprocess.run(
            ["bash", "-c", own + script],
            cwd=self._folder,
            env=environment(variables),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, f"{script}\n{done.stdout}\n{done.stderr}"
        return done.stdout.replace("\r", "")


@pytest.fixture
def shell(engine: Engine, serve: Serve, tmp_path: Path) -> Iterator[Callable[[], Shell]]:
    """A new collector with a database of its own, each time."""
    if shutil.which("curl") is None:
        pytest.skip("curl was not found: apt-get install curl")
    with contextlib.ExitStack() as stack:

        def make() -> Shell:
            url = stack.enter_context(engine.database())
            return Shell(serve(url), engine.installation.bin_dir, tmp_path)

        yield make


def in_one_window(make: Callable[[], Shell], read: Callable[[Shell], None]) -> None:
    """Do it, and once more where a window ended meanwhile: then what is one row on the page is two."""
    began_in = time.time() // WINDOW_S
    try:
        read(make())
    except AssertionError:
        if time.time() // WINDOW_S == began_in:
            raise
        read(make())


def test_commands_of_the_readme_answer_what_it_says(shell: Callable[[], Shell]) -> None:
    commands = [block for block in blocks(README) if block.language == "sh" and runs(block)]
    assert len(commands) >= 9
    assert sum(block.answer is not None for block in commands) >= 9

    def read(shell: Shell) -> None:
        for block in commands:
            printed = shell.run(block.text)
            if block.answer is not None:
                compare(block.text, printed, block.answer)

    in_one_window(shell, read)


def runs(block: Block) -> bool:
    """Everything but what starts or builds things."""
    return BASE in block.text or block.text.startswith(("collector psql", "collector keys"))


def compare(command: str, printed: str, said: str) -> None:
    """Times differ; of headers the page shows some, and how many receipts there are is the database's affair."""
    have, want = lines_of(printed), lines_of(said)
    if "Accept: application/x-ndjson" in command:
        assert have[-1] == want[-1]
        receipts = [msgspec.json.decode(line) for line in have[:-1]]
        assert all(set(receipt) == {"committed", "rejected"} for receipt in receipts)
        committed = [receipt["committed"] for receipt in receipts]
        assert committed == sorted(set(committed))
    elif "curl -i" in command:
        assert [line for line in have if line in want] == want
    else:
        assert have == want


def lines_of(text: str) -> list[str]:
    return [TIME.sub("<time>", line).rstrip() for line in text.strip().splitlines()]


def test_commands_of_the_data_model_run(shell: Callable[[], Shell]) -> None:
    commands = [block.text for block in blocks(DATA_MODEL) if block.language == "sh"]
    assert commands
    there = shell()
    there.run(f"echo oops | curl -s {BASE}/stats -H 'Content-Type: application/x-ndjson' --data-binary @-")
    for command in commands:
        assert "oops" in there.run(command)


def test_samples_of_openapi_run(shell: Callable[[], Shell]) -> None:
    there = shell()
    document = msgspec.json.decode(there.run(f"curl -s {BASE}/openapi.json"))
    operations = [operation for methods in document["paths"].values() for operation in methods.values()]
    samples = [sample for operation in operations for sample in operation["x-codeSamples"]]
    assert len(samples) >= 10
    for sample in samples:
        have, want = lines_of(there.run(sample["source"])), lines_of(sample["answer"])
        if not want:
            assert have
        elif sample["source"].startswith("curl -s") and want[0].startswith('{"rows"'):
            assert shape(have[0]) == shape(want[0])
        elif "-i" in sample["source"].split():
            assert have[0] == want[0]
        else:
            assert have[-1] == want[-1] if "Accept: application/x-ndjson" in sample["source"] else have[0] == want[0]


def shape(text: str) -> Any:
    """The names of a page of rows."""
    document = msgspec.json.decode(text)
    return set(document), [set(row) for row in document["rows"][:1]]


def test_the_client_of_the_readme_goes_on_after_a_cut(server: ServerProcess, tmp_path: Path) -> None:
    """Cut in the middle of the stream, and then sent while the collector is away: every line is there, once."""
    (source,) = [block.text for block in blocks(README) if block.language == "python" and "httpx" in block.text]
    assert len(source.splitlines()) <= 30
    example: dict[str, Any] = {}
    exec(compile(source, str(README), "exec"), example)
    lines = [
        b'{"token":"t%d","customer":"client","content":"film7","timespan":1,"p2p":1,"cdn":1,"sessionDuration":1}\n' % n
        for n in range(500)
    ]
    path = tmp_path / "lines.jsonl"
    path.write_bytes(b"".join(lines))

    class Cut(Exception):
        pass

    def first_half() -> Iterator[bytes]:
        yield b"".join(lines[:200])
        raise Cut

    with pytest.raises(Cut):
        server.client.post_lines(first_half(), {"Idempotency-Key": "client-1"})
    server.kill()
    answers: list[object] = []
    thread = threading.Thread(target=lambda: answers.append(example["upload"](str(path), "client-1", server.url)))
    thread.start()
    server.start()
    thread.join(60)
    assert answers == [{"accepted": 500, "rejected": 0, "errors": []}]
    with psycopg.connect(server.database_url) as connection:
        stored = connection.execute("SELECT token FROM payload WHERE customer = 'client' ORDER BY token").fetchall()
    assert [token for (token,) in stored] == sorted(f"t{n}" for n in range(500))
    assert example["upload"](str(path), "client-1", server.url) == answers[0]


# Names


def test_tables_of_settings_are_generated() -> None:
    for page in PAGES:
        text = page.read_text()
        assert with_tables(text) == text, "python -m tests.documents writes them"
    assert all("<!-- settings:" in page.read_text() for page in (README, OPERATIONS))


def test_the_page_of_the_api_is_generated() -> None:
    assert API.read_text() == api_page(), "python -m tests.documents writes it"


def test_settings_named_are_those_there_are() -> None:
    there = {variable(field.name) for field in msgspec.structs.fields(Settings)}
    for page in PAGES:
        named = set(re.findall(r"\b(?:COLLECTOR_(?!FAULT_)[A-Z_]+|DATABASE_URL)\b", page.read_text()))
        assert named <= there
        if page in (README, OPERATIONS):
            assert named == there


def test_metrics_named_are_those_there_are() -> None:
    ours = [
        metric
        for metric in vars(collector.metrics).values()
        if isinstance(metric, prometheus_client.metrics.MetricWrapperBase)
    ]
    assert ours
    samples = {
        metric._name + ("_total" if isinstance(metric, prometheus_client.Counter) else ""): metric for metric in ours
    }
    rows = re.findall(r"^\| `(collector_\w+)` \| (\w+) \|\s*([\w, ]*?)\s*\|", OPERATIONS.read_text(), re.MULTILINE)
    described = {name: (kind, {label for label in labels.split(", ") if label}) for name, kind, labels in rows}
    assert described == {
        name: (metric._type, {label.strip() for label in metric._labelnames}) for name, metric in samples.items()
    }
    for page in PAGES:
        named = set(re.findall(r"\bcollector_(?!schema|owner|ingest|read\b)\w+", page.read_text()))
        assert named <= set(samples)


def test_reasons_described_are_those_given() -> None:
    section = DATA_MODEL.read_text().partition("### rejected")[2].partition("\n### ")[0]
    described = set(re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE))
    block = b'{}\n{\n{"token":"\xff"}\n'
    decoded = {reject.reason for reject in DECODER.block(block, 3).rejects}
    elsewhere = {"too_long", "refused", "time", "seq", "start"}
    source = "".join(path.read_text() for path in (ROOT / "collector").rglob("*.py"))
    assert all(f'"{reason}"' in source for reason in elsewhere)
    assert decoded == {"invalid", "malformed", "encoding"}
    assert described == decoded | elsewhere


def used(program: str, text: str) -> list[tuple[str, list[str]]]:
    """Commands of a program with their options, as a text has them."""
    found = re.findall(rf"(?:^|[`./ ]){program} ([a-z]+)((?: --?[a-z-]+(?: [^-`\s|]\S*)?)*)", text, re.MULTILINE)
    return [(command, re.findall(r"--[a-z-]+", options)) for command, options in found]


@pytest.mark.parametrize(("program", "group"), [("collector", cli), ("simulate", simulate)])
def test_commands_named_are_those_there_are(program: str, group: click.Group) -> None:
    table = re.findall(rf"^\| `{program} (\w+)` \|", README.read_text(), re.MULTILINE)
    assert sorted(table) == sorted(group.commands)
    for page in PAGES:
        code = "\n".join(re.findall(r"`([^`\n]+)`", prose(page)) + [block.text for block in blocks(page)])
        for name, options in used(program, code):
            assert name in group.commands, name
            known = {option for parameter in group.commands[name].params for option in parameter.opts}
            assert set(options) <= known, (name, options)


def test_commands_with_json_are_listed() -> None:
    def with_json(group: click.Group, before: str = "") -> Iterator[str]:
        for name, command in group.commands.items():
            if isinstance(command, click.Group):
                yield from with_json(command, f"{before}{name} ")
            elif any("--json" in parameter.opts for parameter in command.params):
                yield before + name

    (said,) = re.findall(r"^- \*\*`--json`\*\* on [^:]*: (.*?)\.$", OPERATIONS.read_text(), re.MULTILINE | re.DOTALL)
    assert sorted(re.findall(r"`([^`]+)`", said)) == sorted(with_json(cli))


def test_faults_described_are_as_frequent_as_that() -> None:
    def hundredths(odds: float) -> str:
        return f"{odds * 100:g} of 100 single requests"

    text = SIMULATOR.read_text()
    rows = dict(re.findall(r"^\| ([a-z ]+) \| (.+) \|$", text.partition("## Faults")[2], re.MULTILINE))
    assert set(rows) == {"what", chaos.CUT, chaos.REPEAT, chaos.UNKEYED, chaos.BROKEN, chaos.STALL}
    for what in (chaos.CUT, chaos.REPEAT, chaos.UNKEYED, chaos.BROKEN):
        assert hundredths(chaos.OF_SINGLES[what]) in rows[what]
    assert f"within {chaos.CUT_S * 1000:g} ms" in rows[chaos.CUT]
    assert f"within {chaos.STREAM_S:g} s" in rows[chaos.CUT]
    assert chaos.OF_STREAMS == {chaos.CUT: 0.5, chaos.REPEAT: 0.3, chaos.UNKEYED: 0.5}
    assert set(chaos.OF_UPLOADS.values()) == {0.2}
    assert chaos.OF_LINES == {chaos.BROKEN: 0.01}
    assert f"the last {chaos.AGAIN_LINES} lines" in rows[chaos.UNKEYED]
    assert f"for up to {chaos.STALL_S[1]:g} s" in rows[chaos.STALL]


def test_modules_named_are_there() -> None:
    """Of the table of what is where: after `collector/…` others of the same folder follow."""
    rows = re.findall(r"^\| (`collector/.+?) \|", README.read_text(), re.MULTILINE)
    named = [name.removeprefix("collector/") for row in rows for name in re.findall(r"`([^`]+)`", row)]
    assert len(named) > 15
    for name in named:
        path = ROOT / "collector" / name
        assert path.is_dir() if name.endswith("/") else path.with_suffix(".py").exists(), name


def test_make_targets_named_are_there() -> None:
    targets = set(re.findall(r"^([a-z-]+):.*##", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"(?:`|^)make ([a-z-]+)", README.read_text(), re.MULTILINE))
    assert {"demo", "test", "bench"} <= named <= targets


def test_exit_statuses_described_are_those_of_the_programs() -> None:
    import collector.commands.options as ours
    import simulation.cli as theirs

    section = OPERATIONS.read_text().partition("## Exit status")[2]
    described: dict[str, set[int]] = {}
    program = ""
    for cell, status in re.findall(r"^\| (?:`([a-z ]+)`)? ?\| (\d*) \|", section, re.MULTILINE):
        program = cell or program
        described.setdefault(program, set()).update({int(status)} if status else set())
    assert described["collector"] == {0, ours.EXIT_FAILED, ours.EXIT_USAGE, 130}
    statuses = (theirs.OK, theirs.DIFFERENT, theirs.USAGE, theirs.UNREACHABLE, theirs.BREACHED, theirs.INTERRUPTED)
    assert described["simulate"] == set(statuses)


def test_columns_described_are_those_there_are(database_url: str) -> None:
    text = DATA_MODEL.read_text()
    with psycopg.connect(database_url) as connection:
        for table in TABLES:
            section = text.partition(f"### {table}\n")[2].partition("\n## ")[0].partition("\n### ")[0]
            rows = connection.execute(
                "SELECT column_name FROM information_schema.columns WHERE table_name = %s AND table_schema = 'public'",
                (table,),
            ).fetchall()
            assert rows, table
            words = set(re.findall(r"\w+", section))
            assert {column for (column,) in rows} <= words, table


def test_the_picture_has_tables_and_columns_that_there_are(database_url: str) -> None:
    picture = (ROOT / "docs" / "data-model.svg").read_text()
    shown = re.findall(r'<g class="(?:table|view)">.*?class="name"[^>]*>(\w+)<(.*?)</g>', picture, re.DOTALL)
    assert {name for name, _ in shown} >= {"payload", "session_message", "hit", "progress", "rejected", "stats"}
    with psycopg.connect(database_url) as connection:
        for name, rest in shown:
            rows = connection.execute(
                "SELECT column_name FROM information_schema.columns WHERE table_name = %s", (name,)
            ).fetchall()
            columns = re.findall(r'class="column"[^>]*>([^<:]*)', rest)
            named = {word for text in columns for word in re.findall(r"\w+", text)}
            assert named <= {column for (column,) in rows}, name


def test_links_resolve() -> None:
    checked = 0
    for page in PAGES:
        for link in links(page):
            if link.startswith("https://"):
                continue
            path, _, fragment = link.partition("#")
            target = (page.parent / path).resolve() if path else page
            assert target.exists(), link
            assert target.is_relative_to(ROOT), link
            if fragment:
                assert fragment in anchors(target), link
            checked += 1
    assert checked >= 6


def test_the_changelog_has_this_version() -> None:
    versions = re.findall(r"^## \[(.+?)\]", CHANGELOG.read_text(), re.MULTILINE)
    assert versions[0] == "Unreleased"
    assert collector.__version__ in versions


def test_endpoints_named_are_there(server: ServerProcess) -> None:
    client: Client = server.client
    described = client.get("/openapi.json").json()["paths"]
    named: set[str] = set()
    for page in PAGES:
        named |= set(re.findall(r"`(?:GET |POST )?(/[a-z/{}]+(?:\.json)?)`", prose(page)))
    named = {path for path in named if not path.startswith(("/var/", "/etc/", "/tmp"))}
    assert {"/docs", "/openapi.json", "/metrics"} <= named
    for path in named - set(described):
        assert client.get(path).status in (200, 303), path
