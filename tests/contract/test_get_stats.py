"""GET /stats: filters, paging, formats, bounds of time, and parameters that do not fit."""

import csv
import io
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs

import pytest
from hypothesis import given, settings

from tests.contract.driver import NDJSON, WINDOW_S, Answer, App, payload, unique
from tests.strategies import MAX_AMOUNT, texts


def at(epoch_s: float) -> str:
    return datetime.fromtimestamp(epoch_s, UTC).isoformat().replace("+00:00", "Z")


def rows_of(answer: Answer) -> list[dict[str, Any]]:
    assert answer.status == 200, answer.body
    assert answer.media_type == "application/json"
    document = answer.json()
    assert list(document) == ["rows", "next"]
    rows: list[dict[str, Any]] = document["rows"]
    assert all(list(row) == ["time", "customer", "content", "cdn", "p2p", "sessions"] for row in rows)
    return rows


def test_a_window_has_its_sums_and_started_sessions(app: App) -> None:
    customer = unique("acme")
    boundary = app.clock.to_boundary(1)
    lines = [
        payload(customer, 1, cdn=5, p2p=7, session_duration=0),
        payload(customer, 1, cdn=11, p2p=13, session_duration=30_000),
        payload(customer, 2, cdn=17, p2p=19, session_duration=299_999),
        payload(customer, 3, cdn=23, p2p=29, session_duration=300_000),
        payload(customer, 4, content="other", cdn=0, p2p=0, session_duration=1),
    ]
    assert app.stream(lines).status == 200
    assert rows_of(app.get("/stats", customer=customer)) == [
        {
            "time": at(boundary + WINDOW_S),
            "customer": customer,
            "content": "film",
            "cdn": 56,
            "p2p": 68,
            "sessions": 2,
        },
        {"time": at(boundary + WINDOW_S), "customer": customer, "content": "other", "cdn": 0, "p2p": 0, "sessions": 1},
    ]


def test_filters(app: App) -> None:
    one, two = unique("acme"), unique("acme")
    app.clock.to_boundary()
    app.stream([payload(one), payload(one, content="show"), payload(two), payload(two, content="show")])
    found = [(row["customer"], row["content"]) for row in rows_of(app.get("/stats", customer=one))]
    assert found == [(one, "film"), (one, "show")]
    (row,) = rows_of(app.get("/stats", customer=two, content="show"))
    assert (row["customer"], row["content"]) == (two, "show")
    assert rows_of(app.get("/stats", customer=one, content="nothing")) == []
    assert {row["content"] for row in rows_of(app.get("/stats", content="show"))} == {"show"}


@settings(max_examples=40)
@given(customer=texts, content=texts)
def test_any_names_are_found_again(app: App, customer: str, content: str) -> None:
    mark = len(rows_of(app.get("/stats", customer=customer, content=content)))
    app.clock.to_boundary()
    assert app.single(payload(customer, content=content, token=unique("t"))).status == 204
    found = rows_of(app.get("/stats", customer=customer, content=content))
    assert len(found) == mark + 1
    assert {(row["customer"], row["content"]) for row in found} == {(customer, content)}
    listed = app.get("/stats", "text/csv", customer=customer, content=content)
    assert [row[1:3] for row in csv.reader(io.StringIO(listed.body.decode(), newline=""))][1] == [customer, content]


def test_sums_pass_64_bits(app: App) -> None:
    customer = unique("acme")
    app.stream([payload(customer, number, cdn=MAX_AMOUNT, p2p=MAX_AMOUNT) for number in range(5)]).summary()
    answer = app.get("/stats", customer=customer)
    total = str(5 * MAX_AMOUNT).encode()
    assert b'"cdn":%b,"p2p":%b,' % (total, total) in answer.body
    assert total in app.get("/stats", "text/csv", customer=customer).body
    assert total in app.get("/stats", NDJSON, customer=customer).body


def test_bounds_take_windows_that_end_after_from_and_not_after_to(app: App) -> None:
    customer = unique("acme")
    boundary = app.clock.to_boundary(1)
    for _ in range(3):
        app.single(payload(customer))
        app.clock.advance(WINDOW_S)
    ends = [boundary + WINDOW_S * number for number in (3, 2, 1)]

    def found(**bounds: Any) -> list[str]:
        return [row["time"] for row in rows_of(app.get("/stats", customer=customer, **bounds))]

    assert found() == [at(end) for end in ends]
    assert found(from_=at(ends[1])) == [at(ends[0])]
    assert found(to=at(ends[1])) == [at(ends[1]), at(ends[2])]
    assert found(from_=at(ends[2]), to=at(ends[1])) == [at(ends[1])]
    assert found(from_=at(ends[1]), to=at(ends[1])) == []
    assert found(from_=at(ends[0]), to=at(ends[2])) == []
    ms = int(ends[1] * 1000)
    assert found(from_=ms - 1, to=ms) == [at(ends[1])]
    assert found(from_=ms, to=ms + 1) == []
    assert found(to=ms - 1) == [at(ends[2])]
    moved = datetime.fromtimestamp(ends[1], UTC) + timedelta(hours=2)
    assert found(from_=moved.replace(tzinfo=None).isoformat() + "+02:00") == [at(ends[0])]
    assert found(from_=0, to=253_402_300_799_999) == [at(end) for end in ends]


