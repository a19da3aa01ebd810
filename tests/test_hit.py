"""Hits: what a query says, what a line says, what a batch adds to its hours; and who shares a query that reads them."""

import asyncio
from collections.abc import Callable
from typing import Any
from urllib.parse import quote, quote_plus

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

import collector.store.hits
from collector.errors import BadRequest, StoreDown
from collector.messages.hit import DECODER, HOUR_MS, Hit, parse_hit, parse_timestamp
from collector.store.hits import Counts, Hours, count
from collector.store.transaction import KnownKeys
from collector.times import LAST_MS
from tests.strategies import texts

ENCODINGS: list[Callable[[str], str]] = [quote, quote_plus, lambda text: quote(text, safe="")]
timestamps = st.one_of(st.integers(0, LAST_MS), st.integers(0, 3 * HOUR_MS), st.sampled_from([0, LAST_MS]))
hits = st.builds(Hit, timestamp=timestamps, user=texts, kind=st.sampled_from(["click", "impression"]))


@given(hits, st.data())
def test_any_hit_as_a_query(hit: Hit, data: st.DataObject) -> None:
    encode = data.draw(st.sampled_from(ENCODINGS))
    bare = data.draw(st.sampled_from([hit.kind, f"{hit.kind}="]))
    parts = [f"timestamp={hit.timestamp}", f"user={encode(hit.user)}", bare]
    others = data.draw(
        st.lists(st.sampled_from(["", "x=1", "kind=click", "Click", "users=a", "=", "%FF=%FF"]), max_size=2)
    )
    query = "&".join(data.draw(st.permutations([*parts, *others])))
    assert parse_hit(query.encode()) == hit
    assert parse_hit("&".join(parts).encode()) == hit


@pytest.mark.parametrize(
    ("query", "user"),
    [
        (b"timestamp=1&user=a+b&click", "a b"),
        (b"timestamp=1&user=a%2Bb&click", "a+b"),
        (b"timestamp=1&user=%e2%82%ac&click", "€"),
        ("timestamp=1&user=€&click".encode(), "€"),
        (b"timestamp=1&user=50%&click", "50%"),
        (b"timestamp=1&user=a=b&click", "a=b"),
        (b"timestamp=1&user=%26&click", "&"),
        (b"%74imestamp=1&%75ser=u&clic%6B", "u"),
        (b"timestamp=1&user=" + b"u" * 256 + b"&click", "u" * 256),
        (b"timestamp=1&user=" + b"%F0%9F%98%80" * 256 + b"&click", "😀" * 256),
    ],
)
def test_names_of_users(query: bytes, user: str) -> None:
    assert parse_hit(query) == Hit(1, user, "click")


BAD = {
    b"": "click, impression",
    b"timestamp=1&user=u": "click, impression",
    b"timestamp=1&user=u&click&impression": "click, impression",
    b"timestamp=1&user=u&impression&click=": "click, impression",
    b"timestamp=1&user=u&click&click": "click",
    b"timestamp=1&user=u&impression&impression=": "impression",
    b"timestamp=1&user=u&click=0": "click",
    b"timestamp=1&user=u&impression=true": "impression",
    b"user=u&click": "timestamp",
    b"timestamp=&user=u&click": "timestamp",
    b"timestamp&user=u&click": "timestamp",
    b"timestamp=1&timestamp=1&user=u&click": "timestamp",
    b"timestamp=-1&user=u&click": "timestamp",
    b"timestamp=%2B1&user=u&click": "timestamp",
    b"timestamp=+1&user=u&click": "timestamp",
    b"timestamp=1.0&user=u&click": "timestamp",
    b"timestamp=1e9&user=u&click": "timestamp",
    b"timestamp=1767225600000000000&user=u&click": "timestamp",
    b"timestamp=253402300800000&user=u&click": "timestamp",
    b"timestamp=999999999999999&user=u&click": "timestamp",
    b"timestamp=" + b"9" * 10_000 + b"&user=u&click": "timestamp",
    b"timestamp=%D9%A1&user=u&click": "timestamp",
    b"timestamp=2026-01-01T00:00:00Z&user=u&click": "timestamp",
    b"timestamp=%FF&user=u&click": "timestamp",
    b"timestamp=1&click": "user",
    b"timestamp=1&user=&click": "user",
    b"timestamp=1&user&click": "user",
    b"timestamp=1&user=a&user=b&click": "user",
    b"timestamp=1&user=" + b"u" * 257 + b"&click": "user",
    b"timestamp=1&user=" + b"u" * 10_000 + b"&click": "user",
    b"timestamp=1&user=%00&click": "user",
    b"timestamp=1&user=a\0b&click": "user",
    b"timestamp=1&user=%FF&click": "user",
    b"timestamp=1&user=\xff&click": "user",
    b"timestamp=1&user=%ED%A0%80&click": "user",
}


@pytest.mark.parametrize("query", BAD, ids=lambda query: query[:60].decode("latin-1"))
def test_what_is_wrong_is_named(query: bytes) -> None:
    with pytest.raises(BadRequest) as caught:
        parse_hit(query)
    assert caught.value.detail.startswith(BAD[query] + ":")
    assert len(caught.value.detail) < 200


@given(
    st.one_of(st.binary(max_size=60), st.lists(st.sampled_from([*BAD, b"&", b"timestamp=1"]), max_size=3).map(b"".join))
)
def test_any_query_is_a_hit_or_a_bad_request(query: bytes) -> None:
    try:
        hit = parse_hit(query)
    except BadRequest:
        return
    assert DECODER.single(msgspec.json.encode(hit)) == hit


