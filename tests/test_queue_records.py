"""Records of the queue: what goes in as a segment comes out as the same rows, and strange records hurt nobody."""

from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.messages.payload import DECODER, Payload
from collector.queue.lane import Lane
from collector.queue.records import Headers, Received, records_of, take
from collector.segment import Claim, Segment, Source
from collector.times import LAST_MS
from tests.strategies import encoded, payloads

MAX_BYTES = 64 * 1024
LINE = b'{"token":"t","customer":"c","content":"f","timespan":1,"p2p":2,"cdn":3,"sessionDuration":4}'
ROW = Payload("t", "c", "f", 1, 2, 3, 4)


def received(segments: Iterable[Segment]) -> list[Received]:
    """The records as the broker gives them back."""
    made = [record for segment in segments for record in records_of(segment)]
    return [(offset, value, headers, 7) for offset, (_, value, headers) in enumerate(made)]


def lines_segment(rows: list[Payload], source: Source, *, first_line: int = 1) -> Segment:
    block = b"".join(encoded(row) + b"\n\n" for row in rows)
    decoded = DECODER.block(block, 2 * len(rows))
    segment = Segment(source, "/payloads", 1234, decoded.rows)
    segment.block, segment.indices, segment.first_line = block, decoded.indices, first_line
    return segment


@given(st.lists(payloads(), max_size=8), st.booleans(), st.integers(0, LAST_MS))
def test_what_goes_in_comes_out(rows: list[Payload], keyed: bool, received_ms: int) -> None:
    single = Segment(None, "/payloads", received_ms, rows)
    lines = lines_segment(rows, Source("/payloads k", "/payloads", owner=int(keyed)), first_line=11)
    taken = take(received([single, lines]), MAX_BYTES)
    assert [row.payload for row in taken.rows] == rows + rows
    assert taken.indices == list(range(2 * len(rows)))
    assert not taken.rejects
    marks = [(row.received_ms, row.source, row.line) for row in taken.rows]
    assert marks[: len(rows)] == [(received_ms, "", 0)] * len(rows)
    named = [(1234, "/payloads k", 11 + 2 * at) if keyed else (1234, "", 0) for at in range(len(rows))]
    assert marks[len(rows) :] == named


def test_a_claimed_payload_is_line_1_of_its_key() -> None:
    segment = Segment(None, "/payloads", 1, [ROW])
    segment.claim = Claim("/payloads k", b"digest")
    (row,) = take(received([segment]), MAX_BYTES).rows
    assert (row.received_ms, row.source, row.line) == (1, "/payloads k", 1)


@pytest.mark.parametrize(
    ("value", "headers", "reason"),
    [
        (None, [], "malformed"),
        (b"", [], "malformed"),
        (b" \n", [], "malformed"),
        (b"no", [], "malformed"),
        (b"{}", [], "invalid"),
        (b"{}\n{}", [], "invalid"),
        (LINE + b"\n" + LINE, [], "malformed"),
        (LINE.replace(b'"t"', b'"\xff"'), [], "encoding"),
        (b"x" * (MAX_BYTES + 1), [], "too_long"),
        (LINE, [("received_ms", b"-1")], "invalid"),
        (LINE, [("received_ms", b"")], "invalid"),
        (LINE, [("received_ms", None)], "invalid"),
        (LINE, [("received_ms", b"9" * 15)], "invalid"),
        (LINE, [("line", b"one")], "invalid"),
        (LINE, [("source", b"\0")], "invalid"),
        (LINE, [("source", b"s" * 600)], "invalid"),
    ],
)
def test_a_strange_record_hurts_nobody(value: bytes | None, headers: Headers, reason: str) -> None:
    taken = take([(0, LINE, [], 7), (1, value, headers, 7), (2, LINE, [], 7)], MAX_BYTES)
    assert [row.payload for row in taken.rows] == [ROW, ROW]
    assert (taken.indices, taken.lines) == ([0, 2], 3)
    assert [(reject.index, reject.reason) for reject in taken.rejects] == [(1, reason)]
    assert taken.block.count(b"\n") == 3


@pytest.mark.parametrize("value", [LINE.replace(b",", b",\n"), LINE + b"\n", LINE + b" "])
def test_other_programs_lay_out_json_as_they_like(value: bytes) -> None:
    (row,) = take([(0, value, [("other", b"1")], 7)], MAX_BYTES).rows
    assert (row.payload, row.received_ms) == (ROW, 7)


def test_a_header_of_another_name_is_no_moment() -> None:
    records: list[Received] = [(0, LINE, [("other", b"1")], 7), (1, LINE, [("received_ms", b"1")], 7)]
    records += [(2, LINE, [("other", b"1")], 9), (3, LINE, [], 11)]
    assert [row.received_ms for row in take(records, MAX_BYTES).rows] == [7, 1, 9, 11]


def lane(position: int) -> Lane:
    made = Lane("topic", 0, None, MAX_BYTES)  # type: ignore[arg-type]
    made.source = Source(made.name, "queue", owner=1, committed=position)
    made.position, made.flowing = position, True
    return made


def put(made: Lane, offsets: Iterable[int]) -> list[tuple[int, int, int]]:
    """First offset, lines and rows of the segments."""
    records: list[Received] = [(offset, LINE, [], 7) for offset in offsets]
    return [(segment.first_line, segment.lines, len(segment.rows)) for segment in made.segments(records, 7)]


def test_records_from_before_the_position_are_left_out() -> None:
    made = lane(10)
    assert put(made, range(7, 13)) == [(10, 3, 3)]
    assert put(made, range(7, 13)) == []
    assert (made.position, made.flowing) == (13, True)


def test_a_gap_is_believed_the_second_time() -> None:
    made = lane(10)
    assert put(made, [10, 11, 15, 16]) == [(10, 2, 2)]
    assert (made.position, made.flowing) == (12, False)
    made.flowing = True
    assert put(made, [15, 16]) == [(12, 3, 0), (15, 2, 2)]
    assert (made.position, made.flowing) == (17, True)


def test_what_only_seemed_to_be_a_gap_is_none() -> None:
    made = lane(10)
    assert put(made, [50, 51]) == []
    assert not made.flowing
    made.flowing = True
    assert put(made, [10, 11]) == [(10, 2, 2)]
    assert put(made, [20]) == []
    assert made.position == 12


def test_a_jumble_is_never_taken_for_a_run() -> None:
    made = lane(100)
    assert put(made, [100, 101, 150, 103]) == [(100, 2, 2)]
    assert (made.position, made.flowing) == (102, False)
