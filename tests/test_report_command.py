"""`collector report cpu`: the tree on standard output, as JSON, and as a page of its own."""

import re
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from tests.contract.driver import running
from tests.harness.engines import Engine
from tests.harness.server import collector

HOT = "6.04"


@pytest.fixture(scope="module")
def url(engine: Engine) -> Iterator[str]:
    """Every fourth of 80 clients runs hot: those of one version."""
    now_ms = int(time.time() * 1000)
    lines = [
        b'{"session":"s%d","seq":1,"time":%d,"version":"6.0%d","cpu":%d}'
        % (n, now_ms, n % 4 + 1, 90 if n % 4 == 3 else 5)
        for n in range(80)
    ]
    with engine.database() as url, running(url) as app:
        app.clock.now = now_ms / 1000
        assert app.stream(lines, path="/sessions").summary()[0] == 80
        yield url


def test_a_tree_of_sentences(url: str) -> None:
    done = collector("report", "cpu", database_url=url)
    assert (done.returncode, done.stderr) == (0, "")
    first, second = done.stdout.splitlines()[:2]
    assert first == "Last 12 hours: 25% of 80 sessions had CPU over 30%."
    assert f"ran version {HOT}" in second


def test_the_same_as_json_and_filtered(url: str) -> None:
    done = collector("report", "cpu", "--json", database_url=url)
    document = msgspec.json.decode(done.stdout)
    assert (document["sessions"], document["hot"]) == (80, 20)
    others = collector("report", "cpu", "--json", "--version", "6.01", "--threshold", "4", database_url=url)
    document = msgspec.json.decode(others.stdout)
    assert (document["sessions"], document["hot"]) == (20, 20)


def test_a_page_in_a_file_loads_nothing(url: str, tmp_path: Path) -> None:
    file = tmp_path / "report.html"
    done = collector("report", "cpu", "--html", str(file), database_url=url)
    assert done.returncode == 0, done.stderr
    page = file.read_text()
    assert "25% of 80 sessions had CPU over 30%" in re.sub(r"<[^>]+>", "", page)
    assert HOT in page
    assert not re.search(r'(?:src|href)="(?!#|data:)', page)
    assert "<script src" not in page


@pytest.mark.parametrize("flags", [("--hours", "0"), ("--statistic", "median"), ("--where", "os"), ("--from", "today")])
def test_a_bad_value_is_told_with_exit_status_2(url: str, flags: tuple[str, ...]) -> None:
    done = collector("report", "cpu", *flags, database_url=url)
    assert done.returncode == 2, done.stdout
    assert done.stderr.strip()


def test_a_file_that_cannot_be_written(url: str, tmp_path: Path) -> None:
    done = collector("report", "cpu", "--html", str(tmp_path / "nowhere" / "report.html"), database_url=url)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
