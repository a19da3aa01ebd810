"""Pools of connections for what is not the writer's, and queries on them."""

from typing import Any

import psycopg
from psycopg import AsyncConnection
from psycopg.rows import TupleRow
from psycopg_pool import AsyncConnectionPool

from collector.store.connection import Task, conninfo, limit_rights
from collector.store.queries import QUERIES
from collector.store.translate import translating

POOL_MAX = 4
"""Connections of a pool: on a machine of 2 cores more of them only wait for each other."""
POOL_WAIT_S = 5.0

Pool = AsyncConnectionPool[AsyncConnection[TupleRow]]


def make_pool(url: str, task: Task, session: str, max_size: int = POOL_MAX) -> Pool:
    """A pool that is not open; `session` is run on each new connection, which has the rights of its task."""

    async def configure(connection: AsyncConnection[TupleRow]) -> None:
        await connection.execute(session.encode())
        await limit_rights(connection, task)

    return AsyncConnectionPool(
        conninfo(url),
        min_size=0,
        max_size=max_size,
        open=False,
        timeout=POOL_WAIT_S,
        # The pool tries again after 1, 2, 4, … s; when it gives up, the next request makes it begin anew. So the gaps
        # stay small however long the database is away.
        reconnect_timeout=POOL_WAIT_S,
        kwargs={"autocommit": True},
        configure=configure,
    )


async def fetch(pool: Pool, name: str, parameters: dict[str, Any], *, prepare: bool | None = None) -> list[Any]:
    """The rows of a query that may run twice: connections may have been cut since they were used, all of the pool's.
    Without `prepare` (False) it is planned anew each time.

    The pool could check them itself, but after those that were cut it pauses for 1, 2, 4 s.
    """
    with translating():
        for left in reversed(range(POOL_MAX + 1)):
            connection: AsyncConnection[TupleRow] | None = None
            try:
                async with pool.connection() as connection:
                    cursor = await connection.execute(QUERIES[name], parameters, prepare=prepare)
                    return await cursor.fetchall()
            except psycopg.OperationalError:
                if connection is None or not connection.broken or not left:
                    raise
    raise AssertionError("unreachable")
