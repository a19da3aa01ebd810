"""What a Kafka record holds: a payload's line, and in its headers what the line itself does not say. Pure: no I/O.

key      the payload's token, so that what belongs to a session stays in order
value    the line as it was received; of a single payload, the payload as one line
headers  received_ms  the moment of the HTTP request
         source, line only of keyed requests: the source in `progress`, and the line within it, from 1
"""

from collections.abc import Iterable

import msgspec

from collector.messages.decoding import RAW_KEPT_BYTES, Reason, Reject
from collector.messages.payload import DECODER, Payload
from collector.segment import Segment
from collector.times import LAST_MS

FROM_TOPIC = "payload_of_topic"
"""What the store calls rows that come out of a topic."""
Headers = list[tuple[str, bytes]]
Record = tuple[str, bytes, Headers]
"""Key, value and headers of a record that goes out."""
Received = tuple[int, bytes | None, Headers, int]
"""Offset, value, headers and the broker's timestamp (epoch milliseconds) of one that came in."""

RECEIVED_MS, SOURCE, LINE = "received_ms", "source", "line"
SOURCE_MAX_CHARACTERS = 512
"""An endpoint and a key have fewer."""

_Mark = tuple[int, str, int]
"""Moment of reception, source and line."""
_NO_MARK: _Mark = (0, "", 0)
_GOOD: Reason = ("", "")

_encode = msgspec.json.Encoder().encode


class Queued(msgspec.Struct, gc=False, frozen=True):
    """A payload that comes out of the topic; `source` is empty where its request had no key."""

    payload: Payload
    received_ms: int
    source: str
    line: int


class Taken(msgspec.Struct):
    """Records that follow each other, as lines: one for each, blank where there is nothing for the table."""

    rows: list[Queued]
    indices: list[int]
    rejects: list[Reject]
    block: bytes
    lines: int


def records_of(segment: Segment) -> list[Record]:
    """A record for each of the segment's rows."""
    received: Headers = [(RECEIVED_MS, b"%d" % segment.received_ms)]
    rows: list[Payload] = segment.rows
    if segment.source is None:
        claim = segment.claim
        headers = received if claim is None else _keyed(received, claim.source, 1)
        return [(row.token, _encode(row), headers) for row in rows]
    lines = segment.block.split(b"\n")
    indices = range(len(rows)) if segment.indices is None else segment.indices
    if not segment.source.owner:
        return [(row.token, lines[index], received) for index, row in zip(indices, rows, strict=True)]
    name, first = segment.source.name, segment.first_line
    return [
        (row.token, lines[index], _keyed(received, name, first + index))
        for index, row in zip(indices, rows, strict=True)
    ]


def _keyed(received: Headers, source: str, line: int) -> Headers:
    return [*received, (SOURCE, source.encode()), (LINE, b"%d" % line)]


def take(records: Iterable[Received], max_line_bytes: int) -> Taken:
    """The records as lines."""
    lines: list[bytes] = []
    marks: list[_Mark] = []
    rejects: list[Reject] = []
    shared: dict[bytes, _Mark] = {}
    for _, value, headers, timestamp_ms in records:
        if value and len(value) <= max_line_bytes and b"\n" not in value and not value.isspace():
            line = value
            # The lines that came together share their moment, and most have no other header.
            usual = len(headers) == 1 and headers[0][0] == RECEIVED_MS
            mark = shared.get(headers[0][1]) if usual else None
            if mark is None:
                mark, reason = _mark(headers, timestamp_ms)
                if reason[0]:
                    line = _reject(rejects, len(lines), reason, value)
                elif usual:
                    shared[headers[0][1]] = mark
        else:
            line, reason = _line(value, max_line_bytes)
            mark, unreadable = _mark(headers, timestamp_ms)
            if reason[0] or unreadable[0]:
                line = _reject(rejects, len(lines), reason if reason[0] else unreadable, value)
        lines.append(line)
        marks.append(mark)
    block = b"\n".join([*lines, b""])
    decoded = DECODER.block(block, len(lines))
    if decoded.indices is None:
        rows = list(map(Queued, decoded.rows, *zip(*marks, strict=True)))
        return Taken(rows, list(range(len(lines))), rejects, block, len(lines))
    rows = [Queued(row, *marks[index]) for index, row in zip(decoded.indices, decoded.rows, strict=True)]
    rejects = sorted(rejects + decoded.rejects, key=lambda reject: reject.index)
    return Taken(rows, decoded.indices, rejects, block, len(lines))


def _reject(rejects: list[Reject], index: int, reason: Reason, value: bytes | None) -> bytes:
    """Note the reject; a blank line stands in the record's place."""
    rejects.append(Reject(index, *reason, (value or b"")[:RAW_KEPT_BYTES]))
    return b""


def _line(value: bytes | None, max_line_bytes: int) -> tuple[bytes, Reason]:
    """The record's line, and why it cannot be accepted, where that shows before it is decoded with the others."""
    if value is None or not value.strip():
        return b"", ("malformed", "the record has no value")
    if len(value) > max_line_bytes:
        return b"", ("too_long", f"the record has {len(value)} bytes; at most {max_line_bytes} are taken")
    if b"\n" not in value:
        return value, _GOOD
    row, reason = DECODER.line(value)  # as another program may write it
    return (b"", reason) if row is None else (_encode(row), reason)


def _mark(headers: Headers, timestamp_ms: int) -> tuple[_Mark, Reason]:
    """The moment of reception (the broker's, where another program wrote the record), source and line; and what is
    wrong with them.
    """
    received_ms, source, line = max(0, timestamp_ms), "", 0
    for name, value in headers:
        if name in (RECEIVED_MS, LINE):
            if value is None or not value.isdigit() or len(value) > len(str(LAST_MS)) or int(value) > LAST_MS:
                return _NO_MARK, ("invalid", f"header {name}: a whole number from 0 to {LAST_MS}")
            received_ms, line = (int(value), line) if name == RECEIVED_MS else (received_ms, int(value))
        elif name == SOURCE:
            source = (value or b"").decode("ascii", "replace")
            if len(source) > SOURCE_MAX_CHARACTERS or not source.isascii() or not source.isprintable():
                return _NO_MARK, ("invalid", "header source: not a source of this collector")
    return (received_ms, source, line), _GOOD
