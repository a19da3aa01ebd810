"""What receipts say about the lines of one stream. Pure: no I/O, and only this module books a stream's lines.

A receipt tells how many lines are committed and how many of those were rejected, not which ones. As long as the second
number rises by as many lines as were broken on purpose, all others in between are stored and are booked at once; where
it rises by more, they are held back until the summary names the rejected ones.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

import msgspec
from msgspec import Struct

from simulation.load.books import Books, Scheduled
from simulation.load.junk import Junk
from simulation.load.problem import told
from simulation.load.retry import RETRIED_STATUS, TAKEN_OVER, Again


class LineError(Struct):
    """A rejected line, as the summary names it."""

    line: int
    detail: str = ""


class Answer(Struct):
    """A line of the answer: a receipt has `committed`, the summary `accepted`, and a problem on the way a `status`."""

    status: int | None = None

    committed: int | None = None
    accepted: int | None = None
    rejected: int = 0
    errors: list[LineError] = []


class Refusal(Exception):
    """The stream cannot go on: the collector has refused it, or says what cannot be true."""

    def __init__(self, kind: str, detail: str) -> None:
        super().__init__(f"{kind}: {detail}")
        self.kind = kind
        self.detail = f"{kind} {detail}"

    @classmethod
    def of(cls, status: int, body: bytes) -> Refusal:
        """From an answer that is no success."""
        return cls(str(status), told(body))


class Receipts:
    """The lines of one stream that were written: those without a receipt in `open`, in order.

    `preamble`: the stream's first line is about the request and carries no message; it is a line in receipts, and not
    one in the summary's `accepted`.
    """

    def __init__(self, books: Books, *, preamble: bool = False) -> None:
        self.open: deque[Scheduled | Junk] = deque()
        self.committed = 0
        self._preamble = int(preamble)
        self._books = books
        self._rejected = 0
        self._blank = 0  # of the committed lines
        self._broken: set[int] = set()  # committed lines that nobody should have accepted
        self._held: dict[int, Scheduled] = {}  # committed lines, of which some are rejected, by line number

    @property
    def lines(self) -> int:
        """Lines written so far, committed or not."""
        return max(self.committed, self._preamble) + len(self.open)

    def read(self, line: bytes) -> bool:
        """Take in a line of the answer; True if it is the summary. Refusal where it makes no sense, or the
        stream cannot go on; Again where it can.
        """
        try:
            answer = msgspec.json.decode(line, type=Answer)
        except (msgspec.DecodeError, UnicodeDecodeError) as exc:
            raise Refusal("receipt", f"cannot be read: {exc}") from exc
        if answer.status is not None:
            if answer.status in RETRIED_STATUS or answer.status == TAKEN_OVER:
                raise Again(str(answer.status))
            raise Refusal.of(answer.status, line)
        if answer.accepted is not None:
            self.finish(answer.rejected, answer.errors, answer.accepted)
            return True
        if answer.committed is None:
            raise Refusal("receipt", f"neither receipt nor summary: {line[:100].decode(errors='replace')}")
        self.receipt(answer.committed, answer.rejected)
        return False

    def receipt(self, committed: int, rejected: int) -> None:
        """`committed` lines of the stream are dealt with, of which `rejected` are not stored."""
        if committed > self.lines:
            raise Refusal("receipt", f"{committed} lines committed where {self.lines} were sent")
        if committed < self.committed or rejected < self._rejected:
            raise Refusal("receipt", f"went back from {self.committed} to {committed} lines")
        lines, broken = self._take(committed)
        if rejected - self._rejected < broken:
            self._books.meter.error("broken", f"{broken - rejected + self._rejected} broken lines were accepted")
        clean = rejected - self._rejected == broken
        for number, item in lines:
            if clean:
                self._books.acknowledged("stream", item)
            else:
                self._held[number] = item
        self._rejected = rejected

    def _take(self, committed: int) -> tuple[list[tuple[int, Scheduled]], int]:
        """The messages among the lines up to `committed`, with their numbers; and how many lines are broken."""
        lines: list[tuple[int, Scheduled]] = []
        broken = 0
        while self.committed < committed:
            self.committed += 1
            if self.committed <= self._preamble:
                continue
            item = self.open.popleft()
            if isinstance(item, Scheduled):
                lines.append((self.committed, item))
            elif item.blank:
                self._blank += 1
            else:
                broken += 1
                self._broken.add(self.committed)
        return lines, broken

    def finish(self, rejected: int, errors: list[LineError], accepted: int | None = None) -> None:
        """The whole stream is dealt with. Lines that were held back and stay unnamed are unknown, if any is."""
        blank = self._blank + sum(isinstance(item, Junk) and item.blank for item in self.open)
        messages = self.lines - self._preamble - blank
        if accepted is not None and accepted + rejected != messages:
            raise Refusal("summary", f"{accepted} accepted and {rejected} rejected of {messages} lines")
        self.receipt(self.lines, rejected)
        named = {error.line for error in errors} - self._broken
        all_named = len(named) + len(self._broken) == rejected
        for number, item in self._held.items():
            if number in named:
                self._books.rejected(item)
            elif all_named:
                self._books.acknowledged("stream", item)
            else:
                self._books.unknown(item)
        self._held.clear()
        for error in errors:
            if error.line in named:
                self._books.meter.error("line", f"line {error.line}: {error.detail}")

    def unsettled(self) -> Iterator[Scheduled]:
        """Lines of which it is not known yet what becomes of them."""
        yield from self._held.values()
        yield from (item for item in self.open if isinstance(item, Scheduled))

    def abandon(self) -> None:
        """No more answers will come: whatever was written and not acknowledged is unknown."""
        for item in self.unsettled():
            self._books.unknown(item)
        self._held.clear()
        self.open.clear()
