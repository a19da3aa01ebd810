"""Single payloads by wrk, against the bare handler (`bare.py`) in the same server; each pair in turn, in one run."""

import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from tests.harness.client import Client
from tests.harness.server import REPOSITORY, ServerProcess, environment, free_port

CONNECTIONS = (64, 256)

# A session of ten payloads each, so that every tenth payload starts one.
SCRIPT = """
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
local sent = 0
request = function()
  sent = sent + 1
  local token = "%s-" .. math.floor(sent / 10)
  return wrk.format(nil, "/stats", nil, '{"token":"' .. token .. '","customer":"acme","content":"film-7",' ..
    '"timespan":30000,"p2p":1234567,"cdn":7654321,"sessionDuration":' .. (sent %% 10) * 30000 .. '}')
end
"""


class Pair(msgspec.Struct):
    """Requests a second."""

    connections: int
    collector: float
    bare: float


def available() -> bool:
    """Whether wrk is there."""
    return shutil.which("wrk") is not None


@contextmanager
def bare_server(folder: Path, app: str = "tests.benchmarks.bare:app") -> Iterator[str]:
    """A bare handler, served as the collector is."""
    port = free_port()
    command = [
        sys.executable,
        "-m",
        "granian",
        app,
        "--interface",
        "asginl",
        "--port",
        str(port),
    ]
    with (folder / "bare.log").open("wb") as log:
        process = subprocess.Popen(
            [*command, "--no-ws"], stdout=log, stderr=log, stdin=subprocess.DEVNULL, cwd=REPOSITORY, env=environment({})
        )
    try:
        _await_answer(f"http://127.0.0.1:{port}", process)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(30)


def measure(server: ServerProcess, bare_url: str, connections: int, duration_s: int, folder: Path, number: int) -> Pair:
    """A pair, one after the other."""
    ours = single_payloads(server.url, connections, duration_s, folder, f"{number}-{connections}")
    return Pair(connections, ours, single_payloads(bare_url, connections, duration_s, folder, "bare"))


def single_payloads(url: str, connections: int, duration_s: int, folder: Path, tokens: str) -> float:
    """Requests a second, of sessions whose tokens begin like this."""
    return wrk(url, SCRIPT % tokens, connections, duration_s, folder)


def with_header(script: str, name: str, value: str) -> str:
    """The script, with a header in every request."""
    return f'{script}\nwrk.headers["{name}"] = "{value}"\n'


def wrk(url: str, script: str, connections: int, duration_s: int, folder: Path) -> float:
    """Requests a second."""
    path = folder / "wrk.lua"
    path.write_text(script)
    command = ["wrk", "-t", "1", "-c", str(connections), "-d", f"{duration_s}s", "-s", str(path), url]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert "Non-2xx" not in text, text
    found = re.search(r"Requests/sec:\s+([\d.]+)", text)
    assert found is not None, text
    return float(found[1])


def _await_answer(url: str, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + 30
    while process.poll() is None and time.monotonic() < deadline:
        try:
            Client(url, timeout_s=1).get("/")  # whatever it says
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise AssertionError("the bare handler did not start")
