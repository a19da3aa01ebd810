"""The one transaction that writes, on a connection of the writer's own.

1. the progress of the writer, of keyed singles, of streams; who has moved on is left out
2. session_token: which payloads start a session
3. COPY, the tables in fixed order
4. COMMIT
"""

from collections.abc import Iterator

import msgspec
import psycopg
from psycopg import AsyncConnection
from psycopg.rows import TupleRow

from collector.batch import Segment
from collector.errors import CommitUnknown, StoreDown, WriterFenced
from collector.messages import STARTING_MS, Payload
from collector.rows import PAYLOAD_COLUMNS, REJECTED_COLUMNS, RejectedRow, encode_csv, encode_text
from collector.store.connection import conninfo
from collector.store.queries import QUERIES
from collector.store.translate import message, translated, translating

COPY_BYTES = 64 * 1024
"""Handed to the driver at once: a call costs as much as encoding thirty rows."""

_PAYLOAD_COPY = f"COPY payload ({', '.join(PAYLOAD_COLUMNS)}) FROM STDIN"
_REJECTED_COPY = f"COPY rejected ({', '.join(REJECTED_COLUMNS)}) FROM STDIN (FORMAT binary)"
_encode = msgspec.json.Encoder().encode


class Outcome(msgspec.Struct):
    """What a transaction found."""

    fenced: set[tuple[str, int]] = msgspec.field(default_factory=set)
    """Streams, by name and owner, that have moved on."""
    repeats: dict[str, bytes] = msgspec.field(default_factory=dict)
    """Keys of single payloads that were there before, with the digest they have."""
    tokens: list[str] = msgspec.field(default_factory=list)
    """Tokens that were offered, and are in session_token now."""


class Step(msgspec.Struct):
    """What a transaction adds to the progress of a keyed stream: an element of the parameter of `advance_streams`."""

    source: str
    owner: int
    expected: int
    position: int
    accepted: int = 0
    rejected: int = 0
    complete: bool = False
    digest: str = ""


class KnownTokens:
    """Tokens that are in session_token for certain, so that later payloads of their sessions need not ask. Two
    generations bound it.
    """

    def __init__(self, capacity: int = 50_000) -> None:
        self._capacity = capacity
        self._young: set[str] = set()
        self._old: set[str] = set()

    def __contains__(self, token: str) -> bool:
        return token in self._young or token in self._old

    def add(self, tokens: list[str]) -> None:
        """These are committed."""
        if len(self._young) + len(tokens) > self._capacity:
            self._old, self._young = self._young, set()
        self._young.update(tokens)

    def clear(self) -> None:
        """The database may be another one than before."""
        self._young.clear()
        self._old.clear()


