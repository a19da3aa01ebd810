"""A small batch of single payloads, as one statement that is a transaction of its own.

A busy process comes back to its connection late, so that every answer it waits for costs more than the statement.
"""

import msgspec

from collector.batch import Segment
from collector.errors import WriterFenced
from collector.messages import STARTING_MS, Payload
from collector.store.queries import QUERIES
from collector.store.writing import Connection, KnownTokens, Outcome, find_repeats

SMALL_BATCH_ROWS = 500
"""Above this the rows themselves cost most, and COPY takes them faster."""

_encoder = msgspec.json.Encoder()


def is_small(segments: list[Segment]) -> bool:
    """Whether the batch is one for `write_singles`."""
    return all(segment.source is None for segment in segments) and (
        sum(len(segment.rows) for segment in segments) <= SMALL_BATCH_ROWS
    )


async def write_singles(
    connection: Connection, writer_step: dict[str, object], segments: list[Segment], known: KnownTokens, owner: int
) -> set[str]:
    """The whole transaction; `owner` marks the keys that it takes. Returns the keys that are new.

    Raises WriterFenced, where nothing was written, and the driver's errors; with a broken connection it is not known
    whether the transaction happened.
    """
    parameters = _parameters(segments, known) | writer_step | {"owner": owner}
    cursor = await connection.execute(QUERIES["write_singles"], parameters)
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
    outcome.tokens = [
        row.token
        for segment in segments
        if segment.claim is None or segment.claim.source in new
        for row in segment.rows
        if row.session_duration < STARTING_MS
    ]
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


def _parameters(segments: list[Segment], known: KnownTokens) -> dict[str, object]:
    """The payloads, and what belongs to each, in lists of the same length."""
    rows: list[Payload] = []
    received: list[int] = []
    claims: list[str | None] = []
    digests: list[str | None] = []
    for segment in segments:
        count = len(segment.rows)
        rows += segment.rows
        received += [segment.received_ms] * count
        claims += [segment.claim.source if segment.claim else None] * count
        digests += [segment.claim.digest.hex() if segment.claim else None] * count
    return {
        "payloads": _json(rows),
        "received": _json(received),
        "candidates": _json([row.session_duration < STARTING_MS and row.token not in known for row in rows]),
        "claims": _json(claims),
        "digests": _json(digests),
    }


def _json(document: object) -> str:
    return _encoder.encode(document).decode()
