"""The statements of the one transaction that writes, all but its COMMIT.

1. the progress of the writer, of keyed singles, of streams; who has moved on is left out
2. session_token: which payloads start a session
3. COPY, the tables in fixed order
"""

from collections.abc import Iterable, Iterator

import msgspec
import psycopg
from psycopg import AsyncConnection
from psycopg.rows import TupleRow

from collector.batch import Segment
from collector.errors import WriterFenced
from collector.messages import STARTING_MS, Payload
from collector.rows import PAYLOAD_COLUMNS, REJECTED_COLUMNS, RejectedRow, encode_csv, encode_text
from collector.store.queries import QUERIES

Connection = AsyncConnection[TupleRow]

COPY_BYTES = 64 * 1024
"""Handed to the driver at once: a call costs as much as encoding thirty rows."""

_PAYLOAD_COPY = f"COPY payload ({', '.join(PAYLOAD_COLUMNS)}) FROM STDIN"
_REJECTED_COPY = f"COPY rejected ({', '.join(REJECTED_COLUMNS)}) FROM STDIN (FORMAT binary)"
_encoder = msgspec.json.Encoder()


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
    """Tokens that are in session_token for certain, so that later payloads of their sessions need not ask.

    Bounded by two generations: the older one goes when the younger is full.
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


async def write_batch(
    connection: Connection, writer_step: dict[str, object], segments: list[Segment], known: KnownTokens
) -> Outcome:
    """Everything up to COMMIT. Raises WriterFenced, and the driver's errors."""
    outcome = Outcome()
    claims = {segment.claim.source: segment.claim.digest for segment in segments if segment.claim}
    steps = _steps(segments)
    async with connection.pipeline():
        await connection.execute("BEGIN")
        moved = await connection.execute(QUERIES["advance_writer"], writer_step)
        claimed = stepped = None
        if claims:
            listed = [{"source": source, "digest": digest.hex()} for source, digest in claims.items()]
            claimed = await connection.execute(QUERIES["claim_singles"], {"claims": _json(listed)})
        if steps:
            stepped = await connection.execute(QUERIES["advance_streams"], {"steps": _json(list(steps.values()))})
    if await moved.fetchone() is None:
        raise WriterFenced("the writer's progress row is gone")
    if claimed is not None:
        repeated = claims.keys() - {row[0] for row in await claimed.fetchall()}
        found = await find_repeats(connection, repeated)
        if found.keys() != repeated:
            raise psycopg.errors.SerializationFailure("a key was forgotten while it was claimed")
        outcome.repeats = {source: digest for source, (_, digest) in found.items()}
    if stepped is not None:
        outcome.fenced = steps.keys() - {(row[0], row[1]) for row in await stepped.fetchall()}
    kept = [segment for segment in segments if not _left_out(segment, outcome)]
    candidates = _candidates(kept, known)
    outcome.tokens = sorted(candidates)
    await _copy_payloads(connection, kept, await _started(connection, outcome.tokens, candidates))
    rejected = [row for segment in kept if segment.rejects for row in segment.rejected_rows()]
    if rejected:
        await _copy_rejected(connection, rejected)
    return outcome


def _json(document: object) -> str:
    return _encoder.encode(document).decode()


async def find_repeats(connection: Connection, sources: Iterable[str]) -> dict[str, tuple[int, bytes]]:
    """Owners and digests of keys that were there before; no digest of a stream that is not complete."""
    listed = sorted(sources)
    if not listed:
        return {}
    cursor = await connection.execute(QUERIES["find_progress"], {"sources": _json(listed)})
    return {
        source: (owner, bytes(digest) if complete else b"")
        for source, owner, _, complete, digest, *_ in await cursor.fetchall()
    }


def _candidates(segments: list[Segment], known: KnownTokens) -> dict[str, tuple[int, int]]:
    """Payloads that may start a session, the first one of each token that is not known yet: its segment's number, and
    its own within that segment.
    """
    candidates: dict[str, tuple[int, int]] = {}
    for number, segment in enumerate(segments):
        for at, row in enumerate(segment.rows):
            if row.session_duration < STARTING_MS and row.token not in known:
                candidates.setdefault(row.token, (number, at))
    return candidates


async def _started(
    connection: Connection, tokens: list[str], candidates: dict[str, tuple[int, int]]
) -> dict[int, list[int]]:
    """The payloads that do start a session: of segments by number, in order."""
    started: dict[int, list[int]] = {}
    if tokens:
        cursor = await connection.execute(QUERIES["start_tokens"], {"tokens": _json(tokens)})
        for number, at in sorted([candidates[token] for (token,) in await cursor.fetchall()]):
            started.setdefault(number, []).append(at)
    return started


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


async def _copy_payloads(connection: Connection, segments: list[Segment], started: dict[int, list[int]]) -> None:
    escaped: list[tuple[list[Payload], int, bool]] = []
    if not any(segment.rows for segment in segments):
        return
    async with connection.cursor() as cursor:
        async with cursor.copy(f"{_PAYLOAD_COPY} (FORMAT csv)") as copy:
            pending: list[bytes] = []
            pending_bytes = 0
            for rows, received_ms, starting in _by_started(segments, started):
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


def _by_started(segments: list[Segment], started: dict[int, list[int]]) -> Iterator[tuple[list[Payload], int, bool]]:
    """Rows of each segment, those that start a session apart from the others."""
    for number, segment in enumerate(segments):
        others = segment.rows
        if number in started:
            yield [segment.rows[at] for at in started[number]], segment.received_ms, True
            others = others.copy()
            for at in reversed(started[number]):
                del others[at]
        if others:
            yield others, segment.received_ms, False


async def _copy_rejected(connection: Connection, rows: list[RejectedRow]) -> None:
    async with connection.cursor() as cursor, cursor.copy(_REJECTED_COPY) as copy:
        copy.set_types(["timestamptz", "text", "int8", "text", "bytea"])
        for row in rows:
            await copy.write_row(row)
