"""POST /stats with JSON lines: the summary, line numbers, quarantine and receipts."""

import gzip
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from collector.messages.payload import Payload
from tests.contract.driver import NDJSON, App, Table, payload, unique
from tests.strategies import VALID, chunkings, encoded, payloads, streams

MAX_ERRORS = 100
PACK: dict[str, Callable[[bytes], bytes]] = {"identity": bytes, "gzip": gzip.compress, "zstd": zstandard.compress}


@pytest.mark.parametrize(
    "media_type", [NDJSON, "application/jsonl", "application/x-ndjson; charset=utf-8", "Application/X-NDJSON"]
)
def test_both_names_of_json_lines(app: App, table: Table, media_type: str) -> None:
    customer = unique("acme")
    body = encoded(payload(customer, 1)) + b"\n" + encoded(payload(customer, 2)) + b"\n"
    answer = app.post(body, media_type)
    assert answer.media_type == "application/json"
    assert answer.json() == {"accepted": 2, "rejected": 0, "errors": []}
    assert table.payloads(customer) == [payload(customer, 1), payload(customer, 2)]


@pytest.mark.parametrize("coding", ["gzip", "zstd"])
def test_compressed_lines_of_several_members(app: App, table: Table, coding: str) -> None:
    customer = unique("acme")
    compress = PACK[coding]
    body = b"".join(encoded(payload(customer, number)) + b"\n" for number in (1, 2, 3))
    packed = compress(body[:100]) + compress(b"") + compress(body[100:])
    assert app.post([packed[:50], packed[50:]], NDJSON, content_encoding=coding).summary() == (3, 0, [])
    assert table.payloads(customer) == [payload(customer, number) for number in (1, 2, 3)]


def test_the_last_line_needs_no_newline(app: App, table: Table) -> None:
    customer = unique("acme")
    assert app.post(encoded(payload(customer)), NDJSON).summary() == (1, 0, [])
    assert table.payloads(customer) == [payload(customer)]


def test_no_lines_and_blank_lines_are_an_empty_summary(app: App) -> None:
    for body in (b"", b"\n", b"\n\n \t\r\n", b"   "):
        assert app.post(body, NDJSON).summary() == (0, 0, [])


def test_blank_lines_are_skipped_and_counted(app: App, table: Table) -> None:
    customer, key = unique("acme"), unique("key")
    lines: list[bytes | Payload] = [
        b"",
        payload(customer, 1),
        b"  ",
        b"",
        b"bad",
        b"\r",
        payload(customer, 2),
        b"{}",
        b"",
    ]
    accepted, rejected, errors = app.stream(lines, key=key).summary()
    assert (accepted, rejected, [line for line, _ in errors]) == (2, 2, [5, 8])
    assert [line for line, _, _ in table.rejected(f"/stats {key}")] == [5, 8]
    assert app.get(f"/streams/{key}").json() == {"committed": 9, "rejected": 2, "complete": True}


def test_line_numbers_go_on_over_reads(app: App) -> None:
    """Each line comes in a piece of its own, and one piece ends in the middle of a line."""
    customer = unique("acme")
    good = encoded(payload(customer)) + b"\n"
    _, rejected, errors = app.post([good, b"x\n", good + b"y", b"y\n" + good, b"\n", b"z"], NDJSON).summary()
    assert (rejected, [line for line, _ in errors]) == (3, [2, 4, 7])


def test_at_most_100_errors_are_spelled_out_and_all_are_kept(app: App, table: Table) -> None:
    customer, key = unique("acme"), unique("key")
    lines: list[bytes | Payload] = [b"bad"] * 150
    lines.append(payload(customer))
    accepted, rejected, errors = app.stream(lines, key=key).summary()
    assert (accepted, rejected) == (1, 150)
    assert [line for line, _ in errors] == list(range(1, MAX_ERRORS + 1))
    assert [line for line, _, _ in table.rejected(f"/stats {key}")] == list(range(1, 151))


def test_nothing_accepted_is_a_problem_with_the_summary(app: App) -> None:
    document = app.stream([b"bad", b"", b"[]"]).problem(400)
    assert (document["accepted"], document["rejected"]) == (0, 2)
    assert [error["line"] for error in document["errors"]] == [1, 3]
    assert all(error["detail"] for error in document["errors"])


def test_what_is_kept_of_a_rejected_line(app: App, table: Table) -> None:
    key = unique("key")
    app.clock.advance(1)
    raw = b'{"token":"\xff\\u0000"}'
    app.stream([b"", raw, payload(unique("acme"))], key=key).summary()
    ((received_at, line, reason, kept),) = table.rows(
        "SELECT extract(epoch FROM received_at)::float, line, reason, raw FROM rejected WHERE source = %s",
        f"/stats {key}",
    )
    assert (received_at, line, kept) == (app.clock.now, 2, raw)
    assert reason.startswith("encoding: ")