class WriterSession:
    """A writer's connection and its own progress row. Not for two tasks at once."""

    def __init__(self, url: str, source: str) -> None:
        self._url = conninfo(url)
        self._source = source
        self._connection: AsyncConnection[TupleRow] | None = None
        self._registered = False
        self._position = 0
        self._known = KnownTokens()
        self._cut: Outcome | None = None
        """What the transaction found whose COMMIT was cut."""

    async def write(self, segments: list[Segment]) -> Outcome:
        """Write the segments in one transaction.

        Raises RowRefused, TryAgain, StoreDown, WriterFenced: nothing was committed. CommitUnknown: `settle` can tell.
        """
        connection = await self._connected()
        try:
            outcome = await self._transaction(connection, segments)
        except psycopg.Error as exc:
            await self._give_up(connection)
            raise translated(exc) from exc
        except BaseException:
            await self.close()
            raise
        try:
            await connection.execute("COMMIT")
        except psycopg.Error as exc:
            broken = connection.broken
            await self.close()
            if exc.sqlstate and not broken:
                raise translated(exc) from exc
            self._cut = outcome
            raise CommitUnknown(message(exc)) from exc
        except BaseException:
            await self.close()
            raise
        self._position += 1
        self._known.add(outcome.tokens)
        return outcome

    async def settle(self) -> Outcome | None:
        """After CommitUnknown: what the transaction found, or None if it did not happen. Waits while it still may.

        Raises StoreDown: ask again. WriterFenced: it cannot be known any more.
        """
        connection = await self._connected()
        try:
            cursor = await connection.execute(QUERIES["read_writer"], {"source": self._source})
            row = await cursor.fetchone()
        except psycopg.Error as exc:
            await self.close()
            raise StoreDown(message(exc)) from exc
        if row is None:
            self._registered = False
            await self.close()
            raise WriterFenced("the writer's progress row is gone")
        happened = row[0] == self._position + 1
        self._position = row[0]
        return self._cut if happened else None

    async def forget(self) -> None:
        """A clean end: the writer's row goes, and the connection."""
        if self._connection is not None and self._registered:
            with translating():
                await self._connection.execute(QUERIES["forget_writer"], {"source": self._source})
        await self.close()

    async def close(self) -> None:
        """Close the connection; the next use opens another."""
        connection, self._connection = self._connection, None
        self._known.clear()
        if connection is not None:
            await connection.close()

    async def _connected(self) -> AsyncConnection[TupleRow]:
        if self._connection is not None and not self._connection.closed:
            return self._connection
        with translating():
            connection = await AsyncConnection.connect(self._url, autocommit=True)
            try:
                if not self._registered:
                    await connection.execute(QUERIES["register_writer"], {"source": self._source})
                    self._registered, self._position = True, 0
            except BaseException:
                await connection.close()
                raise
        self._connection = connection
        return connection

    async def _give_up(self, connection: AsyncConnection[TupleRow]) -> None:
        try:
            await connection.execute("ROLLBACK")
        except psycopg.Error:
            await self.close()

    async def _transaction(self, connection: AsyncConnection[TupleRow], segments: list[Segment]) -> Outcome:
        outcome = Outcome()
        async with connection.pipeline():
            await connection.execute("BEGIN")
            moved = await connection.execute(
                QUERIES["advance_writer"], {"source": self._source, "position": self._position + 1}
            )
            if await moved.fetchone() is None:
                self._registered = False
                raise WriterFenced("the writer's progress row is gone")
        await self._claim_singles(connection, segments, outcome)
        await self._advance_streams(connection, segments, outcome)
        kept = [segment for segment in segments if not _left_out(segment, outcome)]
        started = await self._start_tokens(connection, kept, outcome)
        await _copy_payloads(connection, kept, started)
        rejected = [row for segment in kept if segment.rejects for row in segment.rejected_rows()]
        if rejected:
            await _copy_rejected(connection, rejected)
        return outcome

    async def _claim_singles(
        self, connection: AsyncConnection[TupleRow], segments: list[Segment], outcome: Outcome
    ) -> None:
        claims = {segment.claim.source: segment.claim.digest for segment in segments if segment.claim}
        if not claims:
            return
        listed = [{"source": source, "digest": digest.hex()} for source, digest in claims.items()]
        cursor = await connection.execute(QUERIES["claim_singles"], {"claims": _encode(listed).decode()})
        new = {row[0] for row in await cursor.fetchall()}
        repeated = [source for source in claims if source not in new]
        if repeated:
            cursor = await connection.execute(QUERIES["find_progress"], {"sources": _encode(repeated).decode()})
            outcome.repeats = {row[0]: bytes(row[4]) if row[3] else b"" for row in await cursor.fetchall()}
            if len(outcome.repeats) < len(repeated):  # forgotten by housekeeping in between
                raise psycopg.errors.SerializationFailure("a key was forgotten while it was claimed")

    async def _advance_streams(
        self, connection: AsyncConnection[TupleRow], segments: list[Segment], outcome: Outcome
    ) -> None:
        steps = _steps(segments)
        if steps:
            listed = _encode(list(steps.values())).decode()
            cursor = await connection.execute(QUERIES["advance_streams"], {"steps": listed})
            outcome.fenced = steps.keys() - {(row[0], row[1]) for row in await cursor.fetchall()}

    async def _start_tokens(
        self, connection: AsyncConnection[TupleRow], segments: list[Segment], outcome: Outcome
    ) -> dict[str, Payload]:
        """The payloads that start a session, by token."""
        known = self._known
        candidates: dict[str, Payload] = {}
        for segment in segments:
            for row in segment.rows:
                if row.session_duration < STARTING_MS and row.token not in known:
                    candidates.setdefault(row.token, row)
        if not candidates:
            return candidates
        outcome.tokens = sorted(candidates)
        cursor = await connection.execute(QUERIES["start_tokens"], {"tokens": _encode(outcome.tokens).decode()})
        return {token: candidates[token] for (token,) in await cursor.fetchall()}


