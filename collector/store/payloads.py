"""Payloads: which of them start a session, and COPY into `payload`."""

from collections.abc import Iterator

from collector.batch import Segment
from collector.messages.payload import STARTING_MS, Payload
from collector.rows import PAYLOAD_COLUMNS, encode_csv, encode_text
from collector.store.copying import copy_blocks
from collector.store.queries import QUERIES
from collector.store.transaction import Connection, KnownKeys, Outcome, as_json

_COPY = f"COPY payload ({', '.join(PAYLOAD_COLUMNS)}) FROM STDIN"


async def write(connection: Connection, segments: list[Segment], known: KnownKeys, outcome: Outcome) -> None:
    """Write the payloads; each token's first one in session_token starts its session."""
    outcome.learned["payload"] = await store(connection, segments, known)


async def store(connection: Connection, segments: list[Segment], known: KnownKeys) -> list[str]:
    """The same, for whatever table's writer; returns the tokens that are in session_token once this is committed."""
    candidates = _candidates(segments, known)
    tokens = sorted(candidates)
    await _copy(connection, segments, await _started(connection, tokens, candidates))
    return tokens


def learned(rows: list[Payload]) -> list[str]:
    """Tokens that are in session_token once the rows are committed."""
    return [row.token for row in rows if row.session_duration < STARTING_MS]


def small_batch(rows: list[Payload], known: KnownKeys) -> dict[str, object]:
    """Parameters of `write_payload_singles` that only payloads have."""
    candidates = [row.session_duration < STARTING_MS and row.token not in known for row in rows]
    return {"candidates": as_json(candidates)}


def _candidates(segments: list[Segment], known: KnownKeys) -> dict[str, tuple[int, int]]:
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
        cursor = await connection.execute(QUERIES["start_tokens"], {"tokens": as_json(tokens)})
        for number, at in sorted([candidates[token] for (token,) in await cursor.fetchall()]):
            started.setdefault(number, []).append(at)
    return started


async def _copy(connection: Connection, segments: list[Segment], started: dict[int, list[int]]) -> None:
    await copy_blocks(
        connection,
        _COPY,
        _by_started(segments, started),
        lambda block: encode_csv(block[0], block[1], started=block[2]),
        lambda block: encode_text(block[0], block[1], started=block[2]),
    )


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
