"""The primary dies under load, and its synchronous standby is promoted: the collector goes on there by itself, and all
that was acknowledged is there.
"""

import asyncio
from collections.abc import Iterator

import psycopg
import pytest

from collector.embedded import PrivateServer
from tests.conftest import Serve
from tests.faults.books import await_true, balanced
from tests.faults.rounds import random_of
from tests.harness.engines import Engine
from tests.harness.ledger import Ledger
from tests.harness.load import Load
from tests.harness.replica import NAME, Replica, both, following

PATIENCE_S = 60.0


@pytest.fixture
def pair(best_engine: Engine) -> Iterator[tuple[PrivateServer, Replica]]:
    """A primary whose commits wait for its standby."""
    with best_engine.private_server(max_connections="250") as primary, following(best_engine, primary) as standby:
        with psycopg.connect(primary.url, autocommit=True) as connection:
            connection.execute(f"ALTER SYSTEM SET synchronous_standby_names = '{NAME}'".encode())
            connection.execute("SELECT pg_reload_conf()")
        await_true(lambda: _synchronous(primary), PATIENCE_S)
        yield primary, standby


def _synchronous(primary: PrivateServer) -> bool:
    with psycopg.connect(primary.url) as connection:
        return connection.execute("SELECT sync_state FROM pg_stat_replication").fetchone() == ("sync",)


def test_all_that_was_acknowledged_is_on_the_standby(serve: Serve, pair: tuple[PrivateServer, Replica]) -> None:
    primary, standby = pair
    server = serve(both(primary, standby))
    ledger = Ledger("failover")
    load = Load([server.url], ledger, random_of("failover"))

    async def run() -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(load.run())
            await load.acknowledged(3_000, PATIENCE_S)
            await asyncio.to_thread(primary.stop, "immediate")
            await load.met_failure(PATIENCE_S)
            await asyncio.to_thread(standby.promote)
            await load.acknowledged(3_000, PATIENCE_S)
            load.finish()

    asyncio.run(run())
    verdict = ledger.check(standby.url)
    assert verdict.acknowledged > 6_000
    balanced(server.client)
