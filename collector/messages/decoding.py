"""Decoding: a block of lines into rows and rejects. Pure: no I/O.

Decoding goes fast first: one call for a whole block. That call does not know about lines (it takes a value that spans
two lines, and two values on one line), so it counts only where the block's shape proves that every line holds one
object; whatever else comes is decoded line by line, which gives each bad line its own reason and leaves its neighbours
alone.
"""

import re
from collections.abc import Callable
from typing import Any, Generic, Protocol, TypeVar

import msgspec

from collector.errors import BadRequest

RAW_KEPT_BYTES = 64 * 1024
"""Of a rejected line, as the contract has it."""

Row = TypeVar("Row", bound=msgspec.Struct)
Reason = tuple[str, str]
"""Why a line cannot be accepted: a reason for counting and one for people."""


class Reject(msgspec.Struct, gc=False, frozen=True):
    """A line that cannot be accepted: its index in its block, a reason for counting and one for people."""

    index: int
    reason: str
    detail: str
    raw: bytes


class Decoded(msgspec.Struct):
    """A decoded block: its rows, the index of the line of each (None: one row a line, in order), and the lines left
    out.
    """

    rows: list[Any]
    indices: list[int] | None
    rejects: list[Reject]


def without(decoded: Decoded, wrong: dict[int, Reason], block: bytes) -> Decoded:
    """The same, with these rows, by their number, as rejects."""
    indices = decoded.indices if decoded.indices is not None else list(range(len(decoded.rows)))
    lines = block.split(b"\n")
    rejects = decoded.rejects + [
        Reject(indices[at], *reason, lines[indices[at]][:RAW_KEPT_BYTES]) for at, reason in wrong.items()
    ]
    rejects.sort(key=lambda reject: reject.index)
    kept: list[Any] = [row for at, row in enumerate(decoded.rows) if at not in wrong]
    return Decoded(kept, [index for at, index in enumerate(indices) if at not in wrong], rejects)


class LineReader(Protocol):
    """Reads the lines of one request, and may remember what came before in it."""

    @property
    def skew_ms(self) -> int:
        """What times are corrected by, because the request's first line has told the client's clock."""

    def preamble(self, line: bytes, received_ms: int) -> bool:
        """Whether the request's first line is about the request, and no message."""

    def decode(self, block: bytes, lines: int, received_ms: int) -> Decoded:
        """Decode `lines` whole lines, each ended by a newline."""

    def skip(self, block: bytes, lines: int, received_ms: int) -> None:
        """Whole lines that are stored already: remember what later ones build on."""

    def single(self, body: bytes, received_ms: int) -> msgspec.Struct:
        """Decode one message that came without others; raises BadRequest."""


# What msgspec raises for input that it does not take; the last three for invalid UTF-8, long integers and deep nesting.
_REFUSALS = (msgspec.MsgspecError, UnicodeDecodeError, ValueError, RecursionError)


_MISSING = re.compile(r"Object missing required field `(\w+)`")
ONE_EXPECTED = "one message is expected; send many as application/x-ndjson, a line each"


class Decoder(Generic[Row]):
    """Decodes messages of one type. `problem` says what types cannot, None where all is well: it is asked for each
    message on its own, and for the messages of a block where an escaped NUL is among them, which PostgreSQL cannot
    store.
    """

    def __init__(self, row_type: type[Row], problem: Callable[[Row], str | None]) -> None:
        self._decoder = msgspec.json.Decoder(row_type)
        self._problem = problem

    def block(self, block: bytes, lines: int) -> Decoded:
        """Decode `lines` whole lines, each ended by a newline. Blank lines give neither a row nor a reject."""
        # An object that spans lines never has "}" before a newline and "{" after it: JSON wants a comma or a bracket
        # there.
        if block.startswith(b"{") and block.endswith(b"}\n") and block.count(b"}\n{") == lines - 1:
            try:
                rows = self._decoder.decode_lines(block)
            except _REFUSALS:
                pass
            else:
                # The search for one byte is quick, and most blocks have none.
                if len(rows) == lines and (b"\\" not in block or b"\\u0000" not in block):
                    return Decoded(rows, None, [])
        return self._line_by_line(block)

    def single(self, body: bytes) -> Row:
        """Decode one message; raises BadRequest with the path of the field that is wrong."""
        row, reason = self.line(body)
        if row is None:
            raise BadRequest(_with_hint(reason[1], body))
        return row

    def line(self, line: bytes) -> tuple[Row | None, Reason]:
        """The message, or None and why not."""
        try:
            row = self._decoder.decode(line)
        except msgspec.ValidationError as exc:
            return None, ("invalid", self._named(str(exc), line))
        except UnicodeDecodeError as exc:
            return None, ("encoding", f"not UTF-8: {exc.reason}")
        except RecursionError:
            return None, ("malformed", "JSON is nested too deeply")
        except (msgspec.MsgspecError, ValueError) as exc:
            return None, ("malformed", str(exc))
        if problem := self._problem(row):
            return None, ("invalid", problem)
        return row, ("", "")

    def _named(self, detail: str, line: bytes) -> str:
        """What is wrong; of a field that is missing also the key that was meant to be it."""
        missing = _MISSING.fullmatch(detail)
        if missing is None:
            return detail
        try:
            keys = msgspec.json.decode(line, type=dict[str, msgspec.Raw])
        except _REFUSALS:
            return detail
        name = missing[1]
        near = next((key for key in keys if len(key) <= 2 * len(name) and _bare(key) == _bare(name)), None)
        return detail if near is None else f"{detail}; `{near}` is not a field"

    def _line_by_line(self, block: bytes) -> Decoded:
        decoded = Decoded([], [], [])
        assert decoded.indices is not None
        for index, line in enumerate(block[:-1].split(b"\n")):
            if not line or line.isspace():
                continue
            row, reason = self.line(line)
            if row is None:
                decoded.rejects.append(Reject(index, *reason, line[:RAW_KEPT_BYTES]))
            else:
                decoded.rows.append(row)
                decoded.indices.append(index)
        return decoded


def _bare(name: str) -> str:
    return name.casefold().replace("_", "").replace("-", "")


def _with_hint(detail: str, body: bytes) -> str:
    """What is wrong with one message, and what to send where it is none, or several."""
    if not body or body.isspace():
        return "the body is empty"
    several = body.lstrip()[:1] == b"[" or "trailing characters" in detail
    return f"{detail}; {ONE_EXPECTED}" if several else detail


class Stateless:
    """Reads lines that say all by themselves."""

    skew_ms = 0

    def __init__(self, decoder: Decoder[Any]) -> None:
        self._decoder = decoder

    def preamble(self, line: bytes, received_ms: int) -> bool:
        """There is none."""
        return False

    def decode(self, block: bytes, lines: int, received_ms: int) -> Decoded:
        """Decode `lines` whole lines, each ended by a newline."""
        return self._decoder.block(block, lines)

    def skip(self, block: bytes, lines: int, received_ms: int) -> None:
        """Nothing to remember."""

    def single(self, body: bytes, received_ms: int) -> msgspec.Struct:
        """Decode one message that came without others; raises BadRequest."""
        row: msgspec.Struct = self._decoder.single(body)
        return row
