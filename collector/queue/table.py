"""The consumer of the embedded queue: moves rows of `payload_queue` into `payload`.

It looks for rows again and again rather than be told (LISTEN/NOTIFY): commits that notify go through one lock, one
after the other, and all who write here would wait for it. Ten looks a second at an empty table cost hardly anything.
"""

import asyncio
import contextlib
from typing import TYPE_CHECKING

import structlog
from prometheus_client import Counter

from collector import background, metrics
from collector.commit import BACKOFF_FIRST_S, BACKOFF_MAX_S
from collector.errors import RowRefused, StoreError
from collector.queue import ENDPOINT
from collector.recovery import recover_from
from collector.store.queue import Taker

if TYPE_CHECKING:
    from collector.service import Service

log = structlog.get_logger()

TAKE_ROWS = 5_000
"""Of one transaction: small enough that it holds locks on tokens for a fraction of a second only."""
POLL_S = 0.1
"""Between two looks at an empty queue."""
FIRST, LAST = 0, 2**63 - 1


class TableConsumer:
    """One task with a connection of its own."""

    def __init__(self) -> None:
        self._stopping = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def start(self, service: "Service") -> None:
        """Begin; the database need not be there yet."""
        self._service = service
        self._taker = Taker(service.url)
        self._task = background.run(self._run(), "the consumer")

    async def stop(self, timeout_s: float) -> None:
        """Finish the transaction under way. Where it is cut, it happens or it does not: the rows are in one table or
        the other.
        """
        self._stopping.set()
        if self._task is not None:
            await asyncio.wait([self._task], timeout=timeout_s)
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            await self._taker.close()

    async def _run(self) -> None:
        backoff_s = BACKOFF_FIRST_S
        moved = 0
        while not self._stopping.is_set():
            try:
                # A look is cheaper than to take nothing, and waits for nobody who has locked `payload`.
                if moved or await self._taker.peek(1, FIRST, LAST):
                    moved = await self._apply(TAKE_ROWS, FIRST, LAST)
                backoff_s = BACKOFF_FIRST_S
                pause_s = 0.0 if moved else POLL_S
            except StoreError as exc:
                log.warning("the queue waits", kind=type(exc).__name__, why=str(exc))
                await recover_from(exc, self._service.recover)
                pause_s, backoff_s = backoff_s, min(BACKOFF_MAX_S, backoff_s * 2)
            if pause_s:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._stopping.wait(), pause_s)

    async def _apply(self, limit: int, low: int, high: int) -> int:
        """Move up to `limit` rows from number `low` to `high`; returns how many. One that the database refuses is found
        by halving, and quarantined.
        """
        try:
            moved = await self._taker.apply(limit, low, high)
        except RowRefused as exc:
            if low == high:
                log.warning("row refused by the database", source="payload_queue", why=str(exc))
                return self._count(await self._taker.refuse(low, f"refused: {exc}"), metrics.REJECTED, "refused")
            numbers = await self._taker.peek(limit, low, high)
            half = (len(numbers) + 1) // 2
            return sum([await self._apply(len(part), part[0], part[-1]) for part in _halves(numbers, half)])
        return self._count(moved, metrics.STORED)

    @staticmethod
    def _count(rows: int, became: Counter, *labels: str) -> int:
        metrics.RECEIVED.labels(ENDPOINT).inc(rows)
        became.labels(ENDPOINT, *labels).inc(rows)
        return rows


def _halves(numbers: list[int], half: int) -> list[list[int]]:
    return [part for part in (numbers[:half], numbers[half:]) if part]
