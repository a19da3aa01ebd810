"""Messages of sessions: COPY into `session_message`, those of logs without the ones that are stored already.

A log may hold what was streamed live, and may come twice, to any server, at the same moment. So a transaction with logs
locks the buckets of their sessions, and one with live messages shares them: what a log's transaction does not find
stored, nobody else is storing. PostgreSQL's locks queue: a log waits for the transactions under way, and what is live
for the transaction of one log.
"""

import zlib
from collections.abc import Iterable, Iterator
from datetime import datetime
from itertools import islice

import msgspec

from collector.batch import Segment
from collector.messages.session import LogMessage, Message
from collector.rows import timestamp
from collector.session_rows import CSV_OPTIONS, SESSION_COLUMNS, encode_csv
from collector.store.pool import Pool, fetch
from collector.store.queries import QUERIES
from collector.store.transaction import Connection, KnownKeys, Outcome, as_json

BUCKETS = 64
"""Sessions share this many locks: a log holds up few of the others, and a batch of many sessions takes few locks."""
COPY_ROWS = 5_000
"""Encoded and handed to the driver at once: half a megabyte. The driver lets others have their turn after each, and
with thousands of open streams a turn of all of them is long.
"""

_COPY = f"COPY session_message ({', '.join(SESSION_COLUMNS)}) FROM STDIN ({CSV_OPTIONS})"

Kept = Iterable[tuple[int, list[Message]]]
"""Rows, with their moment of reception in epoch milliseconds."""


class SessionQuery(msgspec.Struct, frozen=True):
    """Which messages: those from `since` on and before `until`, oldest first. A page goes on `at` a time and a number
    (-1: none), after as many messages with just these as were `given` before.
    """

    session: str
    limit: int
    since: datetime | None = None
    until: datetime | None = None
    at: tuple[datetime, int] | None = None
    given: int = 0


class SessionRow(msgspec.Struct):
    """A message as it is stored; `properties` is JSON."""

    time: datetime
    seq: int | None
    version: str | None
    cpu: float | None
    event: str | None
    phase: str | None
    properties: str | None


async def write(connection: Connection, segments: list[Segment], known: KnownKeys, outcome: Outcome) -> None:
    """Write the messages; of logs those that are not stored yet."""
    logs = [segment for segment in segments if isinstance(segment.rows[0], LogMessage)]
    if not logs:
        await _lock(connection, "lock_sessions_shared", segments)
        await _copy(connection, ((segment.received_ms, segment.rows) for segment in segments))
        return
    # A transaction that has shared a lock and then wants it alone would wait for another that does the same.
    await _lock(connection, "lock_sessions", segments)
    live = [(segment.received_ms, segment.rows) for segment in segments if not isinstance(segment.rows[0], LogMessage)]
    if live:
        await _copy(connection, live)
    new = _new(logs, await _stored(connection, logs), outcome)
    if new:
        await _copy(connection, new)


async def page(pool: Pool, query: SessionQuery) -> list[SessionRow]:
    """Messages of a session; raises StoreDown."""
    parameters = {
        "session": query.session,
        "from": query.since,
        "to": query.until,
        "at_time": query.at[0] if query.at else None,
        "at_seq": query.at[1] if query.at else None,
        "limit": query.limit,
        "given": query.given,
    }
    return [SessionRow(*row) for row in await fetch(pool, "session_page", parameters)]


async def _lock(connection: Connection, query: str, segments: list[Segment]) -> None:
    """Lock the sessions whose messages could be met again: those with numbers."""
    sessions = {row.session for segment in segments for row in segment.rows if row.seq is not None}
    buckets = {zlib.crc32(session.encode()) % BUCKETS for session in sessions}
    if buckets:
        await connection.execute(QUERIES[query], {"buckets": as_json(sorted(buckets))})


async def _stored(connection: Connection, logs: list[Segment]) -> dict[str, set[int]]:
    """Which numbers of the logs' sessions are stored, of those between the first and the last that came."""
    bounds: dict[str, tuple[int, int]] = {}
    for segment in logs:
        for row in segment.rows:
            first, last = bounds.get(row.session, (row.seq, row.seq))
            bounds[row.session] = min(first, row.seq), max(last, row.seq)
    sessions = [{"session": session, "first": first, "last": last} for session, (first, last) in bounds.items()]
    cursor = await connection.execute(QUERIES["stored_messages"], {"sessions": as_json(sessions)})
    return {session: set(seqs) for session, seqs in await cursor.fetchall()}


def _new(logs: list[Segment], stored: dict[str, set[int]], outcome: Outcome) -> list[tuple[int, list[Message]]]:
    """The logs' messages that are not stored, each once."""
    kept = []
    for segment in logs:
        rows = []
        for row in segment.rows:
            seqs = stored.setdefault(row.session, set())
            if row.seq not in seqs:
                seqs.add(row.seq)
                rows.append(row)
        outcome.repeated[id(segment)] = len(segment.rows) - len(rows)
        if rows:
            kept.append((segment.received_ms, rows))
    return kept


async def _copy(connection: Connection, kept: Kept) -> None:
    messages = _messages(kept)
    async with connection.cursor() as cursor, cursor.copy(_COPY) as copy:
        while part := list(islice(messages, COPY_ROWS)):
            await copy.write(encode_csv(part))


def _messages(kept: Kept) -> Iterator[tuple[datetime, Message]]:
    """Message by message, each with its moment of reception: a segment may be one line."""
    for received_ms, rows in kept:
        received_at = timestamp(received_ms)
        for row in rows:
            yield received_at, row
