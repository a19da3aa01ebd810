"""Pages of stats are looked for in what is recent first; they are what they would be if all windows were read."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collector.store import reading
from collector.store.pool import fetch
from collector.store.reading import StatsQuery, StatsRow, beginnings
from tests.contract.driver import BEGIN_S, App, Table, running
from tests.contract.test_windows import materialize
from tests.harness.engines import Engine

NOW = datetime.fromtimestamp(BEGIN_S, UTC)
WINDOW = timedelta(minutes=5)
CUSTOMERS, CONTENTS = ("a", "B", "b", "é", "~"), ("film", "Show", "😀")
RARE = "once"
"""A customer of a single window, a year old."""
SPANS = (timedelta(hours=1), timedelta(days=1), timedelta(days=7), timedelta(days=30), timedelta(days=365))


def drawn_payloads() -> list[tuple[object, ...]]:
    """From a seed: some for each span before NOW, its first and last moment among them, and some after NOW."""
    random = Random(20_260_101)
    backs = [back for span in SPANS for back in (span - WINDOW, span, span + WINDOW)]
    backs += [random.random() * span for span in SPANS for _ in range(40)]
    backs += [-random.random() * timedelta(days=2) for _ in range(20)]
    rows: list[tuple[object, ...]] = [
        (NOW - back, random.choice(CUSTOMERS), random.choice(CONTENTS), number, 2 * number, number % 3 == 0)
        for number, back in enumerate(backs)
    ]
    return [*rows, (NOW - timedelta(days=364), RARE, "film", 1, 1, True)]


class Windows(msgspec.Struct, frozen=True):
    """An application, and all rows of `stats` in its database, in the order of pages."""

    app: App
    rows: list[StatsRow]

    def page(self, query: StatsQuery) -> list[StatsRow]:
        """By the words of the rule."""
        after = query.after and _place(*query.after)
        fitting = [
            row
            for row in self.rows
            if (query.customer in (None, row.customer) and query.content in (None, row.content))
            and (query.since is None or row.time > query.since)
            and (query.until is None or row.time <= query.until)
            and (after is None or _place(row.time, row.customer, row.content) > after)
        ]
        return fitting[: query.limit]


def _place(time: datetime, customer: str, content: str) -> tuple[timedelta, str, str]:
    return (NOW - time, customer, content)


@pytest.fixture(scope="module")
def windows(engine: Engine) -> Iterator[Windows]:
    """A part of them is computed ahead, where the engine does that."""
    with engine.database() as url:
        table = Table(url)
        table.insert(drawn_payloads())
        materialize(engine, table, BEGIN_S - 2 * 86_400)
        found = table.rows("SELECT time, customer, content, cdn::text, p2p::text, sessions FROM stats")
        table.close()
        rows = sorted((StatsRow(*row) for row in found), key=lambda row: _place(row.time, row.customer, row.content))
        with running(url) as app:
            yield Windows(app, rows)


MOMENTS = st.builds(
    lambda back, windows, more_ms: NOW - back + windows * WINDOW + timedelta(milliseconds=more_ms),
    st.sampled_from([timedelta(0), *SPANS, timedelta(days=2000)]) | st.timedeltas(timedelta(days=-3), SPANS[-1]),
    st.integers(-15, 15),
    st.sampled_from([0, 0, 1, -1, 60_000]),
)
CURSORS = st.tuples(MOMENTS, st.sampled_from([*CUSTOMERS, RARE, ""]), st.sampled_from([*CONTENTS, ""]))


@settings(max_examples=150, deadline=None)
@given(data=st.data(), now=MOMENTS, limit=st.integers(1, 60) | st.just(1000))
def test_a_page_is_that_of_all_windows(windows: Windows, data: st.DataObject, now: datetime, limit: int) -> None:
    """Whatever the collector's clock says."""
    of_a_row = st.sampled_from(windows.rows).map(lambda row: (row.time, row.customer, row.content))
    query = StatsQuery(
        limit=limit,
        customer=data.draw(st.none() | st.sampled_from([*CUSTOMERS, RARE, "nobody"]), "customer"),
        content=data.draw(st.none() | st.sampled_from(CONTENTS), "content"),
        since=data.draw(st.none() | MOMENTS, "since"),
        until=data.draw(st.none() | MOMENTS, "until"),
        after=data.draw(st.none() | of_a_row | CURSORS, "after"),
    )
    assert windows.app.call(windows.app.service.store.stats(query, now)) == windows.page(query)


@settings(max_examples=15, deadline=None)
@given(limit=st.integers(1, 70), now=MOMENTS, customer=st.none() | st.sampled_from(CUSTOMERS))
def test_pages_one_after_the_other_are_all_windows(
    windows: Windows, limit: int, now: datetime, customer: str | None
) -> None:
    query = StatsQuery(limit=limit, customer=customer)
    paged: list[StatsRow] = []
    while rows := windows.app.call(windows.app.service.store.stats(query, now)):
        paged += rows
        query = msgspec.structs.replace(query, after=(rows[-1].time, rows[-1].customer, rows[-1].content))
    assert paged == windows.page(StatsQuery(limit=10_000, customer=customer))


def test_what_is_older_is_not_asked_for_where_the_page_is_full(
    windows: Windows, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[datetime | None] = []

    async def noted(pool: Any, name: str, parameters: dict[str, Any]) -> list[Any]:
        asked.append(parameters["from"])
        return await fetch(pool, name, parameters)

    def asks(query: StatsQuery) -> list[timedelta | None]:
        """How far back from NOW."""
        asked.clear()
        windows.app.call(windows.app.service.store.stats(query, NOW))
        return [None if since is None else NOW - since for since in asked]

    monkeypatch.setattr(reading, "fetch", noted)
    hour, day, week, month, year = SPANS
    assert asks(StatsQuery(10)) == [hour]
    assert asks(StatsQuery(1000)) == [hour, day, week, month, None]
    assert asks(StatsQuery(1, customer=RARE)) == [hour, day, week, month, None]
    # Before what ends the page, if that is in the past.
    assert asks(StatsQuery(1, until=NOW - day)) == [day + hour]
    assert asks(StatsQuery(1, until=NOW + year)) == [hour]
    assert asks(StatsQuery(1, after=(NOW - hour, "a", "film"), until=NOW)) == [hour + hour]
    # Never before what was asked for.
    assert asks(StatsQuery(1000, since=NOW - day)) == [hour, day]
    assert asks(StatsQuery(1, since=NOW - hour / 2)) == [hour / 2]


def test_times_at_the_ends_of_what_a_parameter_may_say(windows: Windows) -> None:
    first, last = datetime(1900, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)
    for query in (
        StatsQuery(10, after=(first, "a", "film")),
        StatsQuery(10, after=(last, "a", "film"), since=last, until=last),
        StatsQuery(10, until=first),
    ):
        assert beginnings(query, NOW)[-1] == query.since
        assert windows.app.call(windows.app.service.store.stats(query, NOW)) == windows.page(query)
