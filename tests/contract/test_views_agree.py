"""TimescaleDB's continuous aggregate and the plain view: the same rows over the same data, refreshed at any moment."""

import itertools
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.contract.driver import BEGIN_S, Table
from tests.harness.engines import Engines, not_found
from tests.strategies import amounts

BEGIN = datetime.fromtimestamp(BEGIN_S, UTC)
SPAN = timedelta(hours=8)
"""More than a chunk of 6 hours."""
WINDOW = timedelta(minutes=5)
# Windows' edges, and moments between them, since the beginning.
moments = st.one_of(
    st.integers(0, SPAN // timedelta(microseconds=1) - 1).map(lambda micros: timedelta(microseconds=micros)),
    st.integers(0, SPAN // WINDOW - 1).map(lambda number: number * WINDOW),
    st.integers(1, SPAN // WINDOW).map(lambda number: number * WINDOW - timedelta(microseconds=1)),
)
rows = st.lists(
    st.tuples(moments, st.sampled_from(["a", "B", "ä"]), st.sampled_from(["x", "X"]), amounts, amounts, st.booleans()),
    max_size=30,
)
Row = tuple[Any, ...]
# An example has a day of its own, because what has been aggregated once is so for ever.
days = itertools.count(1)


@pytest.fixture(scope="module")
def both(engines: Engines) -> Iterator[tuple[Table, Table]]:
    """A database on each engine."""
    timescaledb, plain = engines.get("timescaledb"), engines.get("plain")
    if timescaledb is None:
        pytest.skip(not_found("timescaledb"))
    if plain is None:
        pytest.skip(not_found("plain"))
    with timescaledb.database() as one, plain.database() as other:
        tables = Table(one), Table(other)
        yield tables
        for table in tables:
            table.close()


def naive(data: list[Row]) -> list[Row]:
    sums: dict[Row, list[int]] = {}
    for received_at, customer, content, p2p, cdn, started in data:
        end = received_at - (received_at - BEGIN) % WINDOW + WINDOW
        entry = sums.setdefault((end, customer, content), [0, 0, 0])
        for at, amount in enumerate((cdn, p2p, int(started))):
            entry[at] += amount
    return sorted((*key, *entry) for key, entry in sums.items())


def refresh(table: Table, until: datetime) -> None:
    table.run(f"CALL refresh_continuous_aggregate('stats_5m', NULL, '{until.isoformat()}')")


@settings(max_examples=40)
@given(before=rows, after=rows, refreshed_until=st.none() | moments, refreshed_again=st.booleans())
def test_identical_rows_over_the_same_data(
    both: tuple[Table, Table],
    before: list[Row],
    after: list[Row],
    refreshed_until: timedelta | None,
    refreshed_again: bool,
) -> None:
    """What comes after a refresh is newer than it, or a second refresh covers it."""
    day = BEGIN + timedelta(days=next(days))
    timescaledb, _ = both
    if refreshed_until is not None and not refreshed_again:
        after = [row for row in after if row[0] >= refreshed_until]
    before, after = ([(day + row[0], *row[1:]) for row in part] for part in (before, after))
    for table in both:
        table.insert(before)
    if refreshed_until is not None:
        refresh(timescaledb, day + refreshed_until)
    for table in both:
        table.insert(after)
    if refreshed_again:
        refresh(timescaledb, day + SPAN)
    one, other = (sorted(table.rows("SELECT * FROM stats WHERE time > %s", day)) for table in both)
    assert one == other == naive([*before, *after])
    buckets = [sorted(table.rows("SELECT * FROM stats_5m WHERE bucket >= %s", day)) for table in both]
    assert buckets == [[(row[0] - WINDOW, *row[1:]) for row in one]] * 2


def test_the_same_names_and_types(both: tuple[Table, Table]) -> None:
    columns = """SELECT table_name, column_name, data_type FROM information_schema.columns
                 WHERE table_schema = 'public' ORDER BY table_name, ordinal_position"""
    timescaledb, plain = (table.rows(columns) for table in both)
    assert timescaledb == plain
    assert {name for name, _, _ in plain} >= {"payload", "session_token", "stats", "stats_5m", "progress", "rejected"}
