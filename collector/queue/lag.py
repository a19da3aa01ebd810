"""How long the queue behind /payloads is, and how long its oldest payload has waited. Every process looks, whether it
consumes or not: that nobody does is what people most need to be told.
"""

import asyncio
import contextlib
from collections import deque
from typing import Protocol

from collector import metrics
from collector.errors import StoreError
from collector.store.reading import Store

EVERY_S = 5.0
LOOK_S = 3.0
"""What a look may take; then the last one stands."""
TABLE = "payload_queue"


class Gauge(Protocol):
    """Looks at a queue."""

    async def look(self) -> dict[str, tuple[int, float]]:
        """Of each source what waits, and the age of its oldest in seconds. Raises StoreError, TimeoutError."""


class TableGauge:
    """Of the table; not by the consumer's connection, which may hang."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def look(self) -> dict[str, tuple[int, float]]:
        """See `Gauge`."""
        async with asyncio.timeout(LOOK_S):
            return {TABLE: await self._store.queue_lag()}


class Marks:
    """Where a partition's end was, and when. What is at a position has waited at least since the end was seen beyond
    it; to know its very age, it would have to be read. Times are of a clock that only goes forward, in seconds.
    """

    KEPT = 500
    """Twice as many looks are not kept: of an hour and a half every one, of longer ago every other, and so on."""

    def __init__(self) -> None:
        self._ends: deque[tuple[float, int]] = deque()

    def age_s(self, now: float, position: int, end: int) -> float:
        """What is at `position` has waited for at least so long, where the end is at `end`; 0 where nothing waits."""
        ends = self._ends
        if ends and end < ends[-1][1]:  # the topic was made anew
            ends.clear()
        if not ends or end > ends[-1][1]:
            ends.append((now, end))
        while ends and ends[0][1] <= position:
            ends.popleft()
        if len(ends) > 2 * self.KEPT:
            self._ends = ends = deque([*list(ends)[: self.KEPT : 2], *list(ends)[self.KEPT :]])
        return now - ends[0][0] if ends else 0.0


async def watch(gauge: Gauge) -> None:
    """Look until it is cancelled."""
    while True:
        with contextlib.suppress(StoreError, TimeoutError):  # who writes there tells of it
            for source, (waiting, oldest_s) in (await gauge.look()).items():
                metrics.QUEUE_WAITING.labels(source).set(waiting)
                metrics.QUEUE_OLDEST.labels(source).set(oldest_s)
        await asyncio.sleep(EVERY_S)
