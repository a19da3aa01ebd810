"""The statements of the one transaction that writes, all but its COMMIT.

1. the progress of the writer, of keyed singles, of streams; who has moved on is left out
2. each table's own part, in fixed order (`store.tables`)
3. rejected lines
"""

from collections.abc import Iterable

import msgspec
import psycopg

from collector.errors import WriterFenced
from collector.segment import Segment
from collector.store.queries import QUERIES
from collector.store.rows import REJECTED_COLUMNS, RejectedRow
from collector.store.tables import TABLES
from collector.store.transaction import Connection, Known, Outcome, as_json

_REJECTED_COPY = f"COPY rejected ({', '.join(REJECTED_COLUMNS)}) FROM STDIN (FORMAT binary)"


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


async def write_batch(
    connection: Connection, writer_step: dict[str, object], segments: list[Segment], known: Known
) -> Outcome:
    """Everything up to COMMIT. Raises WriterFenced, and the driver's errors."""
    outcome = Outcome()
    claims = {segment.claim.source: segment.claim for segment in segments if segment.claim}
    steps = _steps(segments)
    async with connection.pipeline():
        await connection.execute("BEGIN")
        moved = await connection.execute(QUERIES["advance_writer"], writer_step)
        claimed = stepped = None
        if claims:
            listed = [
                {"source": claim.source, "digest": claim.digest.hex(), "retention": claim.retention}
                for claim in claims.values()
            ]
            claimed = await connection.execute(QUERIES["claim_singles"], {"claims": as_json(listed)})
        if steps:
            stepped = await connection.execute(QUERIES["advance_streams"], {"steps": as_json(list(steps.values()))})
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
    for table, write in TABLES.items():
        own = [segment for segment in kept if segment.rows and segment.table == table]
        if own:
            await write(connection, own, known[table], outcome)
    rejected = [row for segment in kept if segment.rejects for row in segment.rejected_rows()]
    if rejected:
        await _copy_rejected(connection, rejected)
    return outcome


async def find_repeats(connection: Connection, sources: Iterable[str]) -> dict[str, tuple[int, bytes]]:
    """Owners and digests of keys that were there before; no digest of a stream that is not complete."""
    listed = sorted(sources)
    if not listed:
        return {}
    cursor = await connection.execute(QUERIES["find_progress"], {"sources": as_json(listed)})
    return {
        source: (owner, bytes(digest) if complete else b"")
        for source, owner, _, complete, digest, *_ in await cursor.fetchall()
    }


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


async def _copy_rejected(connection: Connection, rows: list[RejectedRow]) -> None:
    async with connection.cursor() as cursor, cursor.copy(_REJECTED_COPY) as copy:
        copy.set_types(["timestamptz", "text", "int8", "text", "bytea", "int8"])
        for row in rows:
            await copy.write_row(row)
