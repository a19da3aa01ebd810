"""Rows on their way into COPY: one definition of each table's columns, and the encoding. Pure: no I/O.

msgspec writes a list of rows as JSON arrays in one call. Where no string needs escaping, such an array without its
brackets is also a CSV line, and the columns that all rows of a block share go in where the brackets were. That costs a
third of a microsecond a row, a tenth of what building rows one by one does. Rows with a quote, a backslash or a control
character in them go as COPY's text format.
"""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import msgspec

from collector.messages.payload import Payload

PAYLOAD_COLUMNS = (
    "token",
    "customer",
    "content",
    "timespan",
    "p2p",
    "cdn",
    "session_duration",
    "received_at",
    "started",
)
"""The fields of `Payload` in their order, then what the collector adds."""

REJECTED_COLUMNS = ("received_at", "source", "line", "reason", "raw")

RejectedRow = tuple[datetime, str, int, str, bytes]
"""A row of `rejected`, in the order of its columns."""

_encoder = msgspec.json.Encoder()
_astuple = msgspec.structs.astuple
# COPY's text format: what a backslash must stand before (PostgreSQL's documentation of COPY, "Text Format").
_ESCAPES = str.maketrans({"\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\b": "\\b", "\f": "\\f", "\v": "\\v"})


def timestamp(epoch_ms: int) -> datetime:
    """Epoch milliseconds as an aware datetime in UTC, without a detour through a float."""
    return datetime.fromtimestamp(epoch_ms // 1000, UTC).replace(microsecond=epoch_ms % 1000 * 1000)


def encode_csv(rows: list[Payload], received_ms: int, *, started: bool) -> bytes | None:
    """The rows as CSV lines in PAYLOAD_COLUMNS; None where a string needs escaping."""
    arrays = _encoder.encode_lines([_astuple(row) for row in rows])
    if b"\\" in arrays:
        return None
    shared = f",{timestamp(received_ms).isoformat()},{'t' if started else 'f'}\n".encode()
    return arrays[1:-2].replace(b"]\n[", shared) + shared


def encode_text(rows: Iterable[Payload], received_ms: int, *, started: bool) -> bytes:
    """The rows in COPY's text format, in PAYLOAD_COLUMNS, whatever their strings are."""
    shared: tuple[Any, ...] = (timestamp(received_ms).isoformat(), "t" if started else "f")
    lines = ["\t".join([str(value).translate(_ESCAPES) for value in (*_astuple(row), *shared)]) for row in rows]
    lines.append("")
    return "\n".join(lines).encode()
