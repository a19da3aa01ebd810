"""A row is defined once, and what is encoded is what COPY makes of it: through a real database and back."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import msgspec
import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collector.messages.payload import Payload
from collector.store.rows import (
    CSV_OPTIONS,
    PAYLOAD_COLUMNS,
    REJECTED_COLUMNS,
    as_csv,
    as_text,
    encode_csv,
    encode_text,
    timestamp,
)
from collector.times import LAST_MS
from tests.harness.engines import Engine
from tests.strategies import MAX_AMOUNT, payloads

COPY = f"COPY payload ({', '.join(PAYLOAD_COLUMNS)}) FROM STDIN"
SELECT = f"SELECT {', '.join(PAYLOAD_COLUMNS)} FROM payload"
# psycopg reads no years over 9999; a day is left for the server's zone.
moments_ms = st.integers(0, LAST_MS - 86_400_000)


@pytest.fixture(scope="module")
def database(best_engine: Engine) -> Iterator[psycopg.Connection]:
    """One transaction, rolled back to its beginning between examples."""
    with best_engine.database() as url, psycopg.connect(url) as connection:
        connection.execute("SET timezone = 'UTC'")
        yield connection
        connection.rollback()


def through(database: psycopg.Connection, copy: str, data: bytes) -> list[tuple[object, ...]]:
    """What COPY stores of these bytes."""
    with database.transaction(force_rollback=True), database.cursor() as cursor:
        with cursor.copy(copy) as copying:
            copying.write(data)
        return cursor.execute(SELECT).fetchall()


def expected(rows: list[Payload], received_ms: int, *, started: bool) -> list[tuple[object, ...]]:
    received_at = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=received_ms)
    return [(*msgspec.structs.astuple(row), received_at, started) for row in rows]


@settings(max_examples=100)
@given(st.lists(payloads(), min_size=1, max_size=20), moments_ms, st.booleans())
def test_text_is_any_row_whole(
    database: psycopg.Connection, rows: list[Payload], received_ms: int, started: bool
) -> None:
    data = encode_text(rows, received_ms, started=started)
    assert through(database, COPY, data) == expected(rows, received_ms, started=started)


@settings(max_examples=100)
@given(st.lists(payloads(), min_size=1, max_size=4), moments_ms, st.booleans())
def test_csv_is_the_same_or_says_that_it_cannot(
    database: psycopg.Connection, rows: list[Payload], received_ms: int, started: bool
) -> None:
    data = encode_csv(rows, received_ms, started=started)
    if data is None:
        awkward = "".join(text for row in rows for text in (row.token, row.customer, row.content))
        assert '"' in awkward or "\\" in awkward or any(character < " " for character in awkward)
    else:
        assert through(database, f"{COPY} (FORMAT csv)", data) == expected(rows, received_ms, started=started)


plain_names = st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters='"\\'), min_size=1, max_size=20)


@settings(max_examples=60)
@given(st.lists(payloads(plain_names, plain_names, plain_names), min_size=1, max_size=10), moments_ms)
def test_ordinary_names_take_the_fast_way(database: psycopg.Connection, rows: list[Payload], received_ms: int) -> None:
    data = encode_csv(rows, received_ms, started=True)
    assert data is not None
    assert through(database, f"{COPY} (FORMAT csv)", data) == expected(rows, received_ms, started=True)


def test_the_edges(database: psycopg.Connection) -> None:
    names = ["\\.", "\\N", "", " ", ",", "'", '"', "NULL", "\\", "\n", "\r\n", "\t", "],[", "]\n[", "x" * 256, "\x7f"]
    rows = [Payload(name or "e", "c", name or "e", 0, MAX_AMOUNT, 0, MAX_AMOUNT) for name in names]
    assert through(database, COPY, encode_text(rows, 0, started=False)) == expected(rows, 0, started=False)
    for row in rows:
        data = encode_csv([row], 1, started=True)
        if data is not None:
            assert through(database, f"{COPY} (FORMAT csv)", data) == expected([row], 1, started=True)


values = st.tuples(
    st.none()
    | st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))
    | st.sampled_from(["null", "\\N", "NULL", ""]),
    st.none() | st.integers(-(2**63), 2**63 - 1),
    st.none() | st.floats(allow_nan=False, allow_infinity=False),
    st.none() | st.booleans(),
    st.none() | st.datetimes(datetime(1970, 1, 1), datetime(9998, 1, 1), timezones=st.just(UTC)),
)


@settings(max_examples=100)
@given(st.lists(values, min_size=1, max_size=5), moments_ms)
def test_whatever_a_column_takes_is_whole_either_way(
    database: psycopg.Connection, rows: list[tuple[object, ...]], received_ms: int
) -> None:
    shared = timestamp(received_ms)
    with database.transaction(force_rollback=True), database.cursor() as cursor:
        cursor.execute(
            "CREATE TEMPORARY TABLE any_row (a text, b int8, c float8, d bool, e timestamptz, f timestamptz)"
        )
        texts = as_text(rows, (shared.isoformat(),))
        csv = as_csv(rows, (shared.isoformat(),))
        for statement, data in (("FORMAT text", texts), (CSV_OPTIONS, csv)):
            if data is not None:
                with cursor.copy(f"COPY any_row FROM STDIN ({statement})") as copying:
                    copying.write(data)
                assert cursor.execute("SELECT * FROM any_row").fetchall() == [(*row, shared) for row in rows]
                cursor.execute("TRUNCATE any_row")


@given(st.integers(0, LAST_MS))
def test_timestamps_are_exact(epoch_ms: int) -> None:
    assert timestamp(epoch_ms) == datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=epoch_ms)


def columns(url: str, table: str) -> dict[str, str]:
    with psycopg.connect(url) as connection:
        rows = connection.execute(
            """SELECT column_name, data_type FROM information_schema.columns
               WHERE table_schema = 'public' AND table_name = %s ORDER BY ordinal_position""",
            (table,),
        ).fetchall()
    return dict(rows)


def test_a_payload_is_defined_once(database_url: str) -> None:
    """The Struct's order, the columns of COPY, and the table, with the types that belong to each other."""
    fields = msgspec.structs.fields(Payload)
    assert [field.name for field in fields] == list(PAYLOAD_COLUMNS[: len(fields)])
    table = columns(database_url, "payload")
    assert set(PAYLOAD_COLUMNS) == set(table)
    contract = "received_at, token, customer, content, timespan, p2p, cdn, session_duration, started"
    assert ", ".join(table) == contract
    for field in fields:
        kind = "bigint" if "int" in str(field.type) else "text"
        assert table[field.name] == kind
    assert (table["received_at"], table["started"]) == ("timestamp with time zone", "boolean")


def test_a_rejected_line_is_defined_once(database_url: str) -> None:
    """The database adds the number."""
    *others, last = REJECTED_COLUMNS
    assert tuple(columns(database_url, "rejected")) == (*others, "id", last)
