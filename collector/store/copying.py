"""COPY of blocks of rows, whatever table they are for."""

from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

import msgspec

from collector.segment import Segment
from collector.store.rows import CSV_OPTIONS, as_csv, as_text, timestamp
from collector.store.transaction import COPY_BYTES, Connection, KnownKeys, Outcome

Write = Callable[[Connection, list[Segment], KnownKeys, Outcome], Awaitable[None]]
"""A table's part of the one transaction: gets the segments that have rows for it and are not left out, and adds to the
outcome what it found.
"""

Block = TypeVar("Block")


async def copy_blocks(
    connection: Connection,
    statement: str,
    blocks: Iterable[Block],
    csv: Callable[[Block], bytes | None],
    text: Callable[[Block], bytes],
) -> None:
    """COPY the blocks: as CSV, and those which `csv` does not take (it says None) afterwards as `text`. `statement` is
    the COPY without its format.
    """
    escaped: list[Block] = []
    async with connection.cursor() as cursor:
        async with cursor.copy(f"{statement} ({CSV_OPTIONS})".encode()) as copy:
            pending: list[bytes] = []
            pending_bytes = 0
            for block in blocks:
                data = csv(block)
                if data is None:
                    escaped.append(block)
                    continue
                pending.append(data)
                pending_bytes += len(data)
                if pending_bytes >= COPY_BYTES:
                    await copy.write(b"".join(pending))
                    pending, pending_bytes = [], 0
            await copy.write(b"".join(pending))
        if escaped:
            async with cursor.copy(statement.encode()) as copy:
                for block in escaped:
                    await copy.write(text(block))


def copied(table: str, columns: tuple[str, ...]) -> Write:
    """For rows that become what they are: a column for each field in its order, and the moment of reception."""
    statement = 'COPY {} ("{}") FROM STDIN'.format(table, '", "'.join(columns))

    async def write(connection: Connection, segments: list[Segment], known: KnownKeys, outcome: Outcome) -> None:
        blocks = (
            ([msgspec.structs.astuple(row) for row in segment.rows], (timestamp(segment.received_ms).isoformat(),))
            for segment in segments
        )
        await copy_blocks(connection, statement, blocks, lambda block: as_csv(*block), lambda block: as_text(*block))

    return write
