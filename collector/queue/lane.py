"""A partition of the topic on its way into a writer: which records come next, and what segments they make."""

import asyncio
import itertools
from collections.abc import Iterator
from typing import TYPE_CHECKING

from collector.queue import ENDPOINT
from collector.queue.records import FROM_TOPIC, Received, Taken, take
from collector.segment import Segment, Source

if TYPE_CHECKING:
    from collector.writer import Writer


def source_of(topic: str, number: int) -> str:
    """The source in `progress` of a partition."""
    return f"kafka {topic} {number}"


class Lane:
    """A partition that is assigned to this consumer."""

    def __init__(self, topic: str, number: int, writer: "Writer", max_line_bytes: int) -> None:
        self.topic = topic
        self.number = number
        self.name = source_of(topic, number)
        """The source in `progress`."""
        self.writer = writer
        self.source: Source | None = None
        """None until it is taken."""
        self.position = 0
        """The offset of the next record."""
        self.flowing = False
        """Records from `position` on are asked for; what comes otherwise is not for this lane."""
        self.taking: asyncio.Task[None] | None = None
        self._max_line_bytes = max_line_bytes
        self._gap_at = -1
        """A position after which offsets seemed to be missing."""

    def segments(self, records: list[Received], now_ms: int) -> Iterator[Segment]:
        """The records from the position on. Offsets may be missing (compaction, the markers of transactions); that is
        believed when it is seen a second time, after a seek, for then nothing was lost on the way here. Where a seek is
        needed, the lane does not flow any more.
        """
        if [record[0] for record in records] == list(range(self.position, self.position + len(records))):
            yield self._segment(take(records, self._max_line_bytes), now_ms)
            return
        records = [record for record in records if record[0] >= self.position]
        missing = records[0][0] - self.position if records else 0
        if missing and self._gap_at == self.position:
            yield self._segment(Taken([], [], [], b"", missing), now_ms)
        numbered = enumerate(records, self.position)
        whole = [record for _, record in itertools.takewhile(lambda one: one[1][0] == one[0], numbered)]
        if whole:
            yield self._segment(take(whole, self._max_line_bytes), now_ms)
        if len(whole) < len(records):
            self._gap_at = self.position
            self.flowing = False

    def _segment(self, taken: Taken, now_ms: int) -> Segment:
        segment = Segment(self.source, ENDPOINT, now_ms, taken.rows, table=FROM_TOPIC)
        segment.indices, segment.rejects, segment.block = taken.indices, taken.rejects, taken.block
        segment.lines = taken.lines
        segment.first_line = self.position  # so that a rejected "line" is the record's offset
        segment.measure()
        self.position += taken.lines
        return segment
