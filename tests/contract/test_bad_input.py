"""The corpus of bad input: a 4xx that names the place, or a rejected line whose neighbours are stored."""

import gzip

import pytest
import zstandard

from tests.contract.driver import NDJSON, App, Table, payload, unique
from tests.strategies import VALID, encoded

LINE_BYTES = 64 * 1024

CORPUS = {
    "malformed": (b'{"token":', "malformed"),
    "not an object": (b"[1, 2]", "invalid"),
    "a wrong type": (VALID.replace(b":3", b':"3"'), "invalid"),
    "a missing field": (b'{"token":"t"}', "invalid"),
    "too large a number": (VALID.replace(b":3", b":9223372036854775808"), "invalid"),
    "a negative number": (VALID.replace(b":3", b":-1"), "invalid"),
    "too long a text": (VALID.replace(b'"t"', b'"' + b"t" * 257 + b'"'), "invalid"),
    "an empty text": (VALID.replace(b'"t"', b'""'), "invalid"),
    "NUL": (VALID.replace(b'"t"', b'"a\\u0000b"'), "invalid"),
    "a raw NUL": (VALID.replace(b'"t"', b'"a\0b"'), "malformed"),
    "invalid UTF-8": (VALID.replace(b'"t"', b'"\xc3\x28"'), "encoding"),
    "a lone surrogate": (VALID.replace(b'"t"', b'"\\ud800"'), "malformed"),
    "an encoded surrogate": (VALID.replace(b'"t"', b'"\xed\xa0\x80"'), "encoding"),
    "4000 digits": (VALID.replace(b":3", b":" + b"1" * 4000), "invalid"),
    "100,000 levels in 64 KiB": (b'{"x":' * 13_000, "malformed"),
    "many brackets": (VALID[:-1] + b',"x":' + b"[" * 60_000, "malformed"),
    "two payloads": (VALID + VALID, "malformed"),
    "not JSON": (b"\xff\xfe\x00garbage", "malformed"),
}


@pytest.mark.parametrize("name", CORPUS)
def test_as_a_single_payload(app: App, name: str) -> None:
    body, _ = CORPUS[name]
    document = app.post(body).problem(400)
    assert len(document["detail"]) < 300


@pytest.mark.parametrize("receipts", [False, True])
@pytest.mark.parametrize("name", CORPUS)
def test_as_a_line_its_neighbours_are_stored(app: App, table: Table, name: str, receipts: bool) -> None:
    body, reason = CORPUS[name]
    customer, key = unique("acme"), unique("key")
    options = {"accept": NDJSON} if receipts else {}
    answer = app.stream([payload(customer, 1), body, payload(customer, 2)], key=key, **options)
    document = answer.lines()[-1] if receipts else answer.json()
    assert (answer.status, document["accepted"], document["rejected"]) == (200, 2, 1)
    ((line, detail),) = [(error["line"], error["detail"]) for error in document["errors"]]
    assert line == 2
    assert table.rejected(f"/stats {key}") == [(2, f"{reason}: {detail}", body)]
    assert table.payloads(customer) == [payload(customer, 1), payload(customer, 2)]


@pytest.mark.parametrize("levels", [b'{"x":' * 100_000, b"[" * 100_000])
def test_100_000_levels_are_too_large_alone_and_too_long_as_a_line(app: App, levels: bytes) -> None:
    app.post(levels).problem(413)
    document = app.stream([levels]).problem(400)
    assert (document["accepted"], document["rejected"]) == (0, 1)


def test_a_line_of_64_kib_is_taken_and_a_longer_one_is_rejected(app: App, table: Table) -> None:
    customer, key = unique("acme"), unique("key")
    exact = encoded(payload(customer, 1)).ljust(LINE_BYTES)
    longer = encoded(payload(customer, 2)).ljust(LINE_BYTES + 1)
    accepted, rejected, errors = app.stream([exact, longer, payload(customer, 3)], key=key).summary()
    assert (accepted, rejected) == (2, 1)
    assert errors[0][0] == 2
    assert str(LINE_BYTES + 1) in errors[0][1]
    ((line, reason, raw),) = table.rejected(f"/stats {key}")
    assert (line, reason.partition(":")[0], raw) == (2, "too_long", longer[:LINE_BYTES])
    assert table.payloads(customer) == [payload(customer, 1), payload(customer, 3)]