def _steps(segments: list[Segment]) -> dict[tuple[str, int], Step]:
    """What the transaction adds to the progress of each keyed stream, by its name and owner."""
    steps: dict[tuple[str, int], Step] = {}
    for segment in segments:
        source = segment.source
        if source is None or not source.owner:
            continue
        step = steps.get((source.name, source.owner))
        if step is None:
            step = steps[source.name, source.owner] = Step(
                source.name, source.owner, source.committed, source.committed
            )
        step.position += segment.lines
        step.accepted += len(segment.rows)
        step.rejected += len(segment.rejects)
        step.complete = segment.complete
        step.digest = segment.digest.hex()
    return steps


def _left_out(segment: Segment, outcome: Outcome) -> bool:
    """The source has moved on, or the single payload is a repeat."""
    if segment.claim is not None:
        return segment.claim.source in outcome.repeats
    return segment.source is not None and (segment.source.name, segment.source.owner) in outcome.fenced


async def _copy_payloads(
    connection: AsyncConnection[TupleRow], segments: list[Segment], started: dict[str, Payload]
) -> None:
    escaped: list[tuple[list[Payload], int, bool]] = []
    with_rows = [segment for segment in segments if segment.rows]
    if not with_rows:
        return
    async with connection.cursor() as cursor:
        async with cursor.copy(f"{_PAYLOAD_COPY} (FORMAT csv)") as copy:
            pending: list[bytes] = []
            pending_bytes = 0
            for rows, received_ms, starting in _by_started(with_rows, started):
                data = encode_csv(rows, received_ms, started=starting)
                if data is None:
                    escaped.append((rows, received_ms, starting))
                    continue
                pending.append(data)
                pending_bytes += len(data)
                if pending_bytes >= COPY_BYTES:
                    await copy.write(b"".join(pending))
                    pending, pending_bytes = [], 0
            await copy.write(b"".join(pending))
        if escaped:
            async with cursor.copy(_PAYLOAD_COPY) as copy:
                for rows, received_ms, starting in escaped:
                    await copy.write(encode_text(rows, received_ms, started=starting))


def _by_started(segments: list[Segment], started: dict[str, Payload]) -> Iterator[tuple[list[Payload], int, bool]]:
    """Rows of each segment, those that start a session apart from the others."""
    get = started.get
    for segment in segments:
        if started:
            starting = [row for row in segment.rows if get(row.token) is row]
            if starting:
                yield starting, segment.received_ms, True
                others = [row for row in segment.rows if get(row.token) is not row]
                if others:
                    yield others, segment.received_ms, False
                continue
        yield segment.rows, segment.received_ms, False


async def _copy_rejected(connection: AsyncConnection[TupleRow], rows: list[RejectedRow]) -> None:
    async with connection.cursor() as cursor, cursor.copy(_REJECTED_COPY) as copy:
        copy.set_types(["timestamptz", "text", "int8", "text", "bytea"])
        for row in rows:
            await copy.write_row(row)
