"""Idempotency-Key: a repeat is not stored twice, a stream goes on where it was cut, other content is told."""

import asyncio
import gzip

import pytest

from tests.contract.driver import NDJSON, App, Table, payload, unique
from tests.strategies import encoded

REPLAYED = "idempotent-replayed"


def stream_of(customer: str) -> list[bytes]:
    """A short stream with everything in it: rows, a blank line, a bad one, an overlong one."""
    return [
        encoded(payload(customer, 1)),
        b"",
        encoded(payload(customer, 2)),
        b"bad",
        b"x" * 70_000,
        encoded(payload(customer, 3)),
    ]


STREAM_LINES = 6
STREAM_SUMMARY = (3, 2, [4, 5])


def body_of(lines: list[bytes]) -> bytes:
    return b"".join(line + b"\n" for line in lines)


def short(summary: tuple[int, int, list[tuple[int, str]]]) -> tuple[int, int, list[int]]:
    return summary[0], summary[1], [line for line, _ in summary[2]]


# Single payloads


@pytest.mark.parametrize("key", ["plain", '"quoted"', "with spaces ~!", "a/b?c=d&e#f%20", "'", "k" * 255])
def test_a_repeat_gets_the_first_answer(app: App, table: Table, key: str) -> None:
    customer = unique("acme")
    key = key if len(key) == 255 else key[:-1] + unique("-") + key[-1]
    first, second = (app.single(payload(customer), key=key) for _ in range(2))
    assert (first.status, REPLAYED in first.headers) == (204, False)
    assert (second.status, second.headers[REPLAYED]) == (204, "true")
    assert table.payloads(customer) == [payload(customer)]


def test_quoted_or_not_it_is_the_same_key(app: App, table: Table) -> None:
    customer, key = unique("acme"), unique("key")
    assert REPLAYED not in app.single(payload(customer), key=key).headers
    assert REPLAYED in app.single(payload(customer), key=f'"{key}"').headers
    assert len(table.payloads(customer)) == 1


def test_compressed_or_not_it_is_the_same_content(app: App) -> None:
    customer, key = unique("acme"), unique("key")
    body = encoded(payload(customer))
    assert app.post(body, key=key).status == 204
    assert REPLAYED in app.post(gzip.compress(body), key=key, content_encoding="gzip").headers


def test_the_same_key_with_another_payload(app: App, table: Table) -> None:
    customer, key = unique("acme"), unique("key")
    assert app.single(payload(customer, 1), key=key).status == 204
    app.single(payload(customer, 2), key=key).problem(422)
    assert table.payloads(customer) == [payload(customer, 1)]


def test_a_refused_payload_does_not_take_its_key(app: App, table: Table) -> None:
    customer, key = unique("acme"), unique("key")
    app.single(payload(customer, cdn=-1), key=key).problem(400)
    app.get(f"/streams/{key}").problem(404)
    answer = app.single(payload(customer), key=key)
    assert (answer.status, REPLAYED in answer.headers) == (204, False)
    assert len(table.payloads(customer)) == 1


def test_many_repeats_at_once_store_one(app: App, table: Table) -> None:
    customer, key = unique("acme"), unique("key")
    headers = [(b"idempotency-key", key.encode())]

    async def storm() -> list[int]:
        answers = await asyncio.gather(
            *(app.exchange("POST", "/stats", b"", headers, [encoded(payload(customer))]) for _ in range(20))
        )
        assert sum(REPLAYED not in answer.headers for answer in answers) == 1
        return [answer.status for answer in answers]

    assert app.call(storm()) == [204] * 20
    assert len(table.payloads(customer)) == 1


@pytest.mark.parametrize("key", ["", '""', "k" * 256, "ä", "tab\there", "\x7f"])
def test_bad_keys(app: App, key: str) -> None:
    assert "Idempotency-Key" in app.single(payload(unique("acme")), key=key).problem(400)["detail"]
    assert "Idempotency-Key" in app.stream([payload(unique("acme"))], key=key).problem(400)["detail"]


def test_a_single_payload_and_a_stream_share_the_keys_of_an_endpoint(app: App, table: Table) -> None:
    customer, key = unique("acme"), unique("key")
    assert app.single(payload(customer, 1), key=key).status == 204
    app.stream([payload(customer, 2)], key=key).problem(422)
    assert app.stream([payload(customer, 1)], key=key).headers[REPLAYED] == "true"
    app.stream([payload(customer, 1), payload(customer, 2)], key=key).problem(422)
    other = unique("key")
    app.stream([payload(customer, 3), payload(customer, 4)], key=other).summary()
    app.single(payload(customer, 3), key=other).problem(422)
    cut = unique("key")
    app.post([encoded(payload(customer, 5)) + b"\n"], NDJSON, key=cut, cut=True).problem(400)
    app.single(payload(customer, 5), key=cut).problem(422)
    assert sorted(row.p2p for row in table.payloads(customer)) == [1, 3, 4, 5]


