"""POST /stats with one payload: stored before the answer, in whatever way the bytes came."""

import gzip
from datetime import UTC, datetime
from typing import Any

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from collector.messages.payload import Payload
from tests.contract.driver import App, Table, payload, unique
from tests.strategies import chunkings, encoded, payloads

MAX_SINGLE_BYTES = 64 * 1024


def test_a_payload_is_stored_when_it_is_answered(app: App, table: Table) -> None:
    customer = unique("acme")
    app.clock.advance(0.25)
    sent = payload(customer, session_duration=299_999)
    answer = app.single(sent)
    assert (answer.status, answer.body) == (204, b"")
    row = table.rows("SELECT * FROM payload WHERE customer = %s", customer)[0]
    received_at = datetime.fromtimestamp(app.clock.now, UTC)
    assert row == (received_at, sent.token, customer, "film", 30_000, 1, 10, 299_999, True)


@pytest.mark.parametrize(
    "media_type",
    [None, "application/json", "application/json; charset=utf-8", "Application/JSON", " application/json "],
)
def test_json_with_or_without_a_content_type(app: App, table: Table, media_type: str | None) -> None:
    customer = unique("acme")
    assert app.single(payload(customer), media_type=media_type).status == 204
    assert table.payloads(customer) == [payload(customer)]


def test_json_may_span_lines(app: App, table: Table) -> None:
    customer = unique("acme")
    assert app.post(encoded(payload(customer)).replace(b",", b",\n") + b"\n\n").status == 204
    assert table.payloads(customer) == [payload(customer)]


@pytest.mark.parametrize("coding", ["gzip", "x-gzip", "GZIP", "zstd", "identity"])
def test_compressed_or_not(app: App, table: Table, coding: str) -> None:
    customer = unique("acme")
    body = encoded(payload(customer))
    packed = {"zstd": zstandard.compress(body), "identity": body}.get(coding, gzip.compress(body))
    assert app.post([packed[:9], packed[9:]], content_encoding=coding).status == 204
    assert table.payloads(customer) == [payload(customer)]


@settings(max_examples=40)
@given(data=st.data(), sent=payloads(customer=st.just("")))
def test_any_payload_in_any_pieces_is_what_is_stored(
    app: App, table: Table, data: st.DataObject, sent: Payload
) -> None:
    sent.customer = unique("any")
    body = encoded(sent)
    length: dict[str, Any] = data.draw(st.sampled_from([{}, {"content_length": len(body)}]))
    assert app.post(data.draw(chunkings(body)), **length).status == 204
    assert table.payloads(sent.customer) == [sent]


def test_the_limit_is_64_kib_decompressed(app: App, table: Table) -> None:
    customer = unique("acme")
    body = encoded(payload(customer)).ljust(MAX_SINGLE_BYTES)
    for packed, coding in ((body, "identity"), (gzip.compress(body), "gzip"), (zstandard.compress(body), "zstd")):
        assert app.post(packed, content_encoding=coding, content_length=len(packed)).status == 204
    assert len(table.payloads(customer)) == 3
    larger = body + b" "
    for packed, coding in ((larger, "identity"), (gzip.compress(larger), "gzip"), (zstandard.compress(larger), "zstd")):
        answer = app.post(packed, content_encoding=coding, content_length=len(packed))
        assert str(MAX_SINGLE_BYTES) in answer.problem(413)["detail"]
    assert len(table.payloads(customer)) == 3


def test_only_under_300_seconds_a_session_starts_and_once(app: App, table: Table) -> None:
    customer = unique("acme")
    for duration, token in ((300_000, "late"), (299_999, "new"), (0, "new"), (299_999, "late"), (0, "late")):
        sent = payload(customer, token=f"{customer}/{token}", session_duration=duration)
        assert app.single(sent).status == 204
        app.clock.advance(1)
    started = table.rows("SELECT started FROM payload WHERE customer = %s ORDER BY received_at", customer)
    assert started == [(False,), (True,), (False,), (True,), (False,)]


def test_a_refused_payload_leaves_nothing(app: App, table: Table) -> None:
    customer = unique("acme")
    document = app.single(payload(customer, cdn=-1)).problem(400)
    assert "$.cdn" in document["detail"]
    assert table.payloads(customer) == []


def test_an_offset_is_for_streams(app: App) -> None:
    assert "Stream-Offset" in app.single(payload(unique("acme")), stream_offset=0).problem(400)["detail"]


def test_a_body_that_is_cut_is_not_stored(app: App, table: Table) -> None:
    customer = unique("acme")
    body = encoded(payload(customer))
    for chunks in ([], [body], [body[:10]], [body, b""]):
        app.post(chunks, cut=True).problem(400)
    app.post(gzip.compress(body)[:-1], content_encoding="gzip").problem(400)
    app.post(zstandard.compress(body)[:-1], content_encoding="zstd").problem(400)
    assert table.payloads(customer) == []