def test_the_moment_of_a_read() -> None:
    assert (parse_timestamp(b"0"), parse_timestamp(b"253402300799999")) == (0, LAST_MS)
    for text in (b"", b"-1", b"253402300800000", b"1 ", "١".encode()):
        with pytest.raises(BadRequest, match="timestamp"):
            parse_timestamp(text)


@pytest.mark.parametrize(
    "line",
    [
        b'{"timestamp":-1,"user":"u","kind":"click"}',
        b'{"timestamp":1.5,"user":"u","kind":"click"}',
        b'{"timestamp":253402300800000,"user":"u","kind":"click"}',
        b'{"timestamp":1767225600000000000,"user":"u","kind":"click"}',
        b'{"timestamp":"1","user":"u","kind":"click"}',
        b'{"timestamp":1,"user":"","kind":"click"}',
        b'{"timestamp":1,"user":"%b","kind":"click"}' % (b"u" * 257),
        b'{"timestamp":1,"user":"\\u0000","kind":"click"}',
        b'{"timestamp":1,"user":"u","kind":"clicks"}',
        b'{"timestamp":1,"user":"u","kind":null}',
        b'{"timestamp":1,"user":"u"}',
        b"[]",
    ],
)
def test_lines_that_are_no_hits(line: bytes) -> None:
    with pytest.raises(BadRequest):
        DECODER.single(line)


def naive(rows: list[Hit]) -> dict[int, tuple[list[str], int, int]]:
    """By hour: sorted users, clicks, impressions."""
    return {
        hour: (
            sorted({row.user for row in rows if row.timestamp // HOUR_MS == hour}),
            sum(row.kind == "click" for row in rows if row.timestamp // HOUR_MS == hour),
            sum(row.kind == "impression" for row in rows if row.timestamp // HOUR_MS == hour),
        )
        for hour in sorted({row.timestamp // HOUR_MS for row in rows})
    }


@given(
    st.lists(
        st.builds(Hit, st.integers(0, 3 * HOUR_MS), st.sampled_from("abé😀"), st.sampled_from(["click", "impression"]))
    )
)
def test_what_a_batch_adds_to_its_hours(rows: list[Hit]) -> None:
    added = count(rows, KnownKeys())
    assert [(each.hour, (each.users, each.clicks, each.impressions)) for each in added] == list(naive(rows).items())


def test_users_who_are_known_are_not_asked_for_again() -> None:
    known = KnownKeys()
    known.add(["1 ann"])
    rows = [Hit(HOUR_MS * hour, user, "click") for hour in (1, 2) for user in ("ann", "bob")]
    assert [(each.hour, each.users, each.clicks) for each in count(rows, known)] == [
        (1, ["bob"], 2),
        (2, ["ann", "bob"], 2),
    ]


class Database:
    """In place of `fetch`: each query waits until it is let go, and sees what is committed when it begins."""

    def __init__(self) -> None:
        self.committed = 0
        self.asked: list[list[int]] = []
        self.go = asyncio.Semaphore(0)

    async def fetch(self, _: object, name: str, parameters: dict[str, str]) -> list[tuple[int, ...]]:
        assert name == "analytics_hours"
        hours: list[int] = msgspec.json.decode(parameters["hours"])
        self.asked.append(hours)
        seen = self.committed
        await self.go.acquire()
        if seen < 0:
            raise StoreDown("away")
        return [(hour, seen, 0, 0) for hour in hours if hour != EMPTY_HOUR]


EMPTY_HOUR = 9


@pytest.fixture
def database(monkeypatch: pytest.MonkeyPatch) -> Database:
    found = Database()
    monkeypatch.setattr(collector.store.hits, "fetch", found.fetch)
    return found


def hours_of() -> Hours:
    pool: Any = None
    return Hours(pool, pool)


async def turns() -> None:
    """Let every task that can go on."""
    for _ in range(5):
        await asyncio.sleep(0)


def test_reads_that_wait_share_the_next_query_and_never_one_under_way(database: Database) -> None:
    async def run() -> None:
        hours = hours_of()
        async with asyncio.TaskGroup() as tasks:
            first = [tasks.create_task(hours.at(HOUR_MS)) for _ in range(3)]
            await turns()
            assert database.asked == [[1]]
            database.committed = 7
            later = [tasks.create_task(hours.at(moment)) for moment in (HOUR_MS, 2 * HOUR_MS, 2 * HOUR_MS - 1)]
            empty = tasks.create_task(hours.at(EMPTY_HOUR * HOUR_MS))
            await turns()
            assert database.asked == [[1]]
            database.go.release()
            await turns()
            assert [task.result().unique_users for task in first] == [0, 0, 0]
            assert database.asked == [[1], [1, 2, EMPTY_HOUR]]
            database.go.release()
        assert [task.result().unique_users for task in later] == [7, 7, 7]
        assert empty.result() == Counts(0, 0, 0)
        await turns()
        database.go.release()
        assert (await hours.at(0)).unique_users == 7

    asyncio.run(run())


def test_reads_that_wait_for_a_failed_query_are_told_and_later_ones_go_on(database: Database) -> None:
    async def run() -> None:
        hours = hours_of()
        database.committed = -1
        waiting = [asyncio.create_task(hours.at(0)) for _ in range(2)]
        await turns()
        gone = asyncio.create_task(hours.at(0))
        await turns()
        gone.cancel()
        database.committed = 1
        database.go.release()
        for task in waiting:
            with pytest.raises(StoreDown):
                await task
        database.go.release()
        database.go.release()
        assert (await hours.at(0)).unique_users == 1

    asyncio.run(run())
