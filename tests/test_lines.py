"""Any split of the bytes gives the same lines, and no line is held beyond the limit."""

from hypothesis import example, given
from hypothesis import strategies as st

from collector.lines import Block, Event, Lines
from tests.strategies import chunkings, streams

LIMIT = 16

bytes_with_lines = st.one_of(
    streams,
    st.lists(st.sampled_from([b"\n", b"a", b"b" * (LIMIT - 1), b"c" * LIMIT, b"d" * (LIMIT + 1), b"e" * 99])).map(
        b"".join
    ),
)


def events(chunks: list[bytes], limit: int = LIMIT) -> list[Event]:
    lines = Lines(limit)
    return [event for chunk in chunks for event in lines.feed(chunk)] + list(lines.close())


def flat(found: list[Event]) -> list[tuple[bytes, int]]:
    """Each line as its bytes and its size, which differ where it is overlong."""
    result: list[tuple[bytes, int]] = []
    for event in found:
        if isinstance(event, Block):
            assert event.lines > 0
            assert event.data.endswith(b"\n")
            lines = event.data[:-1].split(b"\n")
            assert len(lines) == event.lines
            result += [(line, len(line)) for line in lines]
        else:
            result.append((event.head, event.size_bytes))
    return result


def naive(data: bytes, limit: int = LIMIT) -> list[tuple[bytes, int]]:
    lines = data.split(b"\n")
    if not lines[-1]:
        lines.pop()
    return [(line[:limit], len(line)) for line in lines]


@given(bytes_with_lines)
@example(b"c" * LIMIT + b"\n")
@example(b"d" * (LIMIT + 1) + b"\n")
@example(b"d" * (LIMIT + 1))
@example(b"\n" * 40)
@example(b"")
def test_whole_bytes_are_split_at_newlines(data: bytes) -> None:
    assert flat(events([data])) == naive(data)


@given(st.data(), bytes_with_lines)
def test_any_chunking_gives_the_same_lines(data: st.DataObject, stream: bytes) -> None:
    assert flat(events(data.draw(chunkings(stream)))) == naive(stream)


@given(bytes_with_lines)
def test_one_byte_at_a_time(stream: bytes) -> None:
    assert flat(events([bytes([byte]) for byte in stream])) == naive(stream)


def test_a_line_of_the_limit_is_whole_and_one_byte_more_is_overlong() -> None:
    at_limit, over = b"x" * LIMIT, b"y" * (LIMIT + 1)
    for ending in (b"", b"\n"):
        for chunks in ([at_limit + ending], [at_limit, ending], [bytes([byte]) for byte in at_limit + ending]):
            assert [type(event) for event in events(chunks)] == [Block]
        for chunks in ([over + ending], [over, ending], [bytes([byte]) for byte in over + ending]):
            (event,) = events(chunks)
            assert not isinstance(event, Block)
            assert (event.head, event.size_bytes) == (over[:LIMIT], LIMIT + 1)


def test_neighbours_of_an_overlong_line_are_whole() -> None:
    found = events([b"before\n" + b"z" * 1000 + b"\nafter\n"])
    assert [type(event).__name__ for event in found] == ["Block", "Overlong", "Block"]
    assert flat(found) == [(b"before", 6), (b"z" * LIMIT, 1000), (b"after", 5)]


def test_whole_lines_of_one_piece_are_one_block() -> None:
    assert events([b"a\nb\n\nc\n"]) == [Block(b"a\nb\n\nc\n", 4)]


def test_memory_is_bounded_by_one_line() -> None:
    """An endless line is counted, and only its beginning is kept."""
    lines = Lines(LIMIT)
    for _ in range(1000):
        assert list(lines.feed(b"w" * 1000)) == []
        assert len(lines._tail) <= LIMIT
    (event,) = lines.close()
    assert not isinstance(event, Block)
    assert (len(event.head), event.size_bytes) == (LIMIT, 1_000_000)


def test_needs_more_bytes_is_no_event() -> None:
    lines = Lines(LIMIT)
    assert list(lines.feed(b"")) == []
    assert list(lines.feed(b"half")) == []
    assert list(lines.feed(b" a line\n")) == [Block(b"half a line\n", 1)]
    assert list(lines.close()) == []
