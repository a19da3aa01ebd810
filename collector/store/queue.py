"""The queue behind /payloads as the database sees it: rows of `payload_queue`, how they are taken out of it, and rows
that come out of a Kafka topic.
"""

from collections import defaultdict
from typing import Any

import psycopg
from psycopg import AsyncConnection

from collector.messages.payload import STARTING_MS, Payload
from collector.queue.records import FROM_TOPIC, Queued
from collector.segment import Segment, Source
from collector.store import payloads
from collector.store.connection import WRITER_SESSION, conninfo, limit_rights
from collector.store.queries import QUERIES
from collector.store.rows import PAYLOAD_COLUMNS
from collector.store.transaction import Connection, KnownKeys, Outcome, as_json
from collector.store.translate import translated, translating

TOPIC = "topic"
"""Where rows go that a Kafka topic has: nowhere, in the database."""

QUEUE_COLUMNS = PAYLOAD_COLUMNS[:-1]
"""All but `started`, which is found out when a row is taken."""

# What the planner knows of the table's size is always old: a plan for an empty one would sort a long queue for each
# batch.
_TAKER_SESSION = f"{WRITER_SESSION} SET enable_seqscan = off;"


def small_batch(rows: list[Payload], known: KnownKeys) -> dict[str, object]:
    """`write_queue_singles` has no parameters of its own."""
    return {}


def learned(rows: list[Payload]) -> list[str]:
    """Nothing: tokens are the consumer's."""
    return []


async def write_from_topic(connection: Connection, segments: list[Segment], known: KnownKeys, outcome: Outcome) -> None:
    """Write payloads that come out of a topic (rows are `Queued`); those of a keyed line that came before are left
    out. A request that is repeated puts its lines into the topic again, if it cannot know that they are there, each
    into the partition where it was before, and in the same order: so a line that is not past the highest one of its
    source in that partition is a repeat.
    """
    marks = await _find_marks(connection, segments)
    moved: dict[str, int] = {}
    by_moment: defaultdict[int, list[Payload]] = defaultdict(list)
    for segment in segments:
        rows: list[Queued] = segment.rows
        repeated = 0
        for row in rows:
            if row.source:
                mark = _mark(row, segment.source)
                if row.line <= marks.get(mark, 0):
                    repeated += 1
                    continue
                marks[mark] = moved[mark] = row.line
            by_moment[row.received_ms].append(row.payload)
        outcome.repeated[id(segment)] = repeated
    if moved:
        listed = [{"source": source, "position": position} for source, position in moved.items()]
        await connection.execute(QUERIES["move_marks"], {"marks": as_json(listed)})
    if by_moment:
        # In the order of reception, so that the first of a token's payloads may start its session.
        parts = [Segment(None, FROM_TOPIC, moment, by_moment[moment]) for moment in sorted(by_moment)]
        outcome.learned[FROM_TOPIC] = await payloads.store(connection, parts, known)


async def _find_marks(connection: Connection, segments: list[Segment]) -> dict[str, int]:
    wanted = {_mark(row, segment.source) for segment in segments for row in segment.rows if row.source}
    if not wanted:
        return {}
    cursor = await connection.execute(QUERIES["find_marks"], {"sources": as_json(list(wanted))})
    return dict(await cursor.fetchall())


def _mark(row: Queued, partition: Source | None) -> str:
    """The source in `progress` of the lines that a keyed request has in a partition."""
    assert partition is not None
    return f"applied {partition.name} {row.source}"


class Taker:
    """A connection that takes rows out of `payload_queue`, each time in a transaction that is one statement: nothing
    is left to settle after a cut. Not for two tasks at once. Methods raise StoreDown, TryAgain, RowRefused.
    """

    def __init__(self, url: str) -> None:
        self._url = conninfo(url)
        self._connection: Connection | None = None

    async def apply(self, limit: int, low: int, high: int) -> int:
        """Move up to `limit` rows whose numbers are from `low` to `high` into `payload`; returns how many."""
        parameters = {"limit": limit, "low": low, "high": high, "starting_ms": STARTING_MS}
        ((moved,),) = await self._ask("apply_queue", parameters)
        return int(moved)

    async def peek(self, limit: int, low: int, high: int) -> list[int]:
        """The numbers of the first rows from `low` to `high`."""
        parameters = {"limit": limit, "low": low, "high": high}
        return [number for (number,) in await self._ask("peek_queue", parameters)]

    async def refuse(self, number: int, why: str) -> int:
        """Put a row into quarantine; returns how many that were."""
        ((refused,),) = await self._ask("refuse_queued", {"id": number, "reason": why})
        return int(refused)

    async def close(self) -> None:
        """Close the connection; the next use opens another."""
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()

    async def _ask(self, name: str, parameters: dict[str, Any]) -> list[Any]:
        connection = await self._connected()
        try:
            cursor = await connection.execute(QUERIES[name], parameters)
            return await cursor.fetchall()
        except psycopg.Error as exc:
            if connection.broken:
                await self.close()
            raise translated(exc) from exc
        except BaseException:
            await self.close()
            raise

    async def _connected(self) -> Connection:
        if self._connection is None or self._connection.closed:
            with translating():
                connection = await AsyncConnection.connect(self._url, autocommit=True)
                try:
                    await connection.execute(_TAKER_SESSION.encode())
                    await limit_rights(connection, "ingest")
                except BaseException:
                    await connection.close()
                    raise
            self._connection = connection
        return self._connection