# Streams


def test_a_complete_stream_sent_again_gets_its_first_summary(app: App, table: Table) -> None:
    customer, key = unique("acme"), unique("key")
    first = app.stream(stream_of(customer), key=key)
    again = app.stream(stream_of(customer), key=key)
    assert short(first.summary()) == STREAM_SUMMARY
    assert again.json() == first.json()
    assert (REPLAYED in first.headers, again.headers[REPLAYED]) == (False, "true")
    receipts = app.stream(stream_of(customer), key=key, accept=NDJSON)
    assert receipts.headers[REPLAYED] == "true"
    assert receipts.lines()[-1] == first.json()
    assert len(table.payloads(customer)) == 3
    assert len(table.rejected(f"/stats {key}")) == 2


def test_a_stream_of_which_nothing_was_accepted_is_answered_the_same_again(app: App, table: Table) -> None:
    key = unique("key")
    first, again = (app.stream([b"bad", b"worse"], key=key) for _ in range(2))
    assert first.problem(400) == again.problem(400)
    assert (REPLAYED in first.headers, again.headers.get(REPLAYED)) == (False, "true")
    assert len(table.rejected(f"/stats {key}")) == 2


def test_a_longer_or_shorter_one_or_another_is_422(app: App, table: Table) -> None:
    customer, key = unique("acme"), unique("key")
    lines = stream_of(customer)
    app.stream(lines, key=key).summary()
    others = {
        "longer": [*lines, encoded(payload(customer, 9))],
        "longer by a blank line": [*lines, b""],
        "shorter": lines[:-1],
        "empty": [],
        "another first line": [encoded(payload(customer, 9)), *lines[1:]],
        "another last line": [*lines[:-1], encoded(payload(customer, 9))],
        "another bad line": [line.replace(b"bad", b"BAD") for line in lines],
        "a longer overlong line": [line + b"x" if len(line) > 60_000 else line for line in lines],
        "in another order": [lines[2], *lines[1:2], lines[0], *lines[3:]],
    }
    for name, other in others.items():
        assert app.stream(other, key=key).status == 422, name
    for offset, rest in ((5, [*lines[5:], b"{}"]), (6, [b"{}"]), (4, lines[4:5])):
        app.stream(rest, key=key, stream_offset=offset).problem(422)
    assert len(table.payloads(customer)) == 3
    assert app.get(f"/streams/{key}").json() == {"committed": STREAM_LINES, "rejected": 2, "complete": True}


def test_with_receipts_422_is_the_last_line(app: App) -> None:
    customer, key = unique("acme"), unique("key")
    app.stream([payload(customer, 1)], key=key).summary()
    answer = app.stream([payload(customer, 2)], key=key, accept=NDJSON)
    assert answer.lines()[-1]["status"] == 422


@pytest.mark.parametrize("cut_after", range(STREAM_LINES + 1))
def test_after_a_cut_it_goes_on_from_every_offset(app: App, table: Table, cut_after: int) -> None:
    for offset in range(cut_after + 1):
        customer, key = unique("acme"), unique("key")
        lines = stream_of(customer)
        begun = body_of(lines[:cut_after]) + (lines[cut_after][:5] if cut_after < len(lines) else b"")
        document = app.post([begun], NDJSON, key=key, cut=True).problem(400)
        assert document["committed"] == cut_after
        state = app.get(f"/streams/{key}").json()
        assert (state["committed"], state["complete"]) == (cut_after, False)
        answer = app.post(body_of(lines[offset:]), NDJSON, key=key, stream_offset=offset)
        assert short(answer.summary()) == STREAM_SUMMARY
        assert app.get(f"/streams/{key}").json() == {"committed": STREAM_LINES, "rejected": 2, "complete": True}
        assert table.payloads(customer) == [payload(customer, number) for number in (1, 2, 3)]
        assert [line for line, _, _ in table.rejected(f"/stats {key}")] == [4, 5]
        # The digest went on from the cut, so that the whole can be compared.
        assert app.stream(lines, key=key).headers[REPLAYED] == "true"
        app.stream([*lines[:-1], encoded(payload(customer, 9))], key=key).problem(422)


