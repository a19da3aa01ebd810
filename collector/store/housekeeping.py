"""Housekeeping: what is past its age is deleted, a slice at a time, so that no transaction is long.

Ages are those of the table `retention`; without a row there, nothing is deleted. Of TimescaleDB's hypertables its own
policies take care.
"""

import time
from datetime import timedelta

from psycopg import AsyncConnection, sql

from collector.retention import KEPT, Kept
from collector.store.connection import WRITER_SESSION, conninfo
from collector.store.queries import QUERIES
from collector.store.transaction import Connection
from collector.store.translate import translating

SLICE_ROWS = 20_000
"""Of one transaction: a fraction of a second, for which nobody's dead rows can be cleaned up."""
ROUND_S = 120.0
"""Of one round; what is left then is the next one's."""

# A row that was changed meanwhile is another version, which the condition is to be asked of again.
_FORGET = sql.SQL("""
DELETE FROM {table}
WHERE ctid = ANY (ARRAY (
        SELECT ctid FROM {table} WHERE {time} < now() - %(keep)s AND {only} LIMIT %(rows)s {lock}
      ))
  AND {time} < now() - %(keep)s AND {only}
""")


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
            ages: dict[str, timedelta | None] = dict(await (await connection.execute(QUERIES["kept"])).fetchall())
            until = time.monotonic() + ROUND_S
            gone = {}
            for kept in KEPT:
                by_policy = timescaledb and kept.columnstore is not None
                if ages.get(kept.name) is not None and not by_policy:
                    gone[kept.name] = await _forget(connection, kept, ages[kept.name], slice_rows, until)
            return gone


async def _forget(connection: Connection, kept: Kept, keep: timedelta | None, slice_rows: int, until: float) -> int:
    statement = QUERIES[kept.forget] if kept.forget else _statement(kept)
    gone = 0
    while time.monotonic() < until:
        cursor = await connection.execute(statement, {"keep": keep, "rows": slice_rows})
        gone += cursor.rowcount
        if cursor.rowcount < slice_rows:
            break
    return gone


def _statement(kept: Kept) -> sql.Composed:
    # `only` is the program's own text, not a client's.
    table, only = sql.Identifier(kept.plain or kept.table), sql.SQL(kept.only)
    # To lock a row takes the right to change it, which only who changes rows has.
    lock = sql.SQL("FOR UPDATE SKIP LOCKED" if kept.changing else "")
    return _FORGET.format(table=table, time=sql.Identifier(kept.time), only=only, lock=lock)
