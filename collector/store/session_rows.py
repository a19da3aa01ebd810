"""Messages of sessions on their way into COPY, as in `rows`: one call of msgspec for many rows, whose JSON arrays are
CSV without their brackets. Properties, JSON in JSON, go in as CSV quotes them. Pure: no I/O.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

import msgspec
from msgspec import UNSET

from collector.messages.session import Message

SESSION_COLUMNS = ("received_at", "session", "seq", "time", "version", "cpu", "event", "phase", "properties")
"""What the collector adds, then the fields of `Message` in their order."""

_encoder = msgspec.json.Encoder()
_Raw = msgspec.Raw


def encode_csv(messages: Iterable[tuple[datetime, Message]]) -> bytes:
    """The messages, each with its moment of reception, as CSV lines in SESSION_COLUMNS, for COPY with CSV_OPTIONS."""
    rows = [
        (
            received_at,
            row.session,
            row.seq,
            row.time,
            row.version,
            row.cpu,
            row.event,
            row.phase,
            None if row.properties is UNSET else _Raw(_quoted(bytes(row.properties))),
        )
        for received_at, row in messages
    ]
    arrays = _encoder.encode_lines(rows)
    if b"\\" not in arrays:
        return _without_brackets(arrays)
    # Properties may have backslashes; a name with something that JSON escapes is rare, and its row is made by itself.
    plain: list[Any] = []
    escaped: list[Any] = []
    for row in rows:
        names = (row[1], row[4], row[6])
        (escaped if b"\\" in _encoder.encode(names) else plain).append(row)
    lines = [_without_brackets(_encoder.encode_lines(plain))] if plain else []
    for row in escaped:
        session, version, event = (
            None if name is None else _Raw(_quoted(name.encode())) for name in (row[1], row[4], row[6])
        )
        line = _encoder.encode((row[0], session, *row[2:4], version, row[5], event, *row[7:]))
        lines.append(line[1:-1] + b"\n")
    return b"".join(lines)


def _quoted(text: bytes) -> bytes:
    return b'"%b"' % text.replace(b'"', b'""')


def _without_brackets(arrays: bytes) -> bytes:
    return arrays[1:-2].replace(b"]\n[", b"\n") + b"\n"
