"""What is read from the database, and the small transactions beside the writer's: on pools of connections."""

from datetime import datetime, timedelta

import msgspec
from psycopg.rows import TupleRow

from collector.progress import Progress
from collector.store import sessions
from collector.store.hits import Hours
from collector.store.pool import fetch, make_pool

LOCK_TIMEOUT_S = 3
"""Whoever holds a key for longer than this is stuck; clients that wait for it must not use up the pool."""
READ_TIMEOUT_S = 30
"""A query that takes longer is ended, and answered 503: nobody waits for it any more."""


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


class Store:
    """Queries beside the writer's. Every method raises StoreDown while the database is away."""

    def __init__(self, url: str, read_url: str | None = None) -> None:
        self._main = make_pool(url, f"SET timezone = 'UTC'; SET lock_timeout = '{LOCK_TIMEOUT_S}s'")
        self._probe = make_pool(url, f"SET statement_timeout = '{LOCK_TIMEOUT_S}s'", max_size=1)
        # Bounds given by a parameter exclude chunks only where the plan is made for them.
        self._read = make_pool(
            read_url or url,
            "SET timezone = 'UTC'; SET plan_cache_mode = force_custom_plan; "
            f"SET statement_timeout = '{READ_TIMEOUT_S}s'",
        )
        self.hours = Hours(self._main, self._read)

    async def open(self) -> None:
        """Start the pools; they connect when a connection is needed."""
        await self._main.open()
        await self._probe.open()
        await self._read.open()

    async def close(self) -> None:
        """Close all connections."""
        await self._main.close()
        await self._probe.close()
        await self._read.close()

    async def take_stream(self, source: str) -> Progress:
        """Become the owner of a source; returns how far it is committed."""
        rows = await fetch(self._main, "take_stream", {"source": source})
        return _progress(rows[0])

    async def find_progress(self, source: str) -> Progress | None:
        """How far a source is committed; None where it is unknown."""
        rows = await fetch(self._main, "find_progress", {"sources": msgspec.json.encode([source]).decode()})
        return _progress(rows[0]) if rows else None

    async def rejected_lines(self, source: str, newest: int, limit: int) -> list[tuple[int, str]]:
        """The first of a source's newest rejected lines, with what was said of them."""
        parameters = {"source": source, "newest": newest, "limit": limit}
        rows = await fetch(self._main, "rejected_lines", parameters)
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
        return [StatsRow(*row) for row in await fetch(self._read, "stats_page", parameters)]

    async def session(self, query: sessions.SessionQuery) -> list[sessions.SessionRow]:
        """A page of a session's messages."""
        return await sessions.page(self._read, query)

    async def unfit(self, schema: int) -> list[str]:
        """Why nothing should be written here: a row could be lost, or none stored; `schema` is the version needed."""
        fsync, synchronous_commit, read_only, found = (await fetch(self._probe, "readiness", {}))[0]
        unsafe = []
        if found != schema:
            unsafe.append(f"the database is at schema {found or 0}, this program needs {schema}")
        if fsync != "on":
            unsafe.append(f"fsync is {fsync}")
        if synchronous_commit == "off":
            unsafe.append("synchronous_commit is off")
        if read_only == "on":
            unsafe.append("the database is read-only")
        return unsafe

    async def refreshed_aggregates(self) -> dict[str, float]:
        """When each continuous aggregate was last refreshed, seconds since the epoch; none without TimescaleDB."""
        if not (await fetch(self._main, "has_aggregates", {}))[0][0]:
            return {}
        return dict(await fetch(self._main, "refreshed_aggregates", {}))

    async def forget_old(self, *, keys: timedelta, tokens: timedelta, rejected: timedelta) -> tuple[int, int, int]:
        """Housekeeping: delete what is past its retention; returns how many keys, tokens and rejected lines went."""
        rows = await fetch(self._main, "forget_old", {"keys": keys, "tokens": tokens, "rejected": rejected})
        keys_gone, tokens_gone, lines_gone = rows[0]
        return keys_gone, tokens_gone, lines_gone


def _progress(row: TupleRow) -> Progress:
    source, owner, position, complete, digest, accepted, rejected = row
    return Progress(source, owner, position, complete, bytes(digest), accepted, rejected)
