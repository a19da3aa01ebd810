"""Bytes on disk of a row of `payload`, before and after columnstore."""

import msgspec
import psycopg


class Storage(msgspec.Struct):
    """Bytes a row, indexes included; None where the engine has no columnstore."""

    rows: int
    plain: float
    columnstore: float | None


def measure(url: str, *, has_timescaledb: bool) -> Storage:
    """Of the rows that are there."""
    with psycopg.connect(url, autocommit=True) as connection:
        rows = _value(connection, "SELECT count(*) FROM payload")
        if not has_timescaledb:
            return Storage(rows, _value(connection, "SELECT pg_total_relation_size('payload')") / rows, None)
        before = _value(connection, "SELECT hypertable_size('payload')")
        connection.execute("SELECT compress_chunk(chunk) FROM show_chunks('payload') AS chunk")
        return Storage(rows, before / rows, _value(connection, "SELECT hypertable_size('payload')") / rows)


def _value(connection: "psycopg.Connection[tuple[int, ...]]", query: str) -> int:
    row = connection.execute(query.encode()).fetchone()
    assert row is not None
    return row[0]
