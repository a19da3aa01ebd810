"""The image's health check, by HTTP or HTTPS as the collector is told to serve; and a certificate that is renewed."""

import http.client
import signal
import ssl
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import trustme

from tests.compose.document import load, names_in_example, stages
from tests.conftest import Serve
from tests.faults.books import await_true
from tests.harness.server import ServerProcess, environment
from tests.harness.wire import Wire, line_of

RENEWED_S = 60.0


def check() -> list[str]:
    """What Docker runs in the container, which compose.yaml repeats: Compose waits for it."""
    (written,) = [rest for instruction, rest in stages()["collector"] if instruction == "HEALTHCHECK"]
    command = msgspec.json.decode(written.partition("CMD ")[2], type=list[str])
    health = load(dict.fromkeys(names_in_example(), "secret")).services["collector"].healthcheck
    assert health is not None
    assert health.test == ["CMD", *command]
    assert command[0] == "python"
    return [sys.executable, *command[1:]]


def healthy(server: ServerProcess, **variables: str) -> bool:
    given = environment({"COLLECTOR_PORT": str(server.port), **variables})
    return subprocess.run(check(), env=given, capture_output=True, timeout=60, check=False).returncode == 0


def test_it_says_whether_the_collector_is_ready(server: ServerProcess) -> None:
    assert healthy(server)
    assert not healthy(server, COLLECTOR_SSL_CERTIFICATE="chain.pem")
    server.kill()
    assert not healthy(server)


def test_https_and_a_renewed_certificate(serve: Serve, best_database_url: str, tmp_path: Path) -> None:
    authority = trustme.CA()
    chain, keyfile = tmp_path / "chain.pem", tmp_path / "key.pem"
    issue(authority, chain, keyfile, "first.example")
    settings = {"COLLECTOR_SSL_CERTIFICATE": str(chain), "COLLECTOR_SSL_KEYFILE": str(keyfile)}
    server: ServerProcess = serve(best_database_url, start=False, **settings)
    server.launch()
    await_true(lambda: healthy(server, **settings), RENEWED_S)
    assert not healthy(server)  # plain HTTP is not what it speaks
    assert shown(server, authority) == "first.example"
    workers = server.worker_pids()
    issue(authority, chain, keyfile, "second.example")
    server.send(signal.SIGHUP)
    await_true(lambda: not set(workers) & set(server.worker_pids()), RENEWED_S)
    assert shown(server, authority) == "second.example"
    assert healthy(server, **settings)
    assert server.terminate() == 0


def test_streams_end_with_a_receipt_at_sighup(server: ServerProcess) -> None:
    """As at SIGTERM, and the collector goes on."""
    stream = Wire(server.client.address, {"Idempotency-Key": "renewed"})
    stream.send(line_of("renewed", "a"))
    await_true(lambda: server.client.stream("renewed").status == 200)
    workers = server.worker_pids()
    server.send(signal.SIGHUP)
    assert stream.rest()[-1]["committed"] == 1
    await_true(lambda: not set(workers) & set(server.worker_pids()), RENEWED_S)
    assert server.client.post(line_of("renewed", "b")).status == 204


def issue(authority: trustme.CA, chain: Path, keyfile: Path, name: str) -> None:
    """A certificate of the loopback, and of a name to tell it by."""
    certificate = authority.issue_cert("127.0.0.1", name)
    chain.write_bytes(b"".join(pem.bytes() for pem in certificate.cert_chain_pems))
    certificate.private_key_pem.write_to_path(keyfile)


def shown(server: ServerProcess, authority: trustme.CA) -> str:
    """The name in the certificate that a new connection is shown."""
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    connection = http.client.HTTPSConnection("127.0.0.1", server.port, timeout=30, context=trusting)
    connection.connect()
    try:
        assert isinstance(connection.sock, ssl.SSLSocket)
        found: Any = connection.sock.getpeercert()
        return str(dict(found["subjectAltName"])["DNS"])
    finally:
        connection.close()
