"""What is read from the database, and the small transactions beside the writer's: on pools of connections."""

from datetime import datetime, timedelta
from typing import Any

import msgspec
from psycopg import AsyncConnection
from psycopg.rows import TupleRow
from psycopg_pool import AsyncConnectionPool

from collector.progress import Progress
from collector.store.connection import conninfo
from collector.store.queries import QUERIES
from collector.store.translate import translating

POOL_MAX = 4
"""Connections of a pool: on a machine of 2 cores more of them only wait for each other."""
POOL_WAIT_S = 5.0
READ_TIMEOUT_S = 30
"""A query that takes longer is ended, and answered 503: nobody waits for it any more."""

Pool = AsyncConnectionPool[AsyncConnection[TupleRow]]


class StatsRow(msgspec.Struct):
    """A window of `stats`; `time` is its end. The sums are decimal digits: they can pass 64 bits."""

    time: datetime
    customer: str
    content: str
    cdn: str
    p2p: str
    sessions: int


class StatsQuery(msgspec.Struct, frozen=True):
    """Which windows: those that end after `since` and not after `until`, newest first, going on after a row."""

    limit: int
    customer: str | None = None
    content: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    after: tuple[datetime, str, str] | None = None


def _pool(url: str, session: str) -> Pool:
    async def configure(connection: AsyncConnection[TupleRow]) -> None:
        await connection.execute(session.encode())

    return AsyncConnectionPool(
        conninfo(url),
        min_size=0,
        max_size=POOL_MAX,
        open=False,
        timeout=POOL_WAIT_S,
        # The pool tries again after 1, 2, 4, … s; when it gives up, the next request makes it begin anew. So the gaps stay
        # small however long the database is away.
        reconnect_timeout=POOL_WAIT_S,
        kwargs={"autocommit": True},
        configure=configure,
        check=AsyncConnectionPool.check_connection,
    )


class Store:
    """Queries beside the writer's. Every method raises StoreDown while the database is away."""

    def __init__(self, url: str, read_url: str | None = None) -> None:
        self._main = _pool(url, "SET timezone = 'UTC'")
        # Bounds given by a parameter exclude chunks only where the plan is made for them.
        self._read = _pool(
            read_url or url,
            "SET timezone = 'UTC'; SET plan_cache_mode = force_custom_plan; "
            f"SET statement_timeout = '{READ_TIMEOUT_S}s'",
        )

    async def open(self) -> None:
        """Start the pools; they connect when a connection is needed."""
        await self._main.open()
        await self._read.open()

    async def close(self) -> None:
        """Close all connections."""
        await self._main.close()
        await self._read.close()

    async def take_stream(self, source: str) -> Progress:
        """Become the owner of a source; returns how far it is committed."""
        rows = await _fetch(self._main, "take_stream", {"source": source})
        return _progress(rows[0])

    async def find_progress(self, source: str) -> Progress | None:
        """How far a source is committed; None where it is unknown."""
        rows = await _fetch(self._main, "find_progress", {"sources": msgspec.json.encode([source]).decode()})
        return _progress(rows[0]) if rows else None

    async def rejected_lines(self, source: str, limit: int) -> list[tuple[int, str]]:
        """The first rejected lines of a source, with what was said of them."""
        rows = await _fetch(self._main, "rejected_lines", {"source": source, "limit": limit})
        return [(line, reason) for line, reason in rows]

    async def stats(self, query: StatsQuery) -> list[StatsRow]:
        """A page of `stats`."""
        after = query.after or (None, None, None)
        parameters = {
            "from": query.since,
            "to": query.until,
            "customer": query.customer,
            "content": query.content,
            "limit": query.limit,
            "after_bucket": after[0] - timedelta(minutes=5) if after[0] else None,
            "after_customer": after[1],
            "after_content": after[2],
        }
        return [StatsRow(*row) for row in await _fetch(self._read, "stats_page", parameters)]

    async def unsafe_settings(self) -> list[str]:
        """Settings of the server with which an acknowledged row could be lost, or nothing be written at all."""
        fsync, synchronous_commit, read_only = (await _fetch(self._main, "readiness", {}))[0]
        unsafe = []
        if fsync != "on":
            unsafe.append(f"fsync is {fsync}")
        if synchronous_commit == "off":
            unsafe.append("synchronous_commit is off")
        if read_only == "on":
            unsafe.append("the database is read-only")
        return unsafe

    async def forget_old(self, *, keys: timedelta, tokens: timedelta, rejected: timedelta) -> tuple[int, int, int]:
        """Housekeeping: delete what is past its retention; returns how many keys, tokens and rejected lines went."""
        rows = await _fetch(self._main, "forget_old", {"keys": keys, "tokens": tokens, "rejected": rejected})
        keys_gone, tokens_gone, lines_gone = rows[0]
        return keys_gone, tokens_gone, lines_gone


async def _fetch(pool: Pool, name: str, parameters: dict[str, Any]) -> list[Any]:
    with translating():
        async with pool.connection() as connection:
            cursor = await connection.execute(QUERIES[name], parameters)
            return await cursor.fetchall()


def _progress(row: TupleRow) -> Progress:
    source, owner, position, complete, digest, accepted, rejected = row
    return Progress(source, owner, position, complete, bytes(digest), accepted, rejected)
