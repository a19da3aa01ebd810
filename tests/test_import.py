"""`collector import`: files of every packing, once only, resumed, and what it says."""

import gzip
import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest
import zstandard

from tests.harness.server import REPOSITORY, collector, environment

PACK: dict[str, Callable[[bytes], bytes]] = {"plain": bytes, "gzip": gzip.compress, "zstd": zstandard.compress}
LINES = 1_000
HOUR_MS = 3_600_000
DEADLINE_S = 60.0


def log_lines(session: str, lines: int = LINES) -> bytes:
    """A client's log of an hour ago, of which only the first message has a time."""
    began_ms = int(time.time() * 1000) - HOUR_MS
    messages: list[dict[str, Any]] = [
        {"session": session, "seq": seq, "elapsed": seq * 10, "cpu": seq % 100} for seq in range(lines)
    ]
    messages[0]["time"] = began_ms
    return b"".join(json.dumps(message).encode() + b"\n" for message in messages)


def imported(url: str, *arguments: object) -> tuple[int, list[dict[str, Any]]]:
    done = collector("import", "--json", *map(str, arguments), database_url=url)
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode, json.loads(done.stdout)


def count(url: str, what: str = "count(*)", table: str = "session_message") -> Any:
    with psycopg.connect(url) as connection:
        row = connection.execute(f"SELECT {what} FROM {table}".encode()).fetchone()
    assert row is not None
    return row[0]


def test_files_of_every_packing_are_stored_once(database_url: str, tmp_path: Path) -> None:
    files = []
    for name, pack in PACK.items():
        files.append(tmp_path / f"{name}.log")
        files[-1].write_bytes(pack(log_lines(name)))
    status, found = imported(database_url, *files)
    assert status == 0
    for each in found:
        assert (each["accepted"], each["new"], each["rejected"]) == (LINES, LINES, 0)
        assert (each["complete"], each["before"], each["problem"]) == (True, False, None)
    assert count(database_url) == len(PACK) * LINES
    assert count(database_url, "max(time) - min(time) < interval '12 s'")
    again = tmp_path / "moved.log"
    files[0].rename(again)
    status, found = imported(database_url, again, *files[1:])
    assert status == 0
    assert [(each["accepted"], each["new"], each["before"]) for each in found] == [(LINES, 0, True)] * len(PACK)
    assert count(database_url) == len(PACK) * LINES
    done = collector("import", str(again), database_url=database_url)
    assert (done.returncode, done.stdout) == (0, f"{again}: 1,000 lines accepted, all of them before: nothing new\n")


def test_a_log_that_has_grown_adds_what_is_new(best_database_url: str, tmp_path: Path) -> None:
    file = tmp_path / "client.log"
    whole = log_lines("s")
    lines = whole.splitlines(keepends=True)
    file.write_bytes(b"".join(lines[:600]))
    assert imported(best_database_url, file)[0] == 0
    file.write_bytes(whole)
    status, (found,) = imported(best_database_url, file)
    assert (status, found["accepted"], found["new"]) == (0, LINES, 400)
    done = collector("import", str(file), database_url=best_database_url)
    assert "nothing new" in done.stdout
    assert count(best_database_url, "count(DISTINCT seq)") == count(best_database_url) == LINES


def test_rejected_lines_are_reported(best_database_url: str, tmp_path: Path) -> None:
    file = tmp_path / "torn.log"
    file.write_bytes(log_lines("s", 3) + b'{"session":"s","seq":-1}\n' + log_lines("s", 4)[:-20])
    done = collector("import", str(file), database_url=best_database_url)
    assert done.returncode == 1
    assert done.stdout.splitlines() == [
        f"{file}: 4 lines accepted, 3 of them new; 4 rejected",
        "  line 4: Expected `int` >= 0 - at `$.seq`",
        *(f"  line {line}: seq {line - 5} comes after 2 - at `$.seq`" for line in (5, 6)),
        "  line 8: Input data was truncated",
    ]


def test_a_file_that_ends_early_says_so(best_database_url: str, tmp_path: Path) -> None:
    file = tmp_path / "cut.log.gz"
    packed = gzip.compress(log_lines("s", 20_000))
    file.write_bytes(packed[: len(packed) // 2])
    status, (found,) = imported(best_database_url, file)
    assert status == 1
    assert not found["complete"]
    assert found["problem"] == "the gzip data ended early"
    assert 0 < count(best_database_url) < 20_000
    file.write_bytes(packed)
    assert imported(best_database_url, file)[0] == 0
    assert count(best_database_url, "count(DISTINCT seq)") == count(best_database_url) == 20_000


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_an_import_that_was_stopped_goes_on(best_database_url: str, tmp_path: Path, number: signal.Signals) -> None:
    file = tmp_path / "stats.jsonl"
    lines = 300_000
    rest = '"customer":"acme","content":"film","timespan":1,"p2p":2,"cdn":3,"sessionDuration":400000'
    file.write_text("".join(f'{{"token":"t{number}",{rest}}}\n' for number in range(lines)))
    command = [sys.executable, "-m", "collector", "import", "--to", "stats", str(file)]
    given = environment({"DATABASE_URL": best_database_url})
    with subprocess.Popen(command, cwd=REPOSITORY, env=given, stdout=subprocess.PIPE) as process:
        deadline = time.monotonic() + DEADLINE_S
        while not count(best_database_url, table="payload"):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        process.send_signal(number)
        said, _ = process.communicate(timeout=DEADLINE_S)
    if number == signal.SIGINT:
        assert process.returncode == 130
        assert b"run the same command again to go on" in said
    stored = count(best_database_url, table="payload")
    assert 0 < stored < lines
    status, (found,) = imported(best_database_url, "--to", "stats", file)
    assert (status, found["accepted"], found["new"]) == (0, lines, lines - stored)
    assert count(best_database_url, "array[count(DISTINCT token), count(*)]", "payload") == [lines, lines]


def test_hits(best_database_url: str, tmp_path: Path) -> None:
    file = tmp_path / "hits.jsonl"
    file.write_text('{"timestamp": 1767225600000, "user": "ann", "kind": "click"}\n')
    for new in (1, 0):
        status, (found,) = imported(best_database_url, "--to", "analytics", file)
        assert (status, found["accepted"], found["new"]) == (0, 1, new)
    assert count(best_database_url, "sum(clicks)", "analytics_hour") == 1


def test_what_cannot_be_imported_is_one_line(best_database_url: str, tmp_path: Path) -> None:
    for arguments, status in (([str(tmp_path)], 1), (["nowhere.log"], 1), ([], 2), (["--to", "payloads", "x"], 2)):
        done = collector("import", *arguments, database_url=best_database_url)
        assert done.returncode == status
        assert "Traceback" not in done.stderr
        assert done.stderr
    empty = tmp_path / "empty.log"
    empty.touch()
    done = collector("import", str(empty), database_url=best_database_url)
    assert (done.returncode, done.stdout) == (0, f"{empty}: 0 lines accepted\n")
