"""How many connections a worker takes: as many as is set, or as the system lets it; and it says how many there are."""

import resource
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from collector.errors import CollectorError
from collector.serve import OTHER_FILES, _with_connections_allowed
from collector.settings import Settings
from tests.conftest import Serve
from tests.faults.books import await_true
from tests.harness.server import REPOSITORY, environment, free_port

MOST = 3
ASK = b"GET /metrics HTTP/1.1\r\nHost: collector\r\n\r\n"
TIMEOUT_S = 30.0

linux = pytest.mark.skipif(sys.platform != "linux", reason="connections are counted on Linux only")


def connect(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT_S)


def answer(connection: socket.socket) -> bytes:
    """Of /metrics, which is chunked or not; all that has come at its end."""
    found = b""
    while b"\r\n\r\n" not in found:
        found += connection.recv(65536)
    length = int(found.lower().partition(b"content-length: ")[2].split()[0])
    while len(found.partition(b"\r\n\r\n")[2]) < length:
        found += connection.recv(65536)
    return found


def answers(port: int) -> bool:
    try:
        with connect(port) as connection:
            connection.sendall(ASK)
            return b"collector_connections_max 200.0" in answer(connection)
    except OSError:
        return False


@linux
def test_those_beyond_wait_until_one_ends(serve: Serve, best_database_url: str) -> None:
    port = serve(best_database_url, COLLECTOR_CONNECTIONS=str(MOST)).port
    held = [connect(port) for _ in range(MOST)]
    for connection in held:  # idle ones count
        connection.sendall(ASK)
        answer(connection)
    late = connect(port)
    late.sendall(ASK)

    def counted() -> bool:
        """The server accepts one more, which waits."""
        held[0].sendall(ASK)
        lines = answer(held[0]).splitlines()
        assert b"collector_connections_max 3.0" in lines
        return b"collector_connections 4.0" in lines

    await_true(counted)
    held.pop().close()
    assert b"collector_connections_max" in answer(late)
    for connection in (*held, late):
        connection.close()


@pytest.mark.parametrize(
    ("files", "wanted", "allowed"),
    [
        (OTHER_FILES + 50, 4096, 50),
        (OTHER_FILES + 50, 50, 50),
        (OTHER_FILES + 50, 10, 10),
        (20_000, 4096, 4096),
        (resource.RLIM_INFINITY, 10**6, 10**6),
    ],
)
def test_no_more_than_the_system_lets_a_process_have(
    monkeypatch: pytest.MonkeyPatch, files: int, wanted: int, allowed: int
) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (files, files))
    monkeypatch.setattr(resource, "setrlimit", lambda *_: None)
    assert _with_connections_allowed(Settings(connections=wanted)).connections == allowed


def test_a_system_that_lets_it_have_none_is_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (OTHER_FILES, OTHER_FILES))
    monkeypatch.setattr(resource, "setrlimit", lambda *_: None)
    with pytest.raises(CollectorError, match=r"COLLECTOR_CONNECTIONS.*ulimit"):
        _with_connections_allowed(Settings())


@linux
def test_a_lower_limit_is_logged_and_the_collector_starts(best_database_url: str, tmp_path: Path) -> None:
    log, port = tmp_path / "log", free_port()
    with log.open("ab") as output:
        server = subprocess.Popen(
            ["/bin/sh", "-c", f"ulimit -n 300; exec {sys.executable} -m collector serve --port {port}"],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd=REPOSITORY,
            env=environment({"DATABASE_URL": best_database_url}),
        )
    try:
        await_true(lambda: answers(port))
        assert '"connections": 200' in log.read_text()
        server.terminate()
        assert server.wait(TIMEOUT_S) == 0
    finally:
        server.kill()
        server.wait(TIMEOUT_S)
