"""What is waiting to be written, and the bounds on its rows, bytes and age. Pure: no I/O.

A `Backlog` holds segments in the order they came, until their transaction is committed.
"""

from asyncio import Future
from collections import deque
from collections.abc import Iterable

import msgspec

from collector.segment import LINE_COST_BYTES, SEGMENT_COST_BYTES, SINGLE_COST_BYTES, Segment

SINGLES_BYTES = 256 * 1024
"""Of a segment of single messages, over which the next begins another: a batch is whole segments."""


class Backlog:
    """Segments in the order they came, bounded; what is being written still counts until it is released."""

    def __init__(self, max_rows: int, max_bytes: int) -> None:
        self._max_rows = max_rows
        self._max_bytes = max_bytes
        self._queue: deque[Segment] = deque()
        self.rows = 0
        self.bytes = 0

    def __len__(self) -> int:
        return len(self._queue)

    @property
    def full(self) -> bool:
        """Producers must wait."""
        return self.rows >= self._max_rows or self.bytes >= self._max_bytes

    @property
    def oldest_at(self) -> float | None:
        """When the first segment that is not being written was put."""
        return self._queue[0].put_at if self._queue else None

    def add(self, segment: Segment, now: float) -> None:
        """Put a segment at the end; `now` on the monotonic clock."""
        segment.put_at = now
        segment.measure()
        self._count(segment, 1)
        self._queue.append(segment)

    def add_single(
        self,
        row: msgspec.Struct,
        size_bytes: int,
        endpoint: str,
        table: str,
        received_ms: int,
        waiter: "Future[bool]",
        now: float,
    ) -> None:
        """Put a single payload that had so many bytes, beside those of the same millisecond."""
        last = self._queue[-1] if self._queue else None
        if (
            last is None
            or last.received_ms != received_ms
            or last.source
            or last.claim
            or last.endpoint != endpoint
            or last.singles_bytes > SINGLES_BYTES
        ):
            last = Segment(None, endpoint, received_ms, [], table=table)
            last.put_at = now
            last.size_bytes = SEGMENT_COST_BYTES
            self.bytes += SEGMENT_COST_BYTES
            self._queue.append(last)
        last.rows.append(row)
        last.waiters.append(waiter)
        last.singles_bytes += size_bytes
        cost_bytes = LINE_COST_BYTES + SINGLE_COST_BYTES + size_bytes
        last.size_bytes += cost_bytes
        self.rows += 1
        self.bytes += cost_bytes

    def reaches(self, max_rows: int, max_bytes: int) -> bool:
        """Whether what waits fills a batch."""
        return self.rows >= max_rows or self.bytes >= max_bytes

    def take(self, max_rows: int, max_bytes: int) -> list[Segment]:
        """The next batch: whole segments, at least one where any waits."""
        batch: list[Segment] = []
        rows = size_bytes = 0
        while self._queue:
            segment = self._queue[0]
            rows += segment.count
            # What a segment costs by itself is memory, not work for the database.
            size_bytes += segment.size_bytes - SEGMENT_COST_BYTES
            if batch and (rows > max_rows or size_bytes > max_bytes):
                break
            batch.append(self._queue.popleft())
        return batch

    def release(self, segments: Iterable[Segment]) -> None:
        """These are committed, or given up."""
        for segment in segments:
            self._count(segment, -1)

    def expire(self, put_before: float) -> list[Segment]:
        """Take out the single payloads that have waited since before then."""
        overdue = [segment for segment in self._queue if segment.waiters and segment.put_at < put_before]
        if overdue:
            gone = set(map(id, overdue))
            self._queue = deque(segment for segment in self._queue if id(segment) not in gone)
            self.release(overdue)
        return overdue

    def drop_all(self) -> list[Segment]:
        """Take out everything that is not being written."""
        dropped = list(self._queue)
        self._queue.clear()
        self.release(dropped)
        return dropped

    def _count(self, segment: Segment, sign: int) -> None:
        self.rows += sign * segment.count
        self.bytes += sign * segment.size_bytes
