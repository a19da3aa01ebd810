"""The simulator where requests need an API key: one sends, another one reads; where one is missing, a line says so."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.conftest import Serve
from tests.harness.engines import Engine
from tests.harness.server import collector, free_port
from tests.simulation.test_cli import simulate

COUNT = ("--count", "60", "--rate", "500")


class Keyed(NamedTuple):
    """A collector that asks for keys, and the headers that send and read."""

    url: str
    sending: str
    reading: str


@pytest.fixture(scope="module")
def database(best_engine: Engine) -> Iterator[tuple[str, str, str]]:
    """With a key of each scope."""
    with best_engine.database() as url:
        keys = []
        for scope in ("ingest", "read"):
            made = collector("keys", "create", "--name", scope, "--scope", scope, "--json", database_url=url)
            keys.append(f"Authorization: Bearer {json.loads(made.stdout)['key']}")
        yield url, keys[0], keys[1]


@pytest.fixture
def keyed(database: tuple[str, str, str], serve: Serve) -> Keyed:
    url, sending, reading = database
    return Keyed(serve(url, COLLECTOR_API_KEYS="on").url, sending, reading)


def run(*arguments: str | Path) -> tuple[int, str]:
    return asyncio.run(simulate(*arguments))


def test_one_key_sends_and_another_one_reads(keyed: Keyed, tmp_path: Path) -> None:
    truth = tmp_path / "truth.json"
    both = ("--header", keyed.sending, "--read-header", keyed.reading)
    status, output = run("all", "--url", keyed.url, *COUNT, "--verify", "--ledger", truth, *both)
    assert status == 0, output
    for option in ("--header", "--read-header"):
        status, output = run("verify", truth, "--url", keyed.url, option, keyed.reading)
        assert status == 0, output
    status, output = run("verify", truth, "--url", keyed.url, "--header", keyed.sending)
    assert status == 2
    assert_is_one_line(output, "reading needs an API key with the scope read, --read-header")


def test_a_key_that_only_sends_will_do_to_send(keyed: Keyed) -> None:
    """What its metrics are is not told then."""
    status, output = run("stats", "--url", keyed.url, "--duration", "6s", "--rate", "20", "--header", keyed.sending)
    assert status == 0, output
    (line,) = [line for line in output.splitlines() if "backlog" in line]
    assert "backlog not told  lag not told" in line
    assert "403" not in output


@pytest.mark.parametrize("kind", ["stats", "sessions"])
def test_what_reads_nothing_is_told_before_anything_is_sent(keyed: Keyed, kind: str) -> None:
    status, output = run(kind, "--url", keyed.url, *COUNT, "--quiet", "--verify", "--header", keyed.sending)
    assert status == 2
    assert_is_one_line(output, "reading needs an API key with the scope read, --read-header")


@pytest.mark.parametrize("shown", ["none", "read", "wrong"])
def test_what_sends_nothing_is_told_before_anything_is_sent(keyed: Keyed, shown: str) -> None:
    headers = {"none": [], "read": ["-H", keyed.reading], "wrong": ["-H", "Authorization: Bearer ck_wrong"]}[shown]
    status, output = run("stats", "--url", keyed.url, *COUNT, "--quiet", *headers)
    assert status == 2
    assert_is_one_line(output, "sending needs an API key with the scope ingest, --header")


def assert_is_one_line(output: str, beginning: str) -> None:
    (line,) = output.splitlines()
    assert line.startswith(f"simulate: {beginning}")
    assert "{" not in line


def test_nobody_there_is_another_status() -> None:
    status, output = run("stats", "--url", f"http://127.0.0.1:{free_port()}", *COUNT)
    assert status == 3, output
