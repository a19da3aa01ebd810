"""A small batch of single payloads, as one statement that is a transaction of its own.

A busy process comes back to its connection late, so that every answer it waits for costs more than the statement.
"""

from collections.abc import Callable
from typing import Any

import msgspec

from collector.errors import WriterFenced
from collector.segment import Segment
from collector.store import hits, payloads, queue
from collector.store.queries import QUERIES
from collector.store.transaction import Connection, Known, KnownKeys, Outcome, as_json
from collector.store.writing import find_repeats

SMALL_BATCH_ROWS = 500
"""Above this the rows themselves cost most, and COPY takes them faster."""


class Small(msgspec.Struct, frozen=True):
    """How a table takes a small batch: the statement's name, its parameters beside the common ones (`rows`, `received`,
    `claims`, `digests`: lists with an element a row), and the keys that are known once the rows are committed.
    """

    query: str
    parameters: Callable[[list[Any], KnownKeys], dict[str, object]]
    learned: Callable[[list[Any]], list[str]]


SMALL = {
    "payload": Small("write_payload_singles", payloads.small_batch, payloads.learned),
    "payload_queue": Small("write_queue_singles", queue.small_batch, queue.learned),
    "hit": Small("write_hit_singles", hits.small_batch, hits.learned),
}


def is_small(segments: list[Segment]) -> bool:
    """Whether the batch is one for `write_singles`, which knows keys only as requests have them."""
    table = segments[0].table
    return (
        table in SMALL
        and all(segment.source is None and segment.table == table for segment in segments)
        and all(segment.claim is None or segment.claim.retention == "keys" for segment in segments)
        and sum(len(segment.rows) for segment in segments) <= SMALL_BATCH_ROWS
    )


async def write_singles(
    connection: Connection, writer_step: dict[str, object], segments: list[Segment], known: Known, owner: int
) -> set[str]:
    """The whole transaction; `owner` marks the keys that it takes. Returns the keys that are new.

    Raises WriterFenced, where nothing was written, and the driver's errors; with a broken connection it is not known
    whether the transaction happened.
    """
    table = segments[0].table
    small = SMALL[table]
    rows = [row for segment in segments for row in segment.rows]
    parameters = _parameters(segments, rows) | small.parameters(rows, known[table]) | writer_step | {"owner": owner}
    cursor = await connection.execute(QUERIES[small.query], parameters)
    row = await cursor.fetchone()
    assert row is not None
    advanced, sources = row
    if not advanced:
        raise WriterFenced("the writer's progress row is gone, or another connection has taken it")
    return set(sources)


async def outcome_of_singles(connection: Connection, segments: list[Segment], new: set[str]) -> Outcome:
    """What a committed transaction of `write_singles` found, by the keys that were new to it."""
    digests = _digests(segments)
    outcome = Outcome(repeats=await _repeats(connection, {key: digests[key] for key in digests.keys() - new}))
    table = segments[0].table
    stored = [
        row for segment in segments if segment.claim is None or segment.claim.source in new for row in segment.rows
    ]
    outcome.learned[table] = SMALL[table].learned(stored)
    return outcome


async def recall_singles(connection: Connection, segments: list[Segment], owner: int) -> Outcome:
    """The same from the table alone: keys of another owner were there before."""
    return Outcome(repeats=await _repeats(connection, _digests(segments), but_of=owner))


async def _repeats(connection: Connection, digests: dict[str, bytes], *, but_of: int = 0) -> dict[str, bytes]:
    """A key that housekeeping has forgotten just now cannot be compared any more: it counts as the same content."""
    found = await find_repeats(connection, digests.keys())
    return {
        key: found[key][1] if key in found else digest
        for key, digest in digests.items()
        if not but_of or key not in found or found[key][0] != but_of
    }


def _digests(segments: list[Segment]) -> dict[str, bytes]:
    return {segment.claim.source: segment.claim.digest for segment in segments if segment.claim}


def _parameters(segments: list[Segment], rows: list[Any]) -> dict[str, object]:
    """The messages, and what belongs to each, in lists of the same length."""
    received: list[int] = []
    claims: list[str | None] = []
    digests: list[str | None] = []
    for segment in segments:
        count = len(segment.rows)
        received += [segment.received_ms] * count
        claims += [segment.claim.source if segment.claim else None] * count
        digests += [segment.claim.digest.hex() if segment.claim else None] * count
    return {
        "rows": as_json(rows),
        "received": as_json(received),
        "claims": as_json(claims),
        "digests": as_json(digests),
    }
