"""What is read from the database, and the small transactions beside the writer's: on pools of connections."""

import contextlib
from datetime import datetime, timedelta
from typing import Any

import msgspec

from collector.errors import StoreDown, StoreError
from collector.progress import Progress
from collector.report.model import SessionCpu
from collector.store import overview, sessions
from collector.store.cpu import CpuReader, Refresh
from collector.store.hits import Hours
from collector.store.pool import fetch, make_pool
from collector.store.probe import Probe
from collector.store.quarantine import Quarantine
from collector.store.session_cpu import BANDS, POINTS, session_cpu
from collector.store.transaction import progress_of

LOCK_TIMEOUT_S = 3
"""Whoever holds a key for longer than this is stuck; clients that wait for it must not use up the pool."""
READ_TIMEOUT_S = 30
"""A query that takes longer is ended, and answered 503: nobody waits for it any more."""


RECENT = (timedelta(hours=1), timedelta(days=1), timedelta(days=7), timedelta(days=30))
"""How far back a page of `stats` is looked for before all windows are: windows are kept for ever, and to find the
newest the database reads all that it is asked for. Looking in vain costs 38 days' windows.
"""


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


def beginnings(query: StatsQuery, now: datetime) -> list[datetime | None]:
    """What to ask for in place of the query's `since`, one after the other until a page is full. As rows come newest
    first, those of a full page are what they are without that bound.
    """
    ends = [end for end in (now, query.until, query.after and query.after[0]) if end is not None]
    since = [min(ends) - back for back in RECENT]
    return [*(moment for moment in since if query.since is None or moment > query.since), query.since]


class Store:
    """Queries beside the writer's. Every method raises StoreDown while the database is away."""

    def __init__(self, url: str, read_url: str | None = None) -> None:
        self._main = make_pool(url, "ingest", f"SET timezone = 'UTC'; SET lock_timeout = '{LOCK_TIMEOUT_S}s'")
        # Bounds given by a parameter exclude chunks only where the plan is made for them.
        self._read = make_pool(
            read_url or url,
            "read",
            "SET timezone = 'UTC'; SET plan_cache_mode = force_custom_plan; "
            f"SET statement_timeout = '{READ_TIMEOUT_S}s'",
        )
        # As the role that logs in: only that one may end its other connections.
        self._admin = Probe(url, LOCK_TIMEOUT_S, limited=False)
        self._sums = make_pool(url, "ingest", "SET timezone = 'UTC'", max_size=1)
        self.hours = Hours(self._main, self._read)
        self.quarantine = Quarantine(self._main)
        self.cpu_refresh = Refresh(self._sums)
        self.cpu = CpuReader(self._read)

    async def open(self) -> None:
        """Start the pools; they connect when a connection is needed."""
        await self._main.open()
        await self._read.open()
        await self._sums.open()

    async def close(self) -> None:
        """Close all connections."""
        await self._main.close()
        await self._read.close()
        await self._admin.close()
        await self._sums.close()

    async def take_stream(self, source: str, retention: str = "keys") -> Progress:
        """Become the owner of a source; returns how far it is committed."""
        try:
            rows = await fetch(self._main, "take_stream", {"source": source, "retention": retention})
        except StoreDown:
            # Whoever holds it may have stalled; the next to ask finds it free then.
            with contextlib.suppress(StoreError):
                await self._admin.ask("end_stalled")
            raise
        return progress_of(rows[0])

    async def find_progress(self, source: str) -> Progress | None:
        """How far a source is committed; None where it is unknown."""
        rows = await fetch(self._main, "find_progress", {"sources": msgspec.json.encode([source]).decode()})
        return progress_of(rows[0]) if rows else None

    async def positions(self, sources: list[str]) -> dict[str, int]:
        """How far these are committed; unknown ones are left out."""
        rows = await fetch(self._main, "find_progress", {"sources": msgspec.json.encode(sources).decode()})
        return {progress.source: progress.position for progress in map(progress_of, rows)}

    async def queue_lag(self) -> tuple[int, float]:
        """Rows that wait in `payload_queue` (roughly, beyond 100,000), and the age of the oldest in seconds."""
        # A plan that was made while it was empty would sort it when it is long.
        ((waiting, oldest_s),) = await fetch(self._main, "queue_lag", {}, prepare=False)
        return waiting, oldest_s

    async def rejected_lines(self, source: str, newest: int, limit: int) -> list[tuple[int, str]]:
        """The first of a source's newest rejected lines, with what was said of them."""
        parameters = {"source": source, "newest": newest, "limit": limit}
        rows = await fetch(self._main, "rejected_lines", parameters)
        return [(line, reason) for line, reason in rows]

    async def stats(self, query: StatsQuery, now: datetime) -> list[StatsRow]:
        """A page of `stats`; `now` says where recent windows are looked for first, and changes no row."""
        after = query.after or (None, None, None)
        parameters = {
            "to": query.until,
            "customer": query.customer,
            "content": query.content,
            "limit": query.limit,
            "after_bucket": after[0] - timedelta(minutes=5) if after[0] else None,
            "after_customer": after[1],
            "after_content": after[2],
        }
        rows: list[Any] = []
        for since in beginnings(query, now):
            rows = await fetch(self._read, "stats_page", {**parameters, "from": since})
            if len(rows) >= query.limit:
                break
        return [StatsRow(*row) for row in rows]

    async def session(self, query: sessions.SessionQuery) -> list[sessions.SessionRow]:
        """A page of a session's messages."""
        return await sessions.page(self._read, query)

    async def keep(self, sources: set[str]) -> None:
        """These sources are in use: their keys are not to be forgotten."""
        await fetch(self._main, "keep_sources", {"sources": msgspec.json.encode(sorted(sources)).decode()})

    async def overview(self, query: overview.OverviewQuery) -> overview.Overview:
        """Sums of `stats` for the built-in page."""
        return await overview.read(self._read, query)

    async def refreshed_aggregates(self) -> dict[str, float]:
        """When each continuous aggregate was last refreshed, seconds since the epoch; none without TimescaleDB."""
        if not (await fetch(self._main, "has_aggregates", {}))[0][0]:
            return {}
        return dict(await fetch(self._main, "refreshed_aggregates", {}))

    async def anything_stored(self) -> bool:
        """Whether anything was ever stored."""
        return await overview.anything_stored(self._read)

    async def computed_until(self) -> datetime | None:
        """Up to when `stats` is computed ahead; None where nothing is."""
        return await overview.computed_until(self._read)

    async def session_cpu(
        self,
        session: str,
        since: datetime | None = None,
        until: datetime | None = None,
        *,
        points: int = POINTS,
        bands: int = BANDS,
    ) -> SessionCpu:
        """A session's CPU over time, with its events as bands (`store.session_cpu`)."""
        return await session_cpu(self._read, session, since, until, points=points, bands=bands)
