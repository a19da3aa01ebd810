"""/analytics: clicks and impressions in, exact unique users by hour out; whatever the hour, the users and the way."""

import csv
import io
from collections import Counter
from collections.abc import Iterator
from typing import Any, Literal
from urllib.parse import quote

import msgspec
import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collector.messages.hit import HOUR_MS, Hit
from collector.store.hits import SHARDS
from collector.store.queries import QUERIES
from collector.store.rows import HIT_COLUMNS
from collector.times import LAST_MS
from tests.contract.driver import NDJSON, Answer, App, Table, unique
from tests.strategies import texts

REPLAYED = "idempotent-replayed"
Kind = Literal["click", "impression"]
KINDS: tuple[Kind, ...] = ("click", "impression")
FORM = "application/x-www-form-urlencoded"
_hours = iter(range(400_000, 10_000_000))


def new_hour() -> int:
    """The beginning of an hour that no test has had, epoch milliseconds."""
    return next(_hours) * HOUR_MS


def query_of(hit: Hit) -> bytes:
    return f"timestamp={hit.timestamp}&user={quote(hit.user, safe='')}&{hit.kind}".encode()


def post(app: App, hit: Hit | bytes, key: str | None = None, **headers: str) -> Answer:
    query = hit if isinstance(hit, bytes) else query_of(hit)
    every = {name.replace("_", "-"): value for name, value in headers.items()}
    return app.request("POST", "/analytics", query=query, headers=every | ({"Idempotency-Key": key} if key else {}))


def send(app: App, hits: list[Hit], **options: Any) -> Answer:
    return app.stream([msgspec.json.encode(hit) for hit in hits], path="/analytics", **options)


def hour(app: App, timestamp: int) -> tuple[int, int, int]:
    """Unique users, clicks, impressions, from exactly three lines."""
    answer = app.get("/analytics", timestamp=timestamp)
    assert answer.status == 200, answer
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    lines = answer.body.decode().split("\n")
    assert [line.partition(",")[0] for line in lines] == ["unique_users", "clicks", "impressions", ""]
    users, clicks, impressions = (int(line.partition(",")[2]) for line in lines[:3])
    return users, clicks, impressions


