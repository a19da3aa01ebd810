"""Who can reach a collector: keys that `serve` insists on, keys that are out everywhere soon after they were revoked,
and HTTPS.
"""

import functools
import http.client
import ssl
from pathlib import Path

import pytest
import trustme

from collector.access.exposure import check_keys, is_loopback, with_keys_decided
from collector.access.guard import ASK_S, REFRESH_S
from collector.errors import CollectorError
from collector.settings import Settings
from tests.conftest import Serve
from tests.faults.books import await_true
from tests.harness.client import NDJSON
from tests.harness.server import ServerProcess, collector
from tests.harness.wire import Wire, line_of

REVOKED_S = 5.0
"""What is promised."""


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        *(("127.0.0.1", True), ("::1", True), ("localhost", True), ("127.9.9.9", True)),
        *(("0.0.0.0", False), ("::", False), ("192.0.2.1", False), ("no such host", False)),
    ],
)
def test_keys_are_asked_for_where_others_can_come(host: str, loopback: bool) -> None:
    assert is_loopback(host) == loopback
    assert with_keys_decided(Settings(host=host)).api_keys == ("off" if loopback else "on")
    for said in ("on", "off"):
        assert with_keys_decided(Settings(host=host, api_keys=said)).api_keys == said


def test_where_nobody_has_a_key_nobody_is_let_in_by_mistake() -> None:
    everywhere = with_keys_decided(Settings(host="0.0.0.0"))
    with pytest.raises(CollectorError, match=r"collector keys create .* --open"):
        check_keys(everywhere, 0)
    check_keys(everywhere, 1)
    check_keys(with_keys_decided(Settings(host="0.0.0.0", api_keys="off")), 0)
    check_keys(with_keys_decided(Settings(host="127.0.0.1", api_keys="on")), 0)  # one may be made at any time


def test_serve_does_not_start_in_the_open_without_a_key(best_database_url: str) -> None:
    done = collector("serve", "--host", "0.0.0.0", "--port", "0", database_url=best_database_url)
    assert done.returncode == 1
    assert "--open" in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr
    both = collector("serve", "--open", "--keys", database_url=best_database_url)
    assert both.returncode == 2


def test_a_key_is_shown_once_and_when_revoked_it_is_out_everywhere(serve: Serve, database_url: str) -> None:
    """At two collectors, for new requests and for streams that are open."""
    assert REFRESH_S + ASK_S < REVOKED_S
    made = collector("keys", "create", "--name", "fleet", "--scope", "ingest", database_url=database_url)
    key = made.stdout.strip()
    assert made.returncode == 0
    again = collector("keys", "create", "--name", "fleet", "--scope", "read", database_url=database_url)
    assert again.returncode == 1
    listed = collector("keys", "list", database_url=database_url).stdout
    assert "fleet" in listed
    assert key not in listed
    servers = [serve(database_url, COLLECTOR_API_KEYS="on") for _ in range(2)]
    bearer = {"Authorization": f"Bearer {key}"}
    streams = [Wire(server.client.address, {**bearer, "Accept": NDJSON}) for server in servers]
    for number, (server, stream) in enumerate(zip(servers, streams, strict=True)):
        assert server.client.post(line_of("revoked", f"single {number}")).status == 401
        assert server.client.post(line_of("revoked", f"single {number}"), bearer).status == 204
        assert server.client.get("/stats", bearer).status == 403
        stream.send(line_of("revoked", f"stream {number}"))
        assert stream.line() == {"committed": 1, "rejected": 0}
    revoked = collector("keys", "revoke", "fleet", database_url=database_url)
    assert revoked.returncode == 0
    for server, stream in zip(servers, streams, strict=True):
        last = stream.rest()[-1]
        assert (last["status"], last["committed"]) == (401, 1)
        await_true(functools.partial(is_out, server, bearer))
    assert collector("keys", "revoke", "fleet", database_url=database_url).returncode == 1


def is_out(server: ServerProcess, bearer: dict[str, str]) -> bool:
    return server.client.post(b"{}", bearer).status == 401


def test_https(serve: Serve, best_database_url: str, tmp_path: Path) -> None:
    """TLS 1.3 with the certificate that was named, and nothing without it."""
    authority = trustme.CA()
    certificate = authority.issue_cert("localhost", "127.0.0.1")
    chain, keyfile = tmp_path / "chain.pem", tmp_path / "key.pem"
    for pem in certificate.cert_chain_pems:
        pem.write_to_path(chain, append=True)
    certificate.private_key_pem.write_to_path(keyfile)
    settings = {"COLLECTOR_SSL_CERTIFICATE": str(chain), "COLLECTOR_SSL_KEYFILE": str(keyfile)}
    server: ServerProcess = serve(best_database_url, start=False, **settings)
    server.launch()
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    await_true(lambda: status(server.port, trusting) == 204, 30)
    with pytest.raises(ssl.SSLCertVerificationError):
        status(server.port, ssl.create_default_context(), strict=True)
    old = ssl.create_default_context()
    authority.configure_trust(old)
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    with pytest.raises(ssl.SSLError):
        status(server.port, old, strict=True)
    with pytest.raises((OSError, http.client.HTTPException)):
        server.client.get("/health/live")
    assert server.terminate() == 0
    wrong = collector(
        "serve",
        "--port",
        "0",
        database_url=best_database_url,
        **{**settings, "COLLECTOR_SSL_KEYFILE": str(tmp_path / "nothing")},
    )
    assert wrong.returncode == 2
    assert wrong.stderr.startswith("collector: COLLECTOR_SSL_CERTIFICATE: ")


def status(port: int, context: ssl.SSLContext, *, strict: bool = False) -> int | None:
    """Of a payload over HTTPS; None where nobody listens yet, or, if `strict`, what went wrong."""
    connection = http.client.HTTPSConnection("127.0.0.1", port, timeout=30, context=context)
    try:
        connection.request("POST", "/stats", line_of("https", "a"), {"Content-Type": "application/json"})
        return connection.getresponse().status
    except OSError:
        if strict:
            raise
        return None
    finally:
        connection.close()
