"""Rows on their way to the writer, who they came from, and whose key they take: what one read of a request gave, or the
single payloads of one millisecond. Pure: no I/O.
"""

from asyncio import Future
from collections.abc import Callable
from typing import Any

import msgspec

from collector.errors import Problem
from collector.messages.decoding import RAW_KEPT_BYTES, Reject
from collector.progress import Digest
from collector.store.rows import RejectedRow, timestamp

ERRORS_SPELLED_OUT = 100
"""Of a summary; the rest is in `rejected`."""
LINE_COST_BYTES = 100
"""What a row costs beside its own bytes: its objects, roughly."""
SINGLE_COST_BYTES = 200
"""What a single message costs more than a line: its request, which waits for it."""
SEGMENT_COST_BYTES = 700
"""What a segment costs by itself: matters where a client sends line by line, or blank lines only."""


class Source:
    """A request's lines as the writer sees them: what is committed of them, and why no more can be.

    `name` is the source in `progress` and `rejected`; `owner` is 0 where the request has no key. Counts are of the
    whole stream, by earlier requests too. `changed` is called after every commit and failure.
    """

    def __init__(
        self, name: str, endpoint: str, *, owner: int = 0, committed: int = 0, accepted: int = 0, rejected: int = 0
    ) -> None:
        self.name = name
        self.endpoint = endpoint
        self.owner = owner
        self.committed = committed
        self.accepted = accepted
        self.rejected = rejected
        self.errors: list[tuple[int, str]] = []
        self.waiting = 0
        """Segments that are put and neither committed nor given up."""
        self.failure: Problem | None = None
        self.gap = False
        """A segment was given up: none after it may be stored, for `committed` counts lines without a gap."""
        self.changed: Callable[[], None] = _nothing

    def summary(self) -> dict[str, object]:
        """The answer's members for lines, as the contract has them."""
        errors = [{"line": line, "detail": detail} for line, detail in self.errors]
        return {"accepted": self.accepted, "rejected": self.rejected, "errors": errors}


def _nothing() -> None:
    pass


class Claim(msgspec.Struct, frozen=True):
    """A single payload's Idempotency-Key: the source it takes in `progress`, the digest of its content, and how long it
    is known (`collector.database.retention`).
    """

    source: str
    digest: bytes
    retention: str = "keys"


class Segment:
    """Rows and rejects that came together, to be committed together.

    `table` says what becomes of the rows (`store.tables`). `lines` physical lines from `first_line` (counted from 1)
    on; `block` their bytes; `indices` the line of each row within the block, None for one row a line. `digest` is the
    state of a keyed stream's digest after the segment, `digest_before` the one before it. `waiters` are single
    messages' requests, one a row; they get whether the row was there before; `singles_bytes` were received for them.
    `skew_ms` is what times were corrected by.
    """

    __slots__ = (
        "block",
        "claim",
        "complete",
        "digest",
        "digest_before",
        "endpoint",
        "first_line",
        "indices",
        "lines",
        "put_at",
        "received_ms",
        "rejects",
        "rows",
        "singles_bytes",
        "size_bytes",
        "skew_ms",
        "source",
        "table",
        "waiters",
    )

    def __init__(
        self, source: Source | None, endpoint: str, received_ms: int, rows: list[Any], *, table: str = "payload"
    ) -> None:
        self.source = source
        self.endpoint = endpoint
        self.table = table
        self.received_ms = received_ms
        self.rows = rows
        self.rejects: list[Reject] = []
        self.indices: list[int] | None = None
        self.block = b""
        self.lines = 0
        self.first_line = 1
        self.digest = b""
        self.digest_before = b""
        self.complete = False
        self.claim: Claim | None = None
        self.waiters: list[Future[bool]] = []
        self.singles_bytes = 0
        self.size_bytes = 0
        self.skew_ms = 0
        self.put_at = 0.0

    @property
    def count(self) -> int:
        """Rows for the database: accepted and rejected ones."""
        return len(self.rows) + len(self.rejects)

    def measure(self) -> None:
        """Fix `size_bytes`, once the segment is what it will be."""
        own_bytes = len(self.block) + len(self.digest) + len(self.digest_before) + self.singles_bytes
        rows_cost_bytes = LINE_COST_BYTES * self.count + SINGLE_COST_BYTES * len(self.waiters)
        self.size_bytes = SEGMENT_COST_BYTES + own_bytes + rows_cost_bytes

    def rejected_rows(self) -> list[RejectedRow]:
        """The rejects as rows of the table `rejected`."""
        name = self.source.name if self.source else ""
        at = timestamp(self.received_ms)
        return [
            (
                at,
                name,
                self.first_line + reject.index,
                f"{reject.reason}: {reject.detail}".replace("\0", "\\0"),
                reject.raw,
                self.skew_ms or None,
            )
            for reject in self.rejects
        ]

    def halves(self) -> list["Segment"]:
        """The segment as two, cut between lines (or between single payloads); itself where it has only one row."""
        if self.source is None:
            half = len(self.rows) // 2
            return [self._singles(0, half), self._singles(half, len(self.rows))] if half else [self]
        if self.lines < 2:
            return [self]
        half = self.lines // 2
        cut = 0
        for _ in range(half):
            cut = self.block.index(b"\n", cut) + 1
        return [self._lines(0, half, 0, cut), self._lines(half, self.lines, cut, len(self.block))]

    def refused(self, detail: str) -> "Segment":
        """The same line, as one that the database refuses."""
        index = self.indices[0] if self.indices else 0
        raw = (self.block[:-1] if self.block else msgspec.json.encode(self.rows[0]))[:RAW_KEPT_BYTES]
        segment = self._lines(0, self.lines, 0, len(self.block))
        segment.rows, segment.indices = [], []
        segment.rejects = [Reject(index, "refused", detail, raw)]
        segment.measure()
        return segment

    def _singles(self, start: int, stop: int) -> "Segment":
        part = Segment(None, self.endpoint, self.received_ms, self.rows[start:stop], table=self.table)
        part.waiters = self.waiters[start:stop]
        part.claim, part.put_at = self.claim, self.put_at
        part.singles_bytes = self.singles_bytes * len(part.rows) // len(self.rows)
        part.measure()
        return part

    def _lines(self, start: int, stop: int, cut: int, end: int) -> "Segment":
        indices = self.indices if self.indices is not None else list(range(len(self.rows)))
        chosen = [at for at, index in enumerate(indices) if start <= index < stop]
        rows = [self.rows[at] for at in chosen]
        part = Segment(self.source, self.endpoint, self.received_ms, rows, table=self.table)
        part.indices = [indices[at] - start for at in chosen]
        part.rejects = [
            msgspec.structs.replace(reject, index=reject.index - start)
            for reject in self.rejects
            if start <= reject.index < stop
        ]
        part.block, part.lines, part.first_line = self.block[cut:end], stop - start, self.first_line + start
        part.skew_ms = self.skew_ms
        part.complete = self.complete and stop == self.lines
        part.digest = part.digest_before = b""
        if self.digest:
            digest = Digest(self.digest_before)
            digest.update(self.block[:cut])
            part.digest_before = digest.state()
            digest.update(part.block)
            part.digest = self.digest if stop == self.lines else digest.state()
        part.put_at = self.put_at
        part.measure()
        return part