def test_a_line_of_10_mb(app: App, table: Table) -> None:
    customer, key = unique("acme"), unique("key")
    chunks = [encoded(payload(customer, 1)) + b"\n", *[b"x" * 100_000] * 100, b"\n", encoded(payload(customer, 2))]
    accepted, rejected, errors = app.post(chunks, NDJSON, key=key).summary()
    assert (accepted, rejected, len(errors)) == (2, 1, 1)
    assert "10000000 bytes" in errors[0][1]
    ((_, _, raw),) = table.rejected(f"/stats {key}")
    assert raw == b"x" * LINE_BYTES


@pytest.mark.parametrize("coding", ["gzip", "zstd"])
def test_compressed_data_that_ends_early_keeps_what_it_gave(app: App, table: Table, coding: str) -> None:
    customer = unique("acme")
    # Of tokens that do not compress, so that much comes out before the end.
    lines = b"".join(encoded(payload(customer, number, content=str(number**9))) + b"\n" for number in range(3000))
    packed = gzip.compress(lines, 1) if coding == "gzip" else zstandard.ZstdCompressor(1).compress(lines)
    for cut, broken in ((packed[:-1], "ended early"), (packed[: len(packed) // 2], "ended early")):
        document = app.post([cut], NDJSON, content_encoding=coding).problem(400)
        assert broken in document["detail"]
        assert document["accepted"] == document["committed"] == len(table.payloads(customer))
        table.run("DELETE FROM payload WHERE customer = %s", customer)
    changed = packed[:-200] + b"\xff" * 150 + packed[-50:]
    document = app.post([changed], NDJSON, content_encoding=coding).problem(400)
    assert "broken" in document["detail"]
    assert document["committed"] == len(table.payloads(customer))


def test_a_zstd_bomb_is_refused(app: App) -> None:
    bomb = zstandard.compress(bytes(200_000_000))
    assert len(bomb) < 50_000
    app.post(bomb, NDJSON, content_encoding="zstd").problem(413)
    app.post(bomb, content_encoding="zstd").problem(413)


def test_a_body_cut_in_the_middle_of_a_line_keeps_the_whole_lines(app: App, table: Table) -> None:
    customer = unique("acme")
    body = b"".join(encoded(payload(customer, number)) + b"\n" for number in range(10))
    at = len(body) - 30
    document = app.post([body[:at]], NDJSON, cut=True).problem(400)
    assert (document["committed"], document["accepted"], document["rejected"]) == (9, 9, 0)
    assert len(table.payloads(customer)) == 9


def test_a_cut_just_after_a_line_is_a_cut_all_the_same(app: App, table: Table) -> None:
    customer = unique("acme")
    document = app.post([encoded(payload(customer)) + b"\n"], NDJSON, cut=True).problem(400)
    assert document["committed"] == 1
    document = app.post([encoded(payload(customer, 2))], NDJSON, cut=True).problem(400)
    assert document["committed"] == 0
    assert table.payloads(customer) == [payload(customer)]


@pytest.mark.parametrize(
    "media_type", ["text/plain", "application/xml", "application/json-seq", "multipart/form-data", "x", "é" * 500]
)
def test_unknown_content_types(app: App, media_type: str) -> None:
    document = app.post(VALID, media_type).problem(415)
    assert "application/x-ndjson" in document["detail"]


@pytest.mark.parametrize("media_type", ["application/json", NDJSON])
@pytest.mark.parametrize("coding", ["br", "deflate", "gzip, gzip", "snappy", "é" * 500])
def test_unknown_encodings(app: App, media_type: str, coding: str) -> None:
    assert "gzip" in app.post(VALID, media_type, content_encoding=coding).problem(415)["detail"]