def test_rejected_lines_of_a_request_without_a_key_are_kept_too(app: App, table: Table) -> None:
    mark = unique("mark").encode()
    app.stream([mark]).problem(400)
    ((source, line),) = table.rows("SELECT source, line FROM rejected WHERE raw = %s", mark)
    assert source.startswith("/stats #")
    assert line == 1


def receipts(documents: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """The receipts, and what stands at the end."""
    *before, last = documents
    assert all(set(receipt) == {"committed", "rejected"} for receipt in before)
    counts = [receipt["committed"] for receipt in before]
    assert counts == sorted(set(counts))
    return before, last


def test_receipts_and_at_the_end_the_summary(app: App, table: Table) -> None:
    customer = unique("acme")
    bodies = [encoded(payload(customer, number)) + b"\n" for number in range(20)]
    answer = app.post([*bodies[:10], b"bad\n\n", *bodies[10:]], NDJSON, accept=NDJSON)
    before, last = receipts(answer.lines())
    assert (last["accepted"], last["rejected"], last["errors"][0]["line"]) == (20, 1, 11)
    assert all(receipt["committed"] <= 22 for receipt in before)
    assert len(table.payloads(customer)) == 20


def test_receipts_keep_status_200_whatever_comes(app: App) -> None:
    answer = app.stream([b"bad"], accept=NDJSON)
    assert (answer.status, answer.lines()[-1]["rejected"]) == (200, 1)
    broken = app.post([VALID + b"\n", b"\x00"], NDJSON, accept=NDJSON, content_encoding="gzip")
    assert broken.status == 200
    assert broken.lines()[-1]["status"] == 400
    cut = app.post([encoded(payload(unique("acme"))) + b"\n"], NDJSON, accept=NDJSON, cut=True)
    assert (cut.lines()[-1]["status"], cut.lines()[-1]["committed"]) == (400, 1)


def test_what_is_wrong_before_the_body_is_a_plain_problem_in_spite_of_receipts(app: App) -> None:
    app.stream([VALID], accept=NDJSON, key="").problem(400)
    app.stream([VALID], accept=NDJSON, key=unique("key"), stream_offset=1).problem(409)
    app.stream([VALID], accept=NDJSON, content_encoding="br").problem(415)


@settings(max_examples=60)
@given(data=st.data(), stream=streams, receipts=st.booleans(), coding=st.sampled_from(sorted(PACK)))
def test_any_chunking_of_any_bytes_gives_the_same_rows(
    app: App, table: Table, data: st.DataObject, stream: bytes, receipts: bool, coding: str
) -> None:
    """In one piece, and in any pieces, packed or not: the same rows, the same quarantine, the same summary."""
    found = []
    options: dict[str, Any] = {"accept": NDJSON} if receipts else {}
    packed = PACK[coding](stream)
    for chunks in ([packed], data.draw(chunkings(packed))):
        key = unique("key")
        before = table.rows("SELECT count(*) FROM payload")[0][0]
        app.clock.advance(1)
        answer = app.post(chunks, NDJSON, key=key, content_encoding=coding, **options)
        document = answer.lines()[-1] if receipts else answer.json()
        summary = tuple(document[member] for member in ("accepted", "rejected", "errors"))
        rows = table.rows(
            """SELECT token, customer, content, timespan, p2p, cdn, session_duration FROM payload
               WHERE received_at = to_timestamp(%s) ORDER BY token COLLATE "C", p2p, cdn, timespan, session_duration""",
            app.clock.now,
        )
        assert len(rows) == table.rows("SELECT count(*) FROM payload")[0][0] - before == summary[0]
        found.append((answer.status, summary, sorted(rows), table.rejected(f"/stats {key}")))
    assert found[0] == found[1]


@settings(max_examples=30)
@given(data=st.data(), sent=st.lists(payloads(customer=st.just("")), max_size=10))
def test_what_is_sent_is_what_is_stored_in_order(
    app: App, table: Table, data: st.DataObject, sent: list[Payload]
) -> None:
    customer = unique("any")
    for each in sent:
        each.customer = customer
    body = b"".join(encoded(each) + b"\n" for each in sent)
    assert app.post(data.draw(chunkings(body)), NDJSON).summary() == (len(sent), 0, [])
    assert sorted(map(msgspec.json.encode, table.payloads(customer))) == sorted(map(msgspec.json.encode, sent))
