"""Clicks and impressions: COPY into `hit`, exact unique users and additive counters by hour, and reading them."""

import asyncio
import random
from collections import Counter
from datetime import UTC, datetime
from typing import Any

import msgspec

from collector.errors import StoreDown, StoreError
from collector.messages.hit import HOUR_MS, Hit
from collector.segment import Segment
from collector.store.copying import copy_blocks
from collector.store.pool import Pool, fetch
from collector.store.queries import QUERIES
from collector.store.rows import HIT_COLUMNS, as_csv, as_text, timestamp
from collector.store.transaction import Connection, KnownKeys, Outcome, as_json

SHARDS = 64
"""Of an hour's counters, as the table has them. A transaction adds to one at random, so that two which meet in it do
not meet in the next one again.
"""

_COPY = 'COPY hit ("{}") FROM STDIN'.format('", "'.join(HIT_COLUMNS))
_SECOND_CHARACTERS = len("2026-01-01T12:00:00")
_MILLISECONDS = tuple(f".{number:03}Z" for number in range(1000))


class HourHits(msgspec.Struct):
    """What a transaction adds to an hour: an element of the parameter of `count_hits`."""

    hour: int
    """Hours since 1970."""
    users: list[str]
    """Sorted; those that may be new to the hour."""
    clicks: int
    impressions: int


async def write(connection: Connection, segments: list[Segment], known: KnownKeys, outcome: Outcome) -> None:
    """Write the hits. Users and counters come last, for others wait for them until COMMIT."""
    rows: list[Hit] = [row for segment in segments for row in segment.rows]
    hours = count(rows, known)
    await _copy(connection, segments)
    await connection.execute(QUERIES["count_hits"], {"hours": as_json(hours), "shard": _shard()})
    outcome.learned["hit"] = [_key(hour.hour, user) for hour in hours for user in hour.users]


def learned(rows: list[Hit]) -> list[str]:
    """Users of hours that are in analytics_user once the rows are committed."""
    return [_key(row.timestamp // HOUR_MS, row.user) for row in rows]


def small_batch(rows: list[Hit], known: KnownKeys) -> dict[str, object]:
    """Parameters of `write_hit_singles` that only hits have."""
    return {"candidates": as_json([key not in known for key in learned(rows)]), "shard": _shard()}


def count(rows: list[Hit], known: KnownKeys) -> list[HourHits]:
    """What the rows add to each hour, in the order of hours. Pure."""
    numbers = [row.timestamp // HOUR_MS for row in rows]
    kinds = Counter(zip(numbers, [row.kind for row in rows], strict=True))
    users: dict[int, list[str]] = {number: [] for number in sorted({number for number, _ in kinds})}
    for number, user in set(zip(numbers, [row.user for row in rows], strict=True)):
        if _key(number, user) not in known:
            users[number].append(user)
    return [
        HourHits(number, sorted(new), kinds[number, "click"], kinds[number, "impression"])
        for number, new in users.items()
    ]


def _key(number: int, user: str) -> str:
    return f"{number} {user}"


def _shard() -> int:
    return random.randrange(SHARDS)  # noqa: S311 (spreads writers)


async def _copy(connection: Connection, segments: list[Segment]) -> None:
    blocks = ((as_columns(segment.rows), (timestamp(segment.received_ms).isoformat(),)) for segment in segments)
    await copy_blocks(connection, _COPY, blocks, lambda block: as_csv(*block), lambda block: as_text(*block))


def as_columns(rows: list[Hit]) -> list[tuple[str, str, str]]:
    """The rows in HIT_COLUMNS, without what the collector adds. A second's text is made once."""
    seconds = {row.timestamp // 1000 for row in rows}
    texts = {second: datetime.fromtimestamp(second, UTC).isoformat()[:_SECOND_CHARACTERS] for second in seconds}
    return [(texts[row.timestamp // 1000] + _MILLISECONDS[row.timestamp % 1000], row.user, row.kind) for row in rows]


class Counts(msgspec.Struct, frozen=True):
    """What an hour has."""

    unique_users: int = 0
    clicks: int = 0
    impressions: int = 0


_NOTHING = Counts()


class Hours:
    """Reads hours. One alone is read from the primary, so that it has every hit acknowledged before, by any server;
    many from where everything else is read. Raises StoreDown while the database is away.
    """

    def __init__(self, primary: Pool, replica: Pool) -> None:
        self._primary = primary
        self._replica = replica
        self._waiting: dict[int, list[asyncio.Future[Counts]]] = {}
        self._task: asyncio.Task[None] | None = None

    async def at(self, epoch_ms: int) -> Counts:
        """The hour that has this moment. Those who wait at once share the next query, for every hour they ask for:
        never one that has begun, for it may not see what was acknowledged since.
        """
        waiter: asyncio.Future[Counts] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(epoch_ms // HOUR_MS, []).append(waiter)
        if self._task is None:
            self._task = asyncio.create_task(self._read())
        return await waiter

    async def between(self, since: datetime | None, until: datetime | None, limit: int) -> list[tuple[Any, ...]]:
        """Hours, their counts, in order: those of which a part is after `since` and before `until`."""
        return await fetch(self._replica, "analytics_range", {"from": since, "to": until, "limit": limit})

    async def _read(self) -> None:
        """A query after the other, until nobody waits."""
        waiting: dict[int, list[asyncio.Future[Counts]]] = {}
        try:
            while self._waiting:
                waiting, self._waiting = self._waiting, {}
                try:
                    rows = await fetch(self._primary, "analytics_hours", {"hours": as_json(list(waiting))})
                except StoreError as exc:
                    _tell(waiting, str(exc))
                    continue
                found = {hour: Counts(*counts) for hour, *counts in rows}
                for hour, waiters in waiting.items():
                    for waiter in waiters:
                        if not waiter.done():
                            waiter.set_result(found.get(hour, _NOTHING))
        finally:
            self._task = None
            late, self._waiting = self._waiting, {}
            for left in (waiting, late):
                _tell(left, "the query was ended")


def _tell(waiting: dict[int, list[asyncio.Future[Counts]]], why: str) -> None:
    for waiters in waiting.values():
        for waiter in waiters:
            if not waiter.done():
                waiter.set_exception(StoreDown(why))
