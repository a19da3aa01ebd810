"""What devices send: the Structs, their limits, and decoding blocks of lines. Pure: no I/O.

Decoding goes fast first: one call for a whole block. That call does not know about lines (it takes a value that spans
two lines, and two values on one line), so it counts only where the block's shape proves that every line holds one
object; whatever else comes is decoded line by line, which gives each bad line its own reason and leaves its neighbours
alone.
"""

from typing import Annotated

import msgspec
from msgspec import Meta

from collector.errors import BadRequest

Amount = Annotated[int, Meta(ge=0, le=2**63 - 1)]
"""PostgreSQL's bigint, without its negative half."""
Name = Annotated[str, Meta(min_length=1, max_length=256)]


class Payload(msgspec.Struct, gc=False, rename="camel"):
    """One measurement of a player's session."""

    token: Name
    """Unique to the session."""
    customer: Name
    content: Name
    timespan: Amount
    """Milliseconds that the measurement covers."""
    p2p: Amount
    """Bytes that came from peers in that time."""
    cdn: Amount
    """Bytes that came from the CDN in that time."""
    session_duration: Amount
    """Milliseconds since the session began."""

    def nul(self) -> str | None:
        """The path of a field with a NUL character, which PostgreSQL cannot store."""
        for field in ("token", "customer", "content"):
            if "\0" in getattr(self, field):
                return f"$.{field}"
        return None


STARTING_MS = 300_000
"""A session may start with a payload whose `sessionDuration` is under this (the contract's rule for `sessions`)."""


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

    rows: list[Payload]
    indices: list[int] | None
    rejects: list[Reject]


RAW_KEPT_BYTES = 64 * 1024
"""Of a rejected line, as the contract has it."""

_decoder = msgspec.json.Decoder(Payload)
# What msgspec raises for input that it does not take; the last three for invalid UTF-8, long integers and deep nesting.
_REFUSALS = (msgspec.MsgspecError, UnicodeDecodeError, ValueError, RecursionError)


def decode_block(block: bytes, lines: int) -> Decoded:
    """Decode `lines` whole lines, each ended by a newline. Blank lines give neither a row nor a reject."""
    # An object that spans lines never has "}" before a newline and "{" after it: JSON wants a comma or a bracket there.
    if block.startswith(b"{") and block.endswith(b"}\n") and block.count(b"}\n{") == lines - 1:
        try:
            rows = _decoder.decode_lines(block)
        except _REFUSALS:
            pass
        else:
            # The search for one byte is quick, and most blocks have none.
            if len(rows) == lines and (b"\\" not in block or b"\\u0000" not in block):
                return Decoded(rows, None, [])
    return _line_by_line(block)


def decode_single(body: bytes) -> Payload:
    """Decode one payload; raises BadRequest with the path of the field that is wrong."""
    payload, reason = _decode_line(body)
    if payload is None:
        raise BadRequest(reason[1])
    return payload


def _line_by_line(block: bytes) -> Decoded:
    rows: list[Payload] = []
    indices: list[int] = []
    rejects: list[Reject] = []
    for index, line in enumerate(block[:-1].split(b"\n")):
        if not line or line.isspace():
            continue
        payload, reason = _decode_line(line)
        if payload is None:
            rejects.append(Reject(index, *reason, line[:RAW_KEPT_BYTES]))
        else:
            rows.append(payload)
            indices.append(index)
    return Decoded(rows, indices, rejects)


def _decode_line(line: bytes) -> tuple[Payload | None, tuple[str, str]]:
    """The payload, or None and why not: a reason for counting and one for people."""
    try:
        payload = _decoder.decode(line)
    except msgspec.ValidationError as exc:
        return None, ("invalid", str(exc))
    except UnicodeDecodeError as exc:
        return None, ("encoding", f"not UTF-8: {exc.reason}")
    except RecursionError:
        return None, ("malformed", "JSON is nested too deeply")
    except (msgspec.MsgspecError, ValueError) as exc:
        return None, ("malformed", str(exc))
    if path := payload.nul():
        return None, ("invalid", f"NUL characters cannot be stored - at `{path}`")
    return payload, ("", "")
