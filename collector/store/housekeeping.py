"""Housekeeping: what is past its age is deleted, a slice at a time, so that no transaction is long.

Ages are those of the table `retention`; without a row there, nothing is deleted. Of TimescaleDB's hypertables its own
policies take care.
"""

import time

from psycopg import AsyncConnection

from collector.database.retention import KEPT, Kept
from collector.store.connection import WRITER_SESSION, conninfo
from collector.store.queries import QUERIES
from collector.store.transaction import Connection
from collector.store.translate import translating

SLICE_ROWS = 20_000
"""Of one transaction: a fraction of a second, for which nobody's dead rows can be cleaned up."""
ROUND_S = 120.0
"""Of one round; what is left then is the next one's."""


async def keep_house(url: str, slice_rows: int = SLICE_ROWS) -> dict[str, int] | None:
    """Delete what is past its age; returns how many rows of what went, None where another process is at it.

    Raises StoreError.
    """
    with translating():
        connection = await AsyncConnection.connect(conninfo(url), autocommit=True)
        async with connection:
            await connection.execute(WRITER_SESSION)
            cursor = await connection.execute(QUERIES["housekeeping_turn"])
            turn = await cursor.fetchone()
            assert turn is not None
            mine, timescaledb = turn
            if not mine:
                return None
            cursor = await connection.execute(QUERIES["kept"])
            aging = {name for name, keep, *_ in await cursor.fetchall() if keep is not None}
            until = time.monotonic() + ROUND_S
            gone = {}
            for kept in KEPT:
                by_policy = timescaledb and kept.columnstore is not None
                if kept.name in aging and not by_policy:
                    gone[kept.name] = await _forget(connection, kept, slice_rows, until)
            return gone


async def _forget(connection: Connection, kept: Kept, slice_rows: int, until: float) -> int:
    statement = QUERIES[kept.forget or "forget_old"]
    gone = 0
    while time.monotonic() < until:
        cursor = await connection.execute(statement, {"name": kept.name, "rows": slice_rows})
        row = await cursor.fetchone()
        assert row is not None
        gone += row[0]
        if row[0] < slice_rows:
            break
    return gone
