"""Messages of sessions: COPY into `session_message`, those of logs without the ones that are stored already.

A log may hold what was streamed live, and may come twice, to any server, at the same moment. So a transaction with logs
locks the buckets of their sessions, and one with live messages shares them: what a log's transaction does not find
stored, nobody else is storing. PostgreSQL's locks queue: a log waits for the transactions under way, and what is live
for the transaction of one log.

A live message may come after the log that has it, too. Sessions that have sent a log are in `session_log`, with the
highest number in it; messages up to that one are looked for as a log's are, all others only cost the look into that
table.
"""

import zlib
from collections.abc import Iterable, Iterator
from datetime import datetime
from itertools import islice

import msgspec

from collector.messages.session import LogMessage, Message
from collector.segment import Segment
from collector.store.pool import Pool, fetch
from collector.store.queries import QUERIES
from collector.store.rows import CSV_OPTIONS, timestamp
from collector.store.session_rows import SESSION_COLUMNS, encode_csv
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
Bounds = dict[str, tuple[int, int]]
"""By session: a first and a last number."""
Logged = dict[str, tuple[int, bool]]
"""By session that has sent a log: the highest number in it, and whether it is noted as of the last day."""


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
    live = [segment for segment in segments if not isinstance(segment.rows[0], LogMessage)]
    # A transaction that has shared a lock and then wants it alone would wait for another that does the same.
    logged = await _lock(connection, "lock_sessions" if logs else "lock_sessions_shared", segments)
    if live:
        await _copy(connection, await _unknown(connection, live, logged, outcome))
    if logs:
        bounds = _bounds([row for segment in logs for row in segment.rows])
        new = _new(logs, await _stored(connection, bounds), outcome)
        if new:
            await _copy(connection, new)
        await _mark_logged(connection, bounds, logged)


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


async def _lock(connection: Connection, query: str, segments: list[Segment]) -> Logged:
    """Lock the sessions whose messages could be met again: those with numbers. Returns those that have sent a log."""
    sessions = {row.session for segment in segments for row in segment.rows if row.seq is not None}
    if not sessions:
        return {}
    buckets = {zlib.crc32(session.encode()) % BUCKETS for session in sessions}
    async with connection.pipeline():
        await connection.execute(QUERIES[query], {"buckets": as_json(sorted(buckets))})
        cursor = await connection.execute(QUERIES["logged_sessions"], {"sessions": as_json(list(sessions))})
    return {session: (last, today) for session, last, today in await cursor.fetchall()}


async def _unknown(connection: Connection, live: list[Segment], logged: Logged, outcome: Outcome) -> Kept:
    """Live messages without those that a log has brought."""
    doubtful = (
        [
            row
            for segment in live
            for row in segment.rows
            if row.seq is not None and row.session in logged and row.seq <= logged[row.session][0]
        ]
        if logged
        else []
    )
    if not doubtful:
        return [(segment.received_ms, segment.rows) for segment in live]
    stored = await _stored(connection, _bounds(doubtful))
    kept = []
    for segment in live:
        rows = [row for row in segment.rows if row.seq not in stored.get(row.session, ())]
        outcome.repeated[id(segment)] = len(segment.rows) - len(rows)
        kept.append((segment.received_ms, rows))
    return kept


async def _mark_logged(connection: Connection, bounds: Bounds, logged: Logged) -> None:
    """Note up to which number the sessions have sent a log, where that is not noted yet."""
    marks = [
        {"session": session, "last_seq": last}
        for session, (_, last) in bounds.items()
        if last > logged.get(session, (-1, False))[0] or not logged[session][1]
    ]
    if marks:
        await connection.execute(QUERIES["mark_logged"], {"sessions": as_json(marks)})


def _bounds(rows: list[Message]) -> Bounds:
    """The first and the last number of each session; all rows have one."""
    bounds: Bounds = {}
    for row in rows:
        seq = row.seq
        assert seq is not None
        first, last = bounds.get(row.session, (seq, seq))
        bounds[row.session] = min(first, seq), max(last, seq)
    return bounds


async def _stored(connection: Connection, bounds: Bounds) -> dict[str, set[int]]:
    """Which numbers of the sessions are stored, within the bounds."""
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