def truth(hits: list[Hit]) -> dict[int, tuple[int, int, int]]:
    """By the beginning of the hour."""
    kinds = Counter((hit.timestamp // HOUR_MS * HOUR_MS, hit.kind) for hit in hits)
    users = Counter(begin for begin, _ in {(hit.timestamp // HOUR_MS * HOUR_MS, hit.user) for hit in hits})
    return {begin: (users[begin], kinds[begin, "click"], kinds[begin, "impression"]) for begin in users}


def stored(table: Table, users: str) -> list[Hit]:
    """Hits of users whose names begin so."""
    columns = """(extract(epoch FROM time) * 1000)::bigint, "user", kind"""
    sql = f'SELECT {columns} FROM hit WHERE starts_with("user", %s) ORDER BY time, "user", kind'
    return [Hit(*row) for row in table.rows(sql, users)]


def ordered(hits: list[Hit]) -> list[Hit]:
    return sorted(hits, key=lambda hit: (hit.timestamp, hit.user, hit.kind))


def test_a_hit_is_stored_and_counted_when_it_is_answered(app: App, table: Table) -> None:
    begin, user = new_hour(), unique("ann")
    answer = post(app, Hit(begin + 1, user, "click"))
    assert (answer.status, answer.body) == (204, b"")
    assert hour(app, begin) == (1, 1, 0)
    assert post(app, Hit(begin + HOUR_MS - 1, user, "impression")).status == 204
    assert hour(app, begin + HOUR_MS - 1) == (1, 1, 1)
    assert hour(app, begin + HOUR_MS) == hour(app, begin - 1) == (0, 0, 0)
    assert stored(table, user) == [Hit(begin + 1, user, "click"), Hit(begin + HOUR_MS - 1, user, "impression")]
    assert table.rows('SELECT DISTINCT extract(epoch FROM received_at) FROM hit WHERE "user" = %s', user) == [
        (app.clock.now,)
    ]


@pytest.mark.parametrize("kind", [b"click", b"click=", b"impression", b"impression="])
def test_bare_or_with_an_equals_sign(app: App, kind: bytes) -> None:
    begin = new_hour()
    assert post(app, b"timestamp=%d&user=u&%b" % (begin, kind)).status == 204
    assert hour(app, begin) == (1, kind.startswith(b"click"), kind.startswith(b"impression"))


@pytest.mark.parametrize("timestamp", [0, LAST_MS, 1_000, 946_684_799_999, 4_102_444_800_000])
def test_historic_and_coming_hours_are_like_the_current_one(app: App, timestamp: int) -> None:
    before = hour(app, timestamp)
    users = [unique("old") for _ in range(3)]
    for user in users:
        post(app, Hit(timestamp, user, "click"))
    send(app, [Hit(timestamp, user, "impression") for user in [*users, unique("old")]])
    assert tuple(now - then for now, then in zip(hour(app, timestamp), before, strict=True)) == (4, 3, 4)
    begin = timestamp // HOUR_MS * HOUR_MS
    rows = app.get("/analytics/range", from_=timestamp, to=timestamp + (timestamp < LAST_MS)).json()["rows"]
    assert begin == LAST_MS // HOUR_MS * HOUR_MS or [row["unique_users"] for row in rows] == [before[0] + 4]


@settings(max_examples=30)
@given(data=st.data())
def test_any_hits_by_any_way_are_what_is_stored_and_counted(app: App, table: Table, data: st.DataObject) -> None:
    begin, mark = new_hour(), unique("any")
    for _ in range(2):
        new_hour()
    names = data.draw(st.lists(texts, min_size=1, max_size=4))
    hits = st.tuples(st.integers(0, 3 * HOUR_MS - 1), st.integers(0, len(names) - 1), st.sampled_from(KINDS))
    sent: list[Hit] = []
    drawn: list[tuple[int, int, Kind]]
    for drawn in data.draw(st.lists(st.lists(hits, min_size=1, max_size=12), max_size=4)):
        batch = [Hit(begin + after, (mark + names[number])[:256], kind) for after, number, kind in drawn]
        way = data.draw(st.sampled_from(["singles", "lines", "keyed"]))
        if way == "lines":
            assert send(app, batch).summary() == (len(batch), 0, [])
        else:
            for hit in batch:
                assert post(app, hit, unique("key") if way == "keyed" else None).status == 204
        sent += batch
        for number in range(3):
            at = begin + number * HOUR_MS
            assert hour(app, at) == truth(sent).get(at, (0, 0, 0))
    assert stored(table, mark) == ordered(sent)


def test_a_repeat_with_its_key_counts_once(app: App, table: Table) -> None:
    begin, user, key = new_hour(), unique("ann"), unique("key")
    first, again = (post(app, Hit(begin, user, "click"), key) for _ in range(2))
    assert (first.status, REPLAYED in first.headers) == (204, False)
    assert (again.status, again.headers[REPLAYED]) == (204, "true")
    assert "$" not in post(app, Hit(begin, user, "impression"), key).problem(422)["detail"]
    assert hour(app, begin) == (1, 1, 0)
    assert app.get(f"/streams/{key}", endpoint="/analytics").json() == {
        "committed": 1,
        "rejected": 0,
        "complete": True,
    }
    lines = [Hit(begin, user, "impression"), Hit(begin, unique("bob"), "impression")]
    key = unique("key")
    assert send(app, lines, key=key).summary() == send(app, lines, key=key).summary() == (2, 0, [])
    assert hour(app, begin) == (2, 1, 2)
    assert len(stored(table, user)) == 2


def test_a_stream_goes_on_after_a_cut(app: App) -> None:
    begin, key = new_hour(), unique("key")
    hits = [Hit(begin, f"u{number % 3}", "click") for number in range(9)]
    lines = [msgspec.json.encode(hit) + b"\n" for hit in hits]
    for cut in range(1, len(lines)):
        app.post(lines[:cut], NDJSON, path="/analytics", key=key, cut=True).problem(400)
        assert hour(app, begin) == (min(cut, 3), cut, 0)
    answer = app.post(lines[4:], NDJSON, path="/analytics", key=key, stream_offset=4)
    assert answer.summary() == (9, 0, [])
    assert hour(app, begin) == (3, 9, 0)


BAD_QUERIES = {
    "both": b"timestamp=1&user=u&click&impression",
    "neither": b"timestamp=1&user=u",
    "click twice": b"timestamp=1&user=u&click&click",
    "impression twice": b"timestamp=1&user=u&impression&impression=",
    "a value": b"timestamp=1&user=u&click=false",
    "a negative time": b"timestamp=-1&user=u&click",
    "nanoseconds": b"timestamp=1767225600000000000&user=u&click",
    "microseconds": b"timestamp=1767225600000000&user=u&click",
    "the year 10000": b"timestamp=253402300800000&user=u&click",
    "no number": b"timestamp=now&user=u&click",
    "a fraction": b"timestamp=1.5&user=u&click",
    "no time": b"user=u&click",
    "time twice": b"timestamp=1&timestamp=2&user=u&click",
    "no user": b"timestamp=1&click",
    "an empty user": b"timestamp=1&user=&click",
    "user twice": b"timestamp=1&user=a&user=b&click",
    "a user of 257 characters": b"timestamp=1&user=" + b"u" * 257 + b"&click",
    "a user of 10 kB": b"timestamp=1&user=" + b"u" * 10_000 + b"&click",
    "NUL": b"timestamp=1&user=a%00b&click",
    "invalid UTF-8": b"timestamp=1&user=%C3%28&click",
    "a surrogate": b"timestamp=1&user=%ED%A0%80&click",
    "nothing": b"",
    "garbage": b"\xff\x00&&==%",
}


@pytest.mark.parametrize("name", BAD_QUERIES)
def test_bad_queries_are_refused_and_leave_nothing(app: App, table: Table, name: str) -> None:
    before = table.rows("SELECT count(*) FROM hit")
    assert len(post(app, BAD_QUERIES[name]).problem(400)["detail"]) < 200
    post(app, BAD_QUERIES[name], unique("key")).problem(400)
    assert table.rows("SELECT count(*) FROM hit") == before


BAD_LINES = [
    b'{"timestamp":-1,"user":"u","kind":"click"}',
    b'{"timestamp":1767225600000000000,"user":"u","kind":"click"}',
    b'{"timestamp":253402300800000,"user":"u","kind":"click"}',
    b'{"timestamp":1,"user":"","kind":"click"}',
    b'{"timestamp":1,"user":"%b","kind":"click"}' % (b"u" * 10_000),
    b'{"timestamp":1,"user":"a\\u0000b","kind":"click"}',
    b'{"timestamp":1,"user":"\\ud800","kind":"click"}',
    b'{"timestamp":1,"user":"u","kind":"both"}',
    b'{"timestamp":1,"user":"u"}',
    b'{"timestamp":NaN,"user":"u","kind":"click"}',
    b'{"timestamp":1,"user":"\xff","kind":"click"}',
    b"garbage",
]


@pytest.mark.parametrize("line", BAD_LINES, ids=range(len(BAD_LINES)))
def test_bad_lines_leave_their_neighbours_alone(app: App, table: Table, line: bytes) -> None:
    begin, key = new_hour(), unique("key")
    good = [msgspec.json.encode(Hit(begin, user, "click")) for user in ("a", "b")]
    accepted, rejected, errors = app.stream([good[0], line, good[1]], path="/analytics", key=key).summary()
    assert (accepted, rejected, [at for at, _ in errors]) == (2, 1, [2])
    assert [row[2] for row in table.rejected(f"/analytics {key}")] == [line]
    assert hour(app, begin) == (2, 2, 0)


def test_the_query_has_the_hit_and_the_body_is_empty(app: App) -> None:
    begin = new_hour()
    hit = Hit(begin, "u", "click")
    for headers in ({}, {"content_length": "0"}, {"content_length": "0", "content_type": FORM}):
        assert post(app, hit, **headers).status == 204
    options: dict[str, Any] = {"query": query_of(hit), "chunks": [b"{}"]}
    length = {"Content-Length": "2"}
    assert "query" in app.request("POST", "/analytics", headers=length, **options).problem(400)["detail"]
    app.request("POST", "/analytics", headers={**length, "Content-Type": FORM}, **options).problem(415)
    large: dict[str, Any] = {"query": query_of(hit), "chunks": [b"x" * 70_000]}
    app.request("POST", "/analytics", headers={"Transfer-Encoding": "chunked"}, **large).problem(413)
    post(app, hit, stream_offset="1").problem(400)
    assert hour(app, begin) == (1, 3, 0)


@pytest.mark.parametrize(
    ("query", "named"),
    [
        (b"", "timestamp"),
        (b"timestamp=", "timestamp"),
        (b"timestamp=-1", "timestamp"),
        (b"timestamp=253402300800000", "timestamp"),
        (b"timestamp=999999999999999", "timestamp"),
        (b"timestamp=1767225600000000000", "timestamp"),
        (b"timestamp=" + b"9" * 10_000, "timestamp"),
        (b"timestamp=1.5", "timestamp"),
        (b"timestamp=%FF", "timestamp"),
        (b"timestamp=1&timestamp=1", "timestamp"),
        (b"timestamp=1&user=u", "user"),
    ],
)
def test_bad_reads(app: App, query: bytes, named: str) -> None:
    assert named in app.request("GET", "/analytics", query=query).problem(400)["detail"]


def test_head_is_get_without_its_body(app: App) -> None:
    assert app.request("GET", "/analytics", query=b"timestamp=%30").body == app.get("/analytics", timestamp=0).body
    answer = app.request("HEAD", "/analytics", query=b"timestamp=0")
    assert (answer.status, answer.body) == (200, b"")
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert int(answer.headers["content-length"]) == len(app.get("/analytics", timestamp=0).body)
    assert "POST" in app.request("PUT", "/analytics").headers["allow"]


def test_a_range_has_its_hours_in_order(app: App) -> None:
    begins = [new_hour() for _ in range(5)]
    hits = [Hit(begin + 5, f"u{user}", "click") for begin in begins for user in range(begins.index(begin))]
    send(app, [*reversed(hits), Hit(begins[1], "u0", "impression")])
    expected = [(4, 4, 0), (3, 3, 0), (2, 2, 0), (1, 1, 1)]

    def found(since: int, until: int) -> list[tuple[int, int, int]]:
        rows = app.get("/analytics/range", from_=since, to=until).json()["rows"]
        assert [row["hour"] for row in rows] == sorted(row["hour"] for row in rows)
        assert all(list(row) == ["hour", "unique_users", "clicks", "impressions"] for row in rows)
        return [(row["unique_users"], row["clicks"], row["impressions"]) for row in reversed(rows)]

    end = begins[4] + HOUR_MS
    assert found(begins[0], end) == expected
    assert found(begins[1], end - 1) == expected
    assert found(begins[2] - 1, end) == expected
    assert found(begins[2], begins[4]) == expected[1:3]
    assert found(begins[2] + 1, begins[3] + 1) == expected[1:3]
    assert found(begins[3], begins[3]) == found(end, end + 1) == found(end, begins[0]) == []


def test_a_range_as_csv(app: App) -> None:
    begin = new_hour()
    post(app, Hit(begin, unique("ann"), "click"))
    answer = app.get("/analytics/range", "text/csv", from_=begin, to=begin + 1)
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    header, row = csv.reader(io.StringIO(answer.body.decode(), newline=""))
    assert header == ["hour", "unique_users", "clicks", "impressions"]
    assert row[1:] == ["1", "1", "0"]
    assert row[0] == app.get("/analytics/range", from_=begin, to=begin + 1).json()["rows"][0]["hour"]


@pytest.mark.parametrize("parameters", [{"from_": "x"}, {"to": "-1"}, {"hour": "1"}, {"from_": "2026-01-01T00:00:00"}])
def test_bad_ranges(app: App, parameters: dict[str, str]) -> None:
    (name,) = parameters
    assert name.rstrip("_") in app.get("/analytics/range", **parameters).problem(400)["detail"]


def test_columns_are_defined_once(table: Table) -> None:
    found = table.rows("SELECT attname FROM pg_attribute WHERE attrelid = 'hit'::regclass AND attnum > 0")
    assert {name for (name,) in found} == set(HIT_COLUMNS)
    fields = ["time" if field.name == "timestamp" else field.name for field in msgspec.structs.fields(Hit)]
    assert [*fields, "received_at"] == list(HIT_COLUMNS)
    (check,) = table.rows("SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conname = 'analytics_hour_shard'")
    assert f"{SHARDS - 1}" in check[0]


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for child in plan.get("Plans", []):
        yield from nodes(child)


def touched(connection: psycopg.Connection, begin: int) -> tuple[set[str], int, int]:
    """Of a read of one hour: the tables, the rows taken from them, and the pages looked at."""
    explain = b"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) " + QUERIES["analytics_hours"]
    row = connection.execute(explain, {"hours": f"[{begin // HOUR_MS}]"}).fetchone()
    assert row is not None
    plan = row[0][0]["Plan"]
    scans = [node for node in nodes(plan) if "Relation Name" in node]
    rows = sum(node["Actual Rows"] * node["Actual Loops"] for node in scans)
    return {node["Relation Name"] for node in scans}, rows, plan["Shared Hit Blocks"] + plan["Shared Read Blocks"]


def test_a_read_costs_the_same_with_a_million_users(app: App, table: Table) -> None:
    """An hour as full as the collector makes it: all shards are there. The users of neither are looked at."""
    few, many = new_hour(), new_hour()
    for begin, users in ((few, 10), (many, 1_000_000)):
        hours = "TIMESTAMPTZ 'epoch' + %s * INTERVAL '1 hour'"
        table.run(
            f"INSERT INTO analytics_user SELECT {hours}, number::text FROM generate_series(1, %s) AS number",
            begin // HOUR_MS,
            users,
        )
        table.run(
            f"INSERT INTO analytics_hour SELECT {hours}, shard, %s * (shard = 0)::int, 0, 0"
            " FROM generate_series(0, %s) AS shard",
            begin // HOUR_MS,
            users,
            SHARDS - 1,
        )
    table.run("VACUUM ANALYZE analytics_hour")
    assert (hour(app, few)[0], hour(app, many)[0]) == (10, 1_000_000)
    with psycopg.connect(table.url, autocommit=True) as connection:
        cost_few, cost_many = touched(connection, few), touched(connection, many)
    assert cost_few[0] == cost_many[0] == {"analytics_hour"}
    assert cost_few[1] == cost_many[1] == SHARDS
    assert cost_many[2] <= cost_few[2] + 2 <= 20
