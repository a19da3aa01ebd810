"""The backlog's bounds and order, and that halves of a segment are the segment."""

import asyncio
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collector.batch import SINGLES_BYTES, Backlog
from collector.messages.decoding import Reject
from collector.messages.payload import DECODER, Payload
from collector.progress import Digest
from collector.segment import LINE_COST_BYTES, SEGMENT_COST_BYTES, Claim, Segment, Source
from tests.strategies import encoded, payloads, streams

ENDPOINT = "/stats"


def segment_of(block: bytes, *, keyed: bool, first_line: int = 1, before: bytes = b"") -> Segment:
    """As a request of lines makes it."""
    source = Source("/stats key" if keyed else "/stats #1", ENDPOINT, owner=int(keyed))
    segment = Segment(source, ENDPOINT, 1_700_000_000_000, [])
    segment.lines, segment.first_line, segment.block = block.count(b"\n"), first_line, block
    found = DECODER.block(block, segment.lines)
    segment.rows, segment.indices, segment.rejects = found.rows, found.indices, found.rejects
    if keyed:
        digest = Digest()
        digest.update(before)
        segment.digest_before = digest.state()
        digest.update(block)
        segment.digest = digest.state()
    return segment


def leaves(segment: Segment) -> Iterator[Segment]:
    """The segment halved until nothing can be."""
    parts = segment.halves()
    if len(parts) == 1:
        assert parts[0] is segment
        yield segment
    else:
        for part in parts:
            yield from leaves(part)


def numbered(segment: Segment) -> list[tuple[int, Payload]]:
    """Rows with their line in the stream."""
    indices = segment.indices if segment.indices is not None else range(len(segment.rows))
    return [(segment.first_line + index, row) for index, row in zip(indices, segment.rows, strict=True)]


@settings(max_examples=300)
@given(streams, st.booleans(), st.integers(1, 2**40), st.binary(max_size=1500), st.booleans())
def test_halves_are_the_whole(data: bytes, keyed: bool, first_line: int, before: bytes, complete: bool) -> None:
    block = data if data.endswith(b"\n") else data + b"\n"
    segment = segment_of(block, keyed=keyed, first_line=first_line, before=before)
    segment.complete = complete
    parts = list(leaves(segment))
    assert b"".join(part.block for part in parts) == block
    assert sum(part.lines for part in parts) == segment.lines
    assert all(part.lines == 1 for part in parts)
    assert [row for part in parts for row in numbered(part)] == numbered(segment)
    assert [row for part in parts for row in part.rejected_rows()] == segment.rejected_rows()
    assert [part.complete for part in parts] == [False] * (len(parts) - 1) + [complete]
    digest = segment.digest_before
    for part in parts:
        assert part.digest_before == digest
        digest = part.digest
        assert bool(part.digest) == keyed
        assert part.source is segment.source
        assert part.received_ms == segment.received_ms
    assert digest == segment.digest


@given(st.lists(payloads(), min_size=1, max_size=9))
def test_halves_of_single_payloads_keep_each_with_its_waiter(rows: list[Payload]) -> None:
    loop = asyncio.new_event_loop()
    try:
        segment = Segment(None, ENDPOINT, 1, rows)
        segment.waiters = [loop.create_future() for _ in rows]
        parts = list(leaves(segment))
        assert [part.rows for part in parts] == [[row] for row in rows]
        assert [part.waiters for part in parts] == [[waiter] for waiter in segment.waiters]
    finally:
        loop.close()


def test_a_refused_line_becomes_a_reject_of_the_same_line() -> None:
    payload = Payload("t", "c", "d", 1, 2, 3, 4)
    segment = segment_of(b"\n" + encoded(payload) + b"\n", keyed=True, first_line=7)
    segment.skew_ms = -5
    _, last = leaves(segment)
    refused = last.refused("no such thing")
    assert refused.rows == []
    assert (refused.digest, refused.digest_before, refused.lines) == (last.digest, last.digest_before, 1)
    ((_, name, line, reason, raw, skew_ms),) = refused.rejected_rows()
    assert (name, line, reason, raw) == ("/stats key", 8, "refused: no such thing", encoded(payload))
    assert skew_ms == -5


