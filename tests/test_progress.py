"""What of a repeated stream is new, against a model that has the whole stream before it."""

from collections.abc import Sequence

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from collector.errors import BadRequest, Conflict, KeyReused
from collector.lines import Block, Event, Lines, Part
from collector.progress import PIECE_BYTES, Digest, Progress, Resumption, canonical, parse_key, parse_offset
from tests.strategies import chunkings

LIMIT = 1500
# Lines short and long, so that the digest's pieces of 1 KiB begin and end anywhere; some over the limit.
stream_lines = st.lists(
    st.one_of(
        st.sampled_from([b"", b"a", b"bb", b"x" * (PIECE_BYTES - 1), b"y" * PIECE_BYTES, b"z" * (LIMIT + 7)]),
        st.binary(max_size=5).map(lambda data: data.replace(b"\n", b"")),
    ),
    max_size=8,
)


def cut(data: bytes, chunks: list[bytes] | None = None) -> list[Event]:
    lines = Lines(LIMIT)
    return [event for chunk in chunks or [data] for event in lines.feed(chunk)] + list(lines.close())


def joined(lines: list[bytes]) -> bytes:
    return b"".join(line + b"\n" for line in lines)


def flat(events: Sequence[Part]) -> list[bytes]:
    """Lines by what the digest sees of them."""
    return [
        line
        for event in events
        for line in (event.data[:-1].split(b"\n") if isinstance(event, Block) else [canonical(event)])
    ]


def digest_of(lines: list[bytes]) -> Digest:
    digest = Digest()
    for event in cut(joined(lines)):
        digest.update(canonical(event))
    return digest


def progress_at(lines: list[bytes], *, complete: bool) -> Progress:
    """The row of `progress` after these lines."""
    digest = digest_of(lines)
    return Progress("s", 1, len(lines), complete, digest.seal() if complete else digest.state(), 0, 0)


@given(st.data(), st.binary(max_size=5000))
def test_the_digest_does_not_depend_on_the_split(data: st.DataObject, content: bytes) -> None:
    whole, split = Digest(), Digest()
    whole.update(content)
    for chunk in data.draw(chunkings(content)):
        split.update(chunk)
    assert (split.state(), split.seal()) == (whole.state(), whole.seal())


@given(st.binary(max_size=5000), st.data())
def test_the_digest_goes_on_from_any_state(content: bytes, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(content)))
    whole, before = Digest(), Digest()
    whole.update(content)
    before.update(content[:at])
    assert len(before.state()) < 16 + PIECE_BYTES
    after = Digest(before.state())
    after.update(content[at:])
    assert (after.state(), after.seal()) == (whole.state(), whole.seal())


@given(st.binary(max_size=3000), st.binary(max_size=3000))
def test_other_content_has_another_digest(one: bytes, other: bytes) -> None:
    assume(one != other)
    digests = []
    for content in (one, other):
        digest = Digest()
        digest.update(content)
        digests.append(digest)
    assert digests[0].seal() != digests[1].seal()
    assert digests[0].state() != digests[1].state()


@settings(max_examples=300)
@given(st.data(), stream_lines)
def test_what_is_admitted_is_what_was_not_committed(data: st.DataObject, lines: list[bytes]) -> None:
    """For any stream, committed position, offset and chunking; and the digest is that of the whole stream."""
    committed = data.draw(st.integers(0, len(lines)), label="committed")
    offset = data.draw(st.integers(0, committed), label="offset")
    complete = committed == len(lines) and data.draw(st.booleans(), label="complete")
    resumption = Resumption(progress_at(lines[:committed], complete=complete), offset)
    sent = joined(lines[offset:])
    new: list[Part] = []
    for event in cut(sent, data.draw(chunkings(sent))):
        admitted = resumption.admit(event)
        if admitted is not None:
            # What a part's digest is counted from: a segment is halved by it.
            before = Digest(resumption.state_before)
            before.update(canonical(admitted))
            assert before.state() == resumption.digest.state()
            new.append(admitted)
    resumption.end()
    assert flat(new) == flat(cut(joined(lines[committed:])))
    assert resumption.position == len(lines)
    if not complete:
        assert resumption.digest.state() == digest_of(lines).state()


@settings(max_examples=300)
@given(st.data(), stream_lines)
def test_other_content_before_the_committed_position_is_found_out(data: st.DataObject, lines: list[bytes]) -> None:
    assume(lines)
    committed = data.draw(st.integers(1, len(lines)), label="committed")
    complete = committed == len(lines) and data.draw(st.booleans(), label="complete")
    changed = list(lines)
    at = data.draw(st.integers(0, committed - 1), label="changed line")
    changed[at] = data.draw(st.sampled_from([b"other", b"a", b"", b"x" * PIECE_BYTES]))
    assume(changed != lines)
    resumption = Resumption(progress_at(lines[:committed], complete=complete), 0)
    sent = joined(changed)
    admitted: list[Part] = []
    with pytest.raises(KeyReused):
        for event in cut(sent, data.draw(chunkings(sent))):
            new = resumption.admit(event)
            admitted += [new] if new is not None else []
    assert admitted == []


@given(st.data(), stream_lines, stream_lines)
def test_a_complete_stream_is_not_longer_or_shorter(data: st.DataObject, lines: list[bytes], more: list[bytes]) -> None:
    assume(more)
    offset = data.draw(st.integers(0, len(lines)), label="offset")
    resumption = Resumption(progress_at(lines, complete=True), offset)
    sent = joined([*lines[offset:], *more])
    with pytest.raises(KeyReused):
        for event in cut(sent, data.draw(chunkings(sent))):
            assert resumption.admit(event) is None
    shorter = Resumption(progress_at([*lines, *more], complete=True), offset)
    for event in cut(joined(lines[offset:])):
        assert shorter.admit(event) is None
    with pytest.raises(KeyReused, match="ends after"):
        shorter.end()


@given(stream_lines, st.integers(1, 10**18))
def test_an_offset_beyond_what_is_committed_is_a_conflict(lines: list[bytes], beyond: int) -> None:
    with pytest.raises(Conflict) as caught:
        Resumption(progress_at(lines, complete=False), len(lines) + beyond)
    assert caught.value.members == {"committed": len(lines)}


printable = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), min_size=1, max_size=255)


@given(printable)
def test_keys_are_taken_quoted_or_not(key: str) -> None:
    assert parse_key(f'"{key}"') == key
    if not (len(key) >= 2 and key[0] == key[-1] == '"'):
        assert parse_key(key) == key


@pytest.mark.parametrize("header", ["", '""', "x" * 256, '"' + "x" * 256 + '"', "ä", "a\tb", "a\x7f", "\0", "\x1f"])
def test_other_keys_are_refused(header: str) -> None:
    with pytest.raises(BadRequest, match="Idempotency-Key"):
        parse_key(header)


@given(st.integers(0, 10**18 - 1))
def test_offsets_are_whole_numbers(offset: int) -> None:
    assert parse_offset(str(offset)) == offset


@pytest.mark.parametrize("header", ["", "-1", "+1", "1.0", " 1", "1 ", "0x1", "²", "٣", "9" * 19, "9" * 5000])
def test_other_offsets_are_refused(header: str) -> None:
    with pytest.raises(BadRequest, match="Stream-Offset"):
        parse_offset(header)