def test_cut_again_and_again(app: App, table: Table) -> None:
    customer, key = unique("acme"), unique("key")
    body = body_of(stream_of(customer))
    for at in [0, 1, 150, 160, 250, 300, 400, 410, 60_000, 70_500, len(body)]:
        app.post([body[: at // 2], body[at // 2 : at]], NDJSON, key=key, cut=True).problem(400)
    assert short(app.post(body, NDJSON, key=key).summary()) == STREAM_SUMMARY
    assert table.payloads(customer) == [payload(customer, number) for number in (1, 2, 3)]


def test_an_offset_beyond_what_is_committed(app: App, table: Table) -> None:
    customer, key = unique("acme"), unique("key")
    app.post([encoded(payload(customer)) + b"\n"], NDJSON, key=key, cut=True).problem(400)
    for offset in (2, 10**17):
        document = app.stream([payload(customer, 2)], key=key, stream_offset=offset).problem(409)
        assert document["committed"] == 1
    unknown = app.stream([payload(customer, 2)], key=unique("key"), stream_offset=1)
    assert unknown.problem(409)["committed"] == 0
    assert len(table.payloads(customer)) == 1


def test_other_content_before_the_cut_is_422_and_after_it_is_new(app: App, table: Table) -> None:
    customer, key = unique("acme"), unique("key")
    app.post([body_of([encoded(payload(customer, 1))]) + b'{"tok'], NDJSON, key=key, cut=True).problem(400)
    app.stream([payload(customer, 8), payload(customer, 2)], key=key).problem(422)
    assert app.get(f"/streams/{key}").json()["complete"] is False
    assert app.stream([payload(customer, 1), payload(customer, 2)], key=key).summary() == (2, 0, [])
    assert [row.p2p for row in table.payloads(customer)] == [1, 2]


def test_a_whole_stream_shorter_than_what_is_committed_of_it(app: App) -> None:
    customer, key = unique("acme"), unique("key")
    app.post([body_of([encoded(payload(customer, number)) for number in (1, 2)])], NDJSON, key=key, cut=True)
    app.stream([payload(customer, 1)], key=key).problem(422)
    assert app.get(f"/streams/{key}").json() == {"committed": 2, "rejected": 0, "complete": False}


def test_an_empty_stream_is_complete(app: App) -> None:
    key = unique("key")
    assert app.stream([], key=key).summary() == (0, 0, [])
    assert app.get(f"/streams/{key}").json() == {"committed": 0, "rejected": 0, "complete": True}
    assert app.stream([], key=key).headers[REPLAYED] == "true"
    app.stream([payload(unique("acme"))], key=key).problem(422)


def test_a_missing_last_newline_does_not_make_another_stream(app: App) -> None:
    customer, key = unique("acme"), unique("key")
    assert app.post(encoded(payload(customer)) + b"\n", NDJSON, key=key).status == 200
    assert REPLAYED in app.post(encoded(payload(customer)), NDJSON, key=key).headers


@pytest.mark.parametrize("offset", ["", "-1", "1.5", "x", "9" * 30, "٣".encode().decode("latin-1")])
def test_bad_offsets(app: App, offset: str) -> None:
    document = app.stream([payload(unique("acme"))], key=unique("key"), stream_offset=offset).problem(400)
    assert "Stream-Offset" in document["detail"]


def test_an_offset_needs_a_key(app: App, table: Table) -> None:
    customer = unique("acme")
    assert "Idempotency-Key" in app.stream([payload(customer)], stream_offset=1).problem(400)["detail"]
    assert app.stream([payload(customer)], stream_offset=0).status == 200
    assert len(table.payloads(customer)) == 1


# GET /streams


@pytest.mark.parametrize("key", ["plain", "a/b", "/", "a//b/", "with spaces", "?x=1&y#z", "%2F", "k" * 248, "{}", "é"])
def test_how_far_a_stream_is(app: App, key: str) -> None:
    if not key.isascii():
        app.get(f"/streams/{key}").problem(400)
        return
    key = unique(key)
    app.get(f"/streams/{key}").problem(404)
    app.stream([payload(unique("acme")), b"bad"], key=key).summary()
    for parameters in ({}, {"endpoint": "/stats"}):
        answer = app.get(f"/streams/{key}", **parameters)
        assert answer.json() == {"committed": 2, "rejected": 1, "complete": True}


def test_streams_of_other_endpoints(app: App) -> None:
    assert "endpoint" in app.get("/streams/k", endpoint="/nowhere").problem(400)["detail"]
    app.get("/streams/k", endpoint="").problem(400)
    app.get("/streams/" + "k" * 256).problem(400)
    app.get("/streams/k", nothing=1).problem(400)
