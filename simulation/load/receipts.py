"""What receipts say about the lines of one stream. Pure: no I/O, and only this module books a stream's lines.

A receipt tells how many lines are committed and how many of those were rejected, not which ones. As long as the second
number stays the same, all lines in between are stored and are booked at once; where it rises, they are held back until
the summary names the rejected ones.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

import msgspec
from msgspec import Struct

from simulation.load.books import Books, Scheduled


class LineError(Struct):
    """A rejected line, as the summary names it."""

    line: int
    detail: str = ""


class Answer(Struct):
    """A line of the answer: a receipt has `committed`, the summary has `accepted`."""

    committed: int | None = None
    accepted: int | None = None
    rejected: int = 0
    errors: list[LineError] = []


class Problem(Struct):
    """What is worth showing of an RFC 9457 problem."""

    title: str = ""
    detail: str = ""


class Refusal(Exception):
    """The stream cannot go on: the collector has refused it, or says what cannot be true."""

    def __init__(self, kind: str, detail: str) -> None:
        super().__init__(f"{kind}: {detail}")
        self.kind = kind
        self.detail = f"{kind} {detail}"

    @classmethod
    def of(cls, status: int, body: bytes) -> Refusal:
        """From an answer that is no success."""
        try:
            problem = msgspec.json.decode(body, type=Problem)
            return cls(str(status), problem.detail or problem.title)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return cls(str(status), body[:200].decode(errors="replace"))


class Receipts:
    """The lines of one stream that were written: those without a receipt in `open`, in order.

    `preamble`: the stream's first line is about the request and carries no message; it is a line in receipts, and not
    one in the summary's `accepted`.
    """

    def __init__(self, books: Books, *, preamble: bool = False) -> None:
        self.open: deque[Scheduled] = deque()
        self.committed = 0
        self._preamble = int(preamble)
        self._books = books
        self._rejected = 0
        self._held: dict[int, Scheduled] = {}  # committed lines, of which some are rejected, by line number

    @property
    def lines(self) -> int:
        """Lines written so far, committed or not."""
        return max(self.committed, self._preamble) + len(self.open)

    def read(self, line: bytes) -> bool:
        """Take in a line of the answer; True if it is the summary. Refusal where it makes no sense."""
        try:
            answer = msgspec.json.decode(line, type=Answer)
        except (msgspec.DecodeError, UnicodeDecodeError) as exc:
            raise Refusal("receipt", f"cannot be read: {exc}") from exc
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
        clean = rejected == self._rejected
        while self.committed < committed:
            self.committed += 1
            if self.committed <= self._preamble:
                continue
            item = self.open.popleft()
            if clean:
                self._books.acknowledged("stream", item)
            else:
                self._held[self.committed] = item
        self._rejected = rejected

    def finish(self, rejected: int, errors: list[LineError], accepted: int | None = None) -> None:
        """The whole stream is dealt with. Lines that were held back and stay unnamed are unknown, if any is."""
        total = self.lines
        if accepted is not None and accepted + rejected != total - self._preamble:
            messages = total - self._preamble
            raise Refusal("summary", f"{accepted} accepted and {rejected} rejected of {messages} lines")
        self.receipt(total, rejected)
        named = {error.line for error in errors}
        all_named = len(named) == rejected
        for number, item in self._held.items():
            if number in named:
                self._books.rejected(item)
            elif all_named:
                self._books.acknowledged("stream", item)
            else:
                self._books.unknown(item)
        self._held.clear()
        for error in errors:
            self._books.meter.error("line", f"line {error.line}: {error.detail}")

    def unsettled(self) -> Iterator[Scheduled]:
        """Lines of which it is not known yet what becomes of them."""
        yield from self._held.values()
        yield from self.open

    def abandon(self) -> None:
        """No more answers will come: whatever was written and not acknowledged is unknown."""
        for item in self.unsettled():
            self._books.unknown(item)
        self._held.clear()
        self.open.clear()
