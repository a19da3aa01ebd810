"""Connections for `collector migrate` and `collector doctor`: few, short and synchronous."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import psycopg

from collector.errors import StoreDown
from collector.store.connection import conninfo
from collector.store.queries import QUERIES
from collector.store.translate import message

Parameters = tuple[object, ...] | Mapping[str, object]


class Admin:
    """A connection in autocommit mode. Methods raise StoreDown for whatever the database says."""

    def __init__(self, connection: "psycopg.Connection[tuple[Any, ...]]") -> None:
        self._connection = connection

    def rows(self, sql: str, parameters: Parameters = ()) -> list[Any]:
        """The rows of a query."""
        with _translating():
            return self._connection.execute(sql.encode(), parameters or None).fetchall()

    def value(self, sql: str, parameters: Parameters = ()) -> Any:
        """The first column of the only row, None without a row."""
        rows = self.rows(sql, parameters)
        return rows[0][0] if rows else None

    def query(self, name: str, parameters: Mapping[str, object] | None = None) -> list[tuple[Any, ...]]:
        """The rows of a named query; none where it has no answer."""
        with _translating():
            cursor = self._connection.execute(QUERIES[name], parameters)
            return cursor.fetchall() if cursor.description else []

    def run(self, sql: str, parameters: Parameters = ()) -> None:
        """Statements without an answer: one with parameters, or a whole script without."""
        with _translating():
            self._connection.execute(sql.encode(), parameters or None)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing."""
        with _translating(), self._connection.transaction():
            yield


@contextmanager
def connected(url: str) -> Iterator[Admin]:
    """Connect; raises StoreDown where the database cannot be reached."""
    with _translating():
        connection = psycopg.connect(conninfo(url), autocommit=True)
    with connection:
        yield Admin(connection)


@contextmanager
def _translating() -> Iterator[None]:
    try:
        yield
    except psycopg.Error as exc:
        raise StoreDown(message(exc)) from exc
