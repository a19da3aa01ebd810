"""Limits at their edges, the corpus of bad input, and that decoding fast or line by line is the same."""

from typing import Any

import msgspec
import pytest
from hypothesis import example, given, settings

from collector.errors import BadRequest
from collector.messages.decoding import ONE_EXPECTED, RAW_KEPT_BYTES, Decoded
from collector.messages.payload import DECODER, Payload
from tests.strategies import FRAGMENTS, VALID, streams

GOOD: dict[str, Any] = {
    "token": "t",
    "customer": "acme",
    "content": "film",
    "timespan": 30_000,
    "p2p": 1,
    "cdn": 2,
    "sessionDuration": 3,
}
STRINGS = ("token", "customer", "content")
INTEGERS = ("timespan", "p2p", "cdn", "sessionDuration")


def line(**changes: Any) -> bytes:
    return msgspec.json.encode({**GOOD, **changes})


def refusal(body: bytes) -> str:
    """Why it is refused, alone and as a line between two good ones, which are accepted."""
    with pytest.raises(BadRequest) as caught:
        DECODER.single(body)
    if b"\n" not in body:
        found = DECODER.block(VALID + b"\n" + body + b"\n" + VALID + b"\n", 3)
        assert (len(found.rows), found.indices) == (2, [0, 2])
        (reject,) = found.rejects
        assert (reject.index, reject.raw) == (1, body[:RAW_KEPT_BYTES])
        hint = "" if reject.detail == caught.value.detail else f"; {ONE_EXPECTED}"
        assert caught.value.detail == reject.detail + hint
    return caught.value.detail


@pytest.mark.parametrize("body", [b"", b" ", b"\n"])
def test_an_empty_body_is_said_to_be_empty(body: bytes) -> None:
    with pytest.raises(BadRequest, match=r"^the body is empty$"):
        DECODER.single(body)


@pytest.mark.parametrize("body", [b"[%b]" % line(), b"[]", b" [", line() + b"\n" + line(), line() + b"\n{"])
def test_many_where_one_is_expected_are_told_how_to_come(body: bytes) -> None:
    assert refusal(body).endswith("one message is expected; send many as application/x-ndjson, a line each")


@pytest.mark.parametrize("key", ["sessionduration", "SessionDuration", "SESSIONDURATION", "session_duration"])
def test_a_key_that_is_nearly_a_field_is_named(key: str) -> None:
    given = GOOD | {key: GOOD["sessionDuration"]}
    del given["sessionDuration"]
    said = f"Object missing required field `sessionDuration`; `{key}` is not a field"
    assert refusal(msgspec.json.encode(given)) == said


@pytest.mark.parametrize("key", ["duration", "_" * 60_000 + "sessionDuration", "ſessionDuration1"])
def test_other_keys_are_not_named(key: str) -> None:
    given = {name: value for name, value in GOOD.items() if name != "sessionDuration"} | {key: 1}
    assert refusal(msgspec.json.encode(given)) == "Object missing required field `sessionDuration`"


@pytest.mark.parametrize("field", STRINGS)
def test_strings_have_1_to_256_characters(field: str) -> None:
    for text in ("x", "x" * 256, "😀" * 256, "\n", " "):
        assert getattr(DECODER.single(line(**{field: text})), field) == text
    for text in ("", "x" * 257, "😀" * 257):
        assert f"$.{field}" in refusal(line(**{field: text}))


@pytest.mark.parametrize("field", INTEGERS)
def test_integers_are_0_to_2_to_the_63rd_minus_1(field: str) -> None:
    for number in (0, 1, 2**31, 2**53 + 1, 2**63 - 1):
        payload = DECODER.single(line(**{field: number}))
        assert msgspec.to_builtins(payload)[field] == number
    for number in (-1, 2**63, 2**64, 10**25):
        body = line().replace(b'"%b":%d' % (field.encode(), GOOD[field]), b'"%b":%d' % (field.encode(), number))
        assert f"$.{field}" in refusal(body)
    wrong: list[Any] = [1.5, "1", True, None, [], {}]
    for value in wrong:
        assert f"$.{field}" in refusal(line(**{field: value}))


@pytest.mark.parametrize("field", STRINGS)
def test_a_field_of_the_wrong_type_is_named(field: str) -> None:
    for value in (1, None, ["x"], {"x": 1}, True):
        assert f"$.{field}" in refusal(line(**{field: value}))


@pytest.mark.parametrize("field", [*STRINGS, *INTEGERS])
def test_a_missing_field_is_named(field: str) -> None:
    assert field in refusal(msgspec.json.encode({name: value for name, value in GOOD.items() if name != field}))


def test_unknown_fields_are_ignored() -> None:
    assert DECODER.single(line(more={"deep": [1, 2, {"x": None}]}, session_duration=-1)) == DECODER.single(line())


