"""Housekeeping: what is past its age is deleted, a slice at a time, so that no transaction is long; and what indexes
say of pages that were used again is made anew.

Ages are those of the table `retention`; without a row there, nothing is deleted. Of TimescaleDB's hypertables its own
policies take care. Each kind of rows has a time of its own, and fails by itself: none keeps the next from its turn.
"""

import contextlib
import time
from collections.abc import Iterator
from typing import Any

import structlog
from psycopg import AsyncConnection

from collector.database.retention import KEPT
from collector.errors import StoreError
from collector.store.connection import WRITER_SESSION, conninfo, limit_rights
from collector.store.queries import QUERIES
from collector.store.transaction import Connection
from collector.store.translate import translating

log = structlog.get_logger()

SLICE_ROWS = 20_000
"""Of one transaction: a fraction of a second, for which nobody's dead rows can be cleaned up."""
SLICE_RANGES = 64
"""Of an index, in one transaction: 64 MiB of its table are read."""
KIND_S = 120.0
"""Of one kind of rows in a round; what is left then is the next round's."""
STATEMENT_S = 120.0
"""A slice that takes longer will not be done in time by waiting for it: it is ended, and the others have their turn."""


async def keep_house(
    url: str, slice_rows: int = SLICE_ROWS, *, kind_s: float = KIND_S, statement_s: float = STATEMENT_S
) -> dict[str, int] | None:
    """Delete what is past its age; returns how many rows of what went, None where another process is at it. What fails
    is logged, and left out.

    Raises StoreError where the database is away.
    """
    with translating():
        connection = await AsyncConnection.connect(conninfo(url), autocommit=True)
        async with connection:
            await connection.execute(WRITER_SESSION)
            await limit_rights(connection, "ingest")
            await connection.execute(f"SET statement_timeout = '{statement_s}s'".encode())
            cursor = await connection.execute(QUERIES["housekeeping_turn"])
            turn = await cursor.fetchone()
            assert turn is not None
            mine, timescaledb = turn
            if not mine:
                return None
            cursor = await connection.execute(QUERIES["kept"])
            aging = {name for name, keep, *_ in await cursor.fetchall() if keep is not None}
            gone = {}
            for kept in KEPT:
                by_policy = timescaledb and kept.columnstore is not None
                if kept.name in aging and not by_policy:
                    with _by_itself(connection, kept.name):
                        query, parameters = kept.forget or "forget_old", {"name": kept.name, "rows": slice_rows}
                        gone[kept.name] = await _slices(connection, query, parameters, slice_rows, kind_s)
            with _by_itself(connection, "indexes"):
                await _slices(connection, "summarize_anew", {"ranges": SLICE_RANGES}, 1, kind_s)
            return gone


@contextlib.contextmanager
def _by_itself(connection: Connection, what: str) -> Iterator[None]:
    """Go on where this fails, unless it is for want of the connection."""
    try:
        with translating():
            yield
    except StoreError as exc:
        if connection.closed:
            raise
        log.warning("housekeeping failed", what=what, why=str(exc))


async def _slices(connection: Connection, query: str, parameters: dict[str, Any], whole: int, seconds: float) -> int:
    """Slice after slice until one does less than a whole one, or the time is over; returns what they have done."""
    until = time.monotonic() + seconds
    done: int = 0
    while True:
        cursor = await connection.execute(QUERIES[query], parameters)
        row = await cursor.fetchone()
        assert row is not None
        done += row[0]
        if row[0] < whole or time.monotonic() >= until:
            return done
