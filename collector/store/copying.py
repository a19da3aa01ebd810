"""COPY of blocks of rows, whatever table they are for."""

from collections.abc import Callable, Iterable
from typing import TypeVar

from collector.store.transaction import COPY_BYTES, Connection

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
        async with cursor.copy(f"{statement} (FORMAT csv)".encode()) as copy:
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
