"""A database that could lose what was acknowledged: the collector is not ready and says why, until that is put
right.
"""

import psycopg
import pytest

from tests.conftest import Serve
from tests.faults.rounds import tally
from tests.harness.engines import Engine
from tests.harness.ledger import Ledger
from tests.harness.server import ServerProcess
from tests.harness.wire import line_of


def test_not_ready_where_fsync_is_off(serve: Serve, best_engine: Engine) -> None:
    with best_engine.private_server(fsync="off") as database:
        server = unready(serve(database.url, start=False), "fsync is off")
        run(database.url, "ALTER SYSTEM SET fsync = on", "SELECT pg_reload_conf()")
        ready_and_stores(server, database.url)


@pytest.mark.parametrize("scope", ["DATABASE", "SYSTEM", "ROLE"])
def test_not_ready_where_synchronous_commit_is_off(serve: Serve, best_engine: Engine, scope: str) -> None:
    """For all, for this database, or for whoever the collector logs in as."""
    with best_engine.private_server() as database:
        what = {"DATABASE": "DATABASE collector", "SYSTEM": "SYSTEM", "ROLE": "ROLE postgres"}[scope]
        run(database.url, f"ALTER {what} SET synchronous_commit = off", "SELECT pg_reload_conf()")
        server = unready(serve(database.url, start=False), "synchronous_commit is off")
        run(database.url, f"ALTER {what} SET synchronous_commit = on", "SELECT pg_reload_conf()", CUT_ALL)
        ready_and_stores(server, database.url)


CUT_ALL = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()"
    " AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
)


def run(url: str, *statements: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement.encode())


def unready(server: ServerProcess, why: str) -> ServerProcess:
    """It answers, and is not ready."""
    server.start(ready=False).await_answer("/health/ready", 503)
    answer = server.client.get("/health/ready")
    assert answer.status == 503
    assert why in answer.json()["detail"]
    assert answer.headers["retry-after"].isdigit()
    return server


def ready_and_stores(server: ServerProcess, url: str) -> None:
    server.await_answer("/health/ready")
    ledger = Ledger("unsafe")
    for number in range(10):
        ledger.sent.add(f"token {number}")
        assert server.client.post(line_of("unsafe", f"token {number}")).status == 204
        ledger.acknowledge([f"token {number}"])
    tally("unsafe settings", ledger.check(url, at_end=True))