def test_reasons_can_always_be_stored() -> None:
    segment = segment_of(b"x\n", keyed=False)
    segment.rejects = [Reject(0, "invalid", "a\0b", b"\0")]
    ((_, _, _, reason, raw, _),) = segment.rejected_rows()
    assert (reason, raw) == ("invalid: a\\0b", b"\0")


@st.composite
def segments(draw: st.DrawFn) -> Segment:
    rows = draw(st.integers(0, 6))
    segment = Segment(Source("s", ENDPOINT), ENDPOINT, 1, [Payload("t", "c", "d", 1, 2, 3, 4)] * rows)
    segment.lines, segment.block = rows, b"x" * draw(st.integers(0, 300))
    return segment


@given(st.lists(segments(), max_size=20), st.integers(1, 10), st.integers(1, 1000), st.data())
def test_the_backlog_is_bounded_and_in_order(
    given_segments: list[Segment], max_rows: int, max_bytes: int, data: st.DataObject
) -> None:
    backlog = Backlog(max_rows, max_bytes)
    held: list[Segment] = []  # added, not released
    queued: list[Segment] = []
    written: list[Segment] = []
    for number, segment in enumerate(given_segments):
        if backlog.full:
            batch = backlog.take(data.draw(st.integers(1, 10)), data.draw(st.integers(1, 1000)))
            assert batch == queued[: len(batch)]
            del queued[: len(batch)]
            assert backlog.oldest_at == (queued[0].put_at if queued else None)
            # Still counted while it is being written.
            assert backlog.rows == sum(item.count for item in held)
            backlog.release(batch)
            held = [item for item in held if item not in batch]
            written += batch
        backlog.add(segment, float(number))
        held.append(segment)
        queued.append(segment)
        assert (backlog.rows, backlog.bytes) == (
            sum(item.count for item in held),
            sum(cost_bytes(item) for item in held),
        )
        assert backlog.full == (backlog.rows >= max_rows or backlog.bytes >= max_bytes)
    assert backlog.drop_all() == queued
    assert (backlog.rows, backlog.bytes, len(backlog), backlog.oldest_at) == (0, 0, 0, None)
    assert written + queued == given_segments


@given(st.lists(segments(), min_size=1, max_size=20), st.integers(1, 12), st.integers(1, 1500))
def test_a_batch_is_whole_segments_within_its_bounds(
    given_segments: list[Segment], max_rows: int, max_bytes: int
) -> None:
    backlog = Backlog(10**6, 10**9)
    for segment in given_segments:
        backlog.add(segment, 0.0)
    taken: list[Segment] = []
    while batch := backlog.take(max_rows, max_bytes):
        if len(batch) > 1:
            assert sum(segment.count for segment in batch) <= max_rows
            assert sum(segment.size_bytes - SEGMENT_COST_BYTES for segment in batch) <= max_bytes
        taken += batch
        backlog.release(batch)
    assert taken == given_segments
    assert (backlog.rows, backlog.bytes) == (0, 0)


def test_single_payloads_of_one_millisecond_share_a_segment_and_keyed_ones_do_not() -> None:
    loop = asyncio.new_event_loop()
    try:
        backlog = Backlog(100, 10**6)
        row = Payload("t", "c", "d", 1, 2, 3, 4)
        for at_ms in (1, 1, 2, 2, 1):
            backlog.add_single(row, 178, ENDPOINT, "payload", at_ms, loop.create_future(), 0.0)
        claimed = Segment(None, ENDPOINT, 1, [row])
        claimed.claim = Claim("/stats k", b"")
        backlog.add(claimed, 0.0)
        backlog.add_single(row, 178, ENDPOINT, "payload", 1, loop.create_future(), 0.0)
        batch = backlog.take(100, 10**6)
        assert [(segment.received_ms, segment.count) for segment in batch] == [(1, 2), (2, 2), (1, 1), (1, 1), (1, 1)]
        backlog.release(batch)
        assert (backlog.rows, backlog.bytes) == (0, 0)
    finally:
        loop.close()