def test_newest_first_then_by_customer_and_content(app: App) -> None:
    mark = unique("order")
    names = ["b", "B", "a", "é", "Z", "a-b", "a b", "ab", "😀", "~"]
    for _ in range(2):
        app.clock.to_boundary()
        app.stream([payload(name, content=mark, token=unique("t")) for name in names])
    rows = rows_of(app.get("/stats", content=mark))
    times = [row["time"] for row in rows]
    assert times == sorted(times, reverse=True)
    assert [row["customer"] for row in rows] == sorted(names) * 2


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 11, 12, 13, 10_000])
def test_pages_go_on_over_ties_and_meet_each_row_once(app: App, limit: int) -> None:
    mark = unique("pages")
    for _ in range(3):
        app.clock.to_boundary()
        app.stream([payload(name, content=mark, token=unique("t")) for name in "dbca"])
    whole = rows_of(app.get("/stats", content=mark))
    assert len(whole) == 12
    answer = app.get("/stats", content=mark, limit=limit)
    paged = rows_of(answer)
    pages = 1
    while (cursor := answer.json()["next"]) is not None:
        assert len(rows_of(answer)) == limit
        # What comes in meanwhile is newer, and moves nothing.
        if pages == 1:
            app.clock.to_boundary()
            app.single(payload("a", content=mark, token=unique("t")))
        answer = app.get("/stats", content=mark, limit=limit, next=cursor)
        paged += rows_of(answer)
        pages += 1
    assert paged == whole
    assert pages == -(-12 // limit)


def test_csv(app: App) -> None:
    customer = unique('quo"ted, and\nmore')
    boundary = app.clock.to_boundary()
    app.single(payload(customer, cdn=1, p2p=2, session_duration=3))
    answer = app.get("/stats", "text/csv", customer=customer)
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    header, row = csv.reader(io.StringIO(answer.body.decode(), newline=""))
    assert header == ["time", "customer", "content", "cdn", "p2p", "sessions"]
    assert row == [at(boundary + WINDOW_S), customer, "film", "1", "2", "1"]


@pytest.mark.parametrize("accept", ["text/csv", NDJSON])
def test_pages_of_csv_and_json_lines_go_on_by_their_link(app: App, accept: str) -> None:
    customer = unique("acme")
    contents = [f"c{number}" for number in range(5)]
    app.stream([payload(customer, content=content) for content in contents])
    found: list[str] = []
    query: dict[str, Any] = {"customer": customer, "limit": 2}
    while True:
        answer = app.get("/stats", accept, **query)
        assert answer.status == 200
        if accept == NDJSON:
            found += [row["content"] for row in answer.lines()]
        else:
            found += [row[2] for row in csv.reader(io.StringIO(answer.body.decode(), newline=""))][1:]
        if "link" not in answer.headers:
            break
        target, _, relation = answer.headers["link"].partition(">; ")
        assert relation == 'rel="next"'
        query = {name: value for name, (value,) in parse_qs(target.removeprefix("<?"), strict_parsing=True).items()}
        assert query["customer"] == customer
    assert found == contents


@pytest.mark.parametrize(
    ("parameters", "named"),
    [
        ({"limit": 0}, "limit"),
        ({"limit": 10_001}, "limit"),
        ({"limit": -1}, "limit"),
        ({"limit": "ten"}, "limit"),
        ({"limit": "1.5"}, "limit"),
        ({"limit": ""}, "limit"),
        ({"limit": "9" * 5000}, "limit"),
        ({"from_": "yesterday"}, "from"),
        ({"from_": ""}, "from"),
        ({"from_": "2026-01-01T00:00:00"}, "from"),
        ({"to": "1e9"}, "to"),
        ({"to": "-5"}, "to"),
        ({"to": "1969-12-31T23:59:59Z"}, "to"),
        ({"next": "garbage"}, "next"),
        ({"next": ""}, "next"),
        ({"next": "W10"}, "next"),
        ({"next": "é"}, "next"),
        ({"next": "A" * 100_000}, "next"),
        ({"customer": "a\0b"}, "customer"),
        ({"content": "\0"}, "content"),
        ({"customers": "acme"}, "customers"),
        ({"From": "0"}, "From"),
    ],
)
def test_parameters_that_do_not_fit_are_named(app: App, parameters: dict[str, Any], named: str) -> None:
    document = app.get("/stats", **parameters).problem(400)
    assert named in document["detail"]
    assert len(document["detail"]) < 400


def test_a_parameter_twice_is_refused(app: App) -> None:
    for name in ("customer", "limit", "from", "next"):
        document = app.request("GET", "/stats", query=b"%b=1&%b=1" % ((name.encode(),) * 2)).problem(400)
        assert name in document["detail"]


def test_nothing_yet_is_no_rows(app: App) -> None:
    answer = app.get("/stats", customer=unique("nobody"))
    assert answer.json() == {"rows": [], "next": None}
    assert app.get("/stats", NDJSON, customer=unique("nobody")).body == b""
    listed = app.get("/stats", "text/csv", customer=unique("nobody"))
    assert listed.body == b"time,customer,content,cdn,p2p,sessions\r\n"