@pytest.mark.parametrize("field", STRINGS)
def test_nul_is_refused_with_the_path(field: str) -> None:
    for text in ("\0", "a\0b", "a\0"):
        detail = refusal(line(**{field: text}))
        assert f"$.{field}" in detail
        assert "NUL" in detail


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"{", "malformed"),
        (VALID[:-1], "malformed"),
        (VALID + b",", "malformed"),
        (VALID + VALID, "malformed"),
        (VALID.replace(b'"t"', b"'t'"), "malformed"),
        (VALID.replace(b'"t"', b'"\xff\xfe"'), "encoding"),
        (VALID.replace(b'"t"', b'"\xed\xa0\x80"'), "encoding"),
        (VALID.replace(b'"t"', b'"\\ud800"'), "malformed"),
        (VALID.replace(b'"t"', b'"\\udc00\\ud800"'), "malformed"),
        (VALID.replace(b'"t"', b'"a\0b"'), "malformed"),
        (VALID.replace(b":3", b":" + b"9" * 4000), "invalid"),
        (VALID.replace(b":3", b":-" + b"9" * 4000), "invalid"),
        (VALID.replace(b":3", b":NaN"), "malformed"),
        (VALID.replace(b":3", b":1e400"), "invalid"),
        (VALID.replace(b":3", b":03"), "malformed"),
        (b"[" * 100_000, "invalid"),
        (b'{"x":' * 100_000, "malformed"),
        (VALID[:-1] + b',"x":' + b"[" * 100_000 + b"]" * 100_000 + b"}", "malformed"),
        (b"null", "invalid"),
        (b"[]", "invalid"),
        (b'"text"', "invalid"),
        (b"\xef\xbb\xbf" + VALID, "malformed"),
        (b"\0" * 100, "malformed"),
    ],
)
def test_the_corpus_of_bad_input(body: bytes, reason: str) -> None:
    assert refusal(body)
    assert [reject.reason for reject in DECODER.block(body + b"\n", 1).rejects] == [reason]


def test_nothing_is_no_payload() -> None:
    for body in (b"", b" ", b"\n"):
        with pytest.raises(BadRequest):
            DECODER.single(body)


def test_what_is_kept_of_a_rejected_line_is_bounded() -> None:
    (reject,) = DECODER.block(b"x" * (RAW_KEPT_BYTES + 1) + b"\n", 1).rejects
    assert reject.raw == b"x" * RAW_KEPT_BYTES


def test_blank_lines_are_neither_rows_nor_rejects_but_count() -> None:
    found = DECODER.block(b"\n" + VALID + b"\n \t\r\n\n" + VALID + b"\n", 5)
    assert (len(found.rows), found.indices, found.rejects) == (2, [1, 4], [])


def test_carriage_returns_end_lines_too() -> None:
    found = DECODER.block(VALID + b"\r\n" + VALID + b"\r\n", 2)
    assert (len(found.rows), found.rejects) == (2, [])


def normal(found: Decoded) -> tuple[list[Payload], list[int], list[Any]]:
    indices = list(range(len(found.rows))) if found.indices is None else found.indices
    assert len(indices) == len(found.rows)
    return found.rows, indices, found.rejects


@settings(max_examples=500)
@given(streams)
@example(VALID.replace(b",", b",\n", 1) + b"\n" + VALID + VALID + b"\n")
@example(b"".join(FRAGMENTS))
def test_the_fast_path_is_the_slow_path(data: bytes) -> None:
    """Values that span lines or share one are for the lines to judge, whatever one call for the block would take."""
    block = data if data.endswith(b"\n") else data + b"\n"
    found = DECODER.block(block, block.count(b"\n"))
    assert normal(found) == normal(DECODER._line_by_line(block))
    every_index = sorted([*normal(found)[1], *[reject.index for reject in found.rejects]])
    lines = block[:-1].split(b"\n")
    assert every_index == [index for index, text in enumerate(lines) if text and not text.isspace()]


@settings(max_examples=300)
@given(streams)
def test_a_line_is_accepted_exactly_when_it_is_as_a_single(data: bytes) -> None:
    for text in data.split(b"\n"):
        if text and not text.isspace():
            found = DECODER.block(text + b"\n", 1)
            try:
                alone = DECODER.single(text)
            except BadRequest as exc:
                (reject,) = found.rejects
                assert exc.detail in (reject.detail, f"{reject.detail}; {ONE_EXPECTED}")
            else:
                assert found.rows == [alone]


def test_the_fast_path_is_taken_by_plain_lines() -> None:
    """`indices` is None there only: the speed of a stream rests on it."""
    assert DECODER.block((VALID + b"\n") * 100, 100).indices is None
