"""Bytes in, whole lines out, however the bytes were cut. Pure: no I/O, and memory is bounded by one line.

What comes out is a sequence of events: a `Block` of whole lines, or an `Overlong` line, of which only the beginning is
kept. Ended by a newline or by the end of the input; "needs more bytes" is simply no event.
"""

from collections.abc import Iterator

import msgspec


class Block(msgspec.Struct, frozen=True):
    """`lines` whole lines, each ended by a newline."""

    data: bytes
    lines: int


class Overlong(msgspec.Struct, frozen=True):
    """One line of `size_bytes` without its newline, of which `head` is the beginning."""

    head: bytes
    size_bytes: int


class Preamble(msgspec.Struct, frozen=True):
    """One line that is about the request, and none of its messages."""


Event = Block | Overlong
Part = Event | Preamble
"""What a stream of lines is made of."""


def lines_of(event: Part) -> int:
    """How many physical lines it is."""
    return event.lines if isinstance(event, Block) else 1


def first_line(block: Block) -> bytes:
    """The block's first line, without its newline."""
    return block.data[: block.data.index(b"\n")]


def after_first_line(block: Block) -> Block | None:
    """The rest of the block."""
    rest = block.data[block.data.index(b"\n") + 1 :]
    return Block(rest, block.lines - 1) if rest else None


class Lines:
    """Cuts a stream of bytes into lines of at most `max_line_bytes` (newline not counted)."""

    def __init__(self, max_line_bytes: int) -> None:
        self._max_bytes = max_line_bytes
        self._tail = b""
        self._skipped_bytes = 0
        """Bytes of the unfinished line that are not in `_tail`, which is then the head of an overlong line."""

    @property
    def unfinished(self) -> bool:
        """A line has begun, and not ended."""
        return bool(self._tail or self._skipped_bytes)

    def feed(self, data: bytes) -> Iterator[Event]:
        """The lines that these bytes complete."""
        if self._skipped_bytes:
            end = data.find(b"\n")
            if end < 0:
                self._skipped_bytes += len(data)
                return
            yield self._end_overlong(end)
            data = data[end + 1 :]
        last = data.rfind(b"\n")
        if last < 0:
            self._hold(self._tail + data)
            return
        whole = self._tail + data[: last + 1]
        self._hold(data[last + 1 :])
        yield from self._cut(whole)

    def close(self) -> Iterator[Event]:
        """The last line, where the input ended without a newline."""
        if self._skipped_bytes:
            yield self._end_overlong(0)
        elif self._tail:
            yield Block(self._tail + b"\n", 1)
            self._tail = b""

    def _hold(self, tail: bytes) -> None:
        self._tail = tail[: self._max_bytes]
        self._skipped_bytes = len(tail) - len(self._tail)

    def _end_overlong(self, more_bytes: int) -> Overlong:
        event = Overlong(self._tail, len(self._tail) + self._skipped_bytes + more_bytes)
        self._tail, self._skipped_bytes = b"", 0
        return event

    def _cut(self, whole: bytes) -> Iterator[Event]:
        """Whole lines as few blocks: hop by the longest line allowed, so that only a hop without a newline is looked
        at.
        """
        start = at = 0
        while at < len(whole):
            newline = whole.rfind(b"\n", at, at + self._max_bytes + 1)
            if newline < 0:
                if at > start:
                    yield self._block(whole[start:at])
                end = whole.index(b"\n", at)
                yield Overlong(whole[at : at + self._max_bytes], end - at)
                start = end + 1
                newline = end
            at = newline + 1
        if start == 0:
            yield self._block(whole)
        elif start < len(whole):
            yield self._block(whole[start:])

    @staticmethod
    def _block(data: bytes) -> Block:
        return Block(data, data.count(b"\n"))
