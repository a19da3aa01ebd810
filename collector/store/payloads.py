"""Payloads: which of them start a session, and COPY into `payload`."""

from collections.abc import Iterable, Iterator

from collector.messages.payload import STARTING_MS, Payload
from collector.segment import Segment
from collector.store.copying import copy_blocks
from collector.store.queries import QUERIES
from collector.store.rows import PAYLOAD_COLUMNS, encode_csv, encode_text
from collector.store.transaction import Connection, KnownKeys, Outcome, as_json

Block = tuple[list[Payload], int, bool]
"""Rows, their moment of reception in epoch milliseconds, and whether each starts a session."""

_COPY = f"COPY payload ({', '.join(PAYLOAD_COLUMNS)}) FROM STDIN"


async def write(connection: Connection, segments: list[Segment], known: KnownKeys, outcome: Outcome) -> None:
    """Write the payloads; each token's first one in session_token starts its session."""
    outcome.learned["payload"] = await store(connection, segments, known)


async def store(connection: Connection, segments: list[Segment], known: KnownKeys) -> list[str]:
    """The same, for whatever table's writer; returns the tokens that are in session_token once this is committed.

    Most rows start nothing. They go first, and which ones may start a session is found out on the way, while the
    database is at work; their tokens are locked for the shorter, too.
    """
    candidates: list[tuple[int, list[Payload]]] = []
    await _copy(connection, _without_candidates(segments, known, candidates))
    if not candidates:
        return []
    tokens = sorted({row.token for _, rows in candidates for row in rows})
    cursor = await connection.execute(QUERIES["start_tokens"], {"tokens": as_json(tokens)})
    await _copy(connection, _by_started(candidates, {token for (token,) in await cursor.fetchall()}))
    return tokens


def learned(rows: list[Payload]) -> list[str]:
    """Tokens that are in session_token once the rows are committed."""
    return [row.token for row in rows if row.session_duration < STARTING_MS]


def small_batch(rows: list[Payload], known: KnownKeys) -> dict[str, object]:
    """Parameters of `write_payload_singles` that only payloads have."""
    candidates = [row.session_duration < STARTING_MS and row.token not in known for row in rows]
    return {"candidates": as_json(candidates)}


def _without_candidates(
    segments: list[Segment], known: KnownKeys, candidates: list[tuple[int, list[Payload]]]
) -> Iterator[Block]:
    """Rows of each segment that start no session for certain; the others go into `candidates`, with their moment of
    reception.
    """
    for segment in segments:
        rows: list[Payload] = segment.rows
        maybe = [row for row in rows if row.session_duration < STARTING_MS and row.token not in known]
        if maybe:
            candidates.append((segment.received_ms, maybe))
            left_out = set(map(id, maybe))
            rows = [row for row in rows if id(row) not in left_out]
        if rows:
            yield rows, segment.received_ms, False


def _by_started(candidates: list[tuple[int, list[Payload]]], started: set[str]) -> Iterator[Block]:
    """The candidates as blocks: of each token that has started its session now, the first one did."""
    for received_ms, rows in candidates:
        others = []
        starting = []
        for row in rows:
            if row.token in started:
                started.remove(row.token)
                starting.append(row)
            else:
                others.append(row)
        for block, begins in ((others, False), (starting, True)):
            if block:
                yield block, received_ms, begins


async def _copy(connection: Connection, blocks: Iterable[Block]) -> None:
    await copy_blocks(
        connection,
        _COPY,
        blocks,
        lambda block: encode_csv(block[0], block[1], started=block[2]),
        lambda block: encode_text(block[0], block[1], started=block[2]),
    )