@given(st.lists(st.tuples(st.integers(0, 64 * 1024), st.integers(1, 2), st.booleans()), min_size=1, max_size=30))
def test_single_payloads_count_by_their_bytes(messages: list[tuple[int, int, bool]]) -> None:
    """Bytes, moment, key: beside others or alone, what the backlog counts is what segments measure, and a batch is not
    much larger than it may be.
    """
    loop = asyncio.new_event_loop()
    try:
        backlog = Backlog(100, 10**9)
        row = Payload("t", "c", "d", 1, 2, 3, 4)
        for number, (size_bytes, at_ms, keyed) in enumerate(messages):
            if keyed:
                claimed = Segment(None, ENDPOINT, at_ms, [row])
                claimed.claim, claimed.waiters = Claim(f"/stats {number}", b""), [loop.create_future()]
                claimed.singles_bytes = size_bytes
                backlog.add(claimed, 0.0)
            else:
                backlog.add_single(row, size_bytes, ENDPOINT, "payload", at_ms, loop.create_future(), 0.0)
        counted = backlog.bytes
        sizes: list[int] = []
        while batch := backlog.take(100, SINGLES_BYTES):
            content = sum(segment.singles_bytes for segment in batch)
            assert content <= SINGLES_BYTES + 64 * 1024
            for segment in batch:
                before = segment.size_bytes
                segment.measure()
                assert segment.size_bytes == before
                assert sum(part.singles_bytes for part in segment.halves()) <= segment.singles_bytes
            sizes += [segment.size_bytes for segment in batch]
            backlog.release(batch)
        assert counted == sum(sizes) >= sum(size_bytes for size_bytes, _, _ in messages)
        assert (backlog.rows, backlog.bytes) == (0, 0)
    finally:
        loop.close()


def test_only_single_payloads_expire() -> None:
    loop = asyncio.new_event_loop()
    try:
        backlog = Backlog(100, 10**6)
        row = Payload("t", "c", "d", 1, 2, 3, 4)
        stream = segment_of(encoded(row) + b"\n", keyed=False)
        backlog.add(stream, 1.0)
        for at in (2.0, 3.0):
            backlog.add_single(row, 178, ENDPOINT, "payload", int(at), loop.create_future(), at)
        assert backlog.expire(2.0) == []
        (overdue,) = backlog.expire(2.5)
        assert overdue.received_ms == 2
        assert [segment.received_ms for segment in backlog.take(100, 10**6)] == [stream.received_ms, 3]
    finally:
        loop.close()


def test_a_source_that_nobody_listens_to() -> None:
    source = Source("s", ENDPOINT)
    source.changed()
    assert source.summary() == {"accepted": 0, "rejected": 0, "errors": []}


@pytest.mark.parametrize("count", [1, 2, 3, 7])
def test_halves_are_about_equal(count: int) -> None:
    block = (encoded(Payload("t", "c", "d", 1, 2, 3, 4)) + b"\n") * count
    parts = segment_of(block, keyed=True).halves()
    assert len(parts) == min(count, 2)
    assert max(part.lines for part in parts) - min(part.lines for part in parts) <= 1


def cost_bytes(segment: Segment) -> int:
    """What a segment counts: its bytes, digests and objects."""
    own_bytes = len(segment.block) + len(segment.digest) + len(segment.digest_before)
    return SEGMENT_COST_BYTES + own_bytes + LINE_COST_BYTES * segment.count
