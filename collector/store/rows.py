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

HIT_COLUMNS = ("time", "user", "kind", "received_at")
"""The fields of `Hit` in their order, `timestamp` as what it means, then what the collector adds."""

REJECTED_COLUMNS = ("received_at", "source", "line", "reason", "raw", "skew_ms")

CSV_OPTIONS = "FORMAT csv, NULL 'null'"
"""Of COPY, for CSV lines that are made of JSON."""

RejectedRow = tuple[datetime, str, int, str, bytes, int | None]
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
    return as_csv([_astuple(row) for row in rows], _payload_shared(received_ms, started=started))


def encode_text(rows: Iterable[Payload], received_ms: int, *, started: bool) -> bytes:
    """The rows in COPY's text format, in PAYLOAD_COLUMNS, whatever their strings are."""
    return as_text([_astuple(row) for row in rows], _payload_shared(received_ms, started=started))


def _payload_shared(received_ms: int, *, started: bool) -> tuple[str, str]:
    return timestamp(received_ms).isoformat(), "t" if started else "f"


def as_csv(rows: list[tuple[Any, ...]], shared: tuple[str, ...]) -> bytes | None:
    """CSV lines of the rows, each with the values that all of them share at its end, `null` for None; None where a
    string needs escaping.
    """
    arrays = _encoder.encode_lines(rows)
    if b"\\" in arrays:
        return None
    end = f",{','.join(shared)}\n".encode()
    return arrays[1:-2].replace(b"]\n[", end) + end


def as_text(rows: Iterable[tuple[Any, ...]], shared: tuple[str, ...]) -> bytes:
    """The same in COPY's text format, whatever the strings are."""
    lines = [
        "\t".join(["\\N" if value is None else str(value).translate(_ESCAPES) for value in (*row, *shared)])
        for row in rows
    ]
    lines.append("")
    return "\n".join(lines).encode()
