"""The driver's errors as ours, in one place."""

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from psycopg_pool import PoolTimeout

from collector.errors import RowRefused, StoreDown, StoreError, TryAgain

TRY_AGAIN = ("40",)
"""SQLSTATE classes: transaction rollback (deadlock, serialization failure)."""
REFUSED = ("21", "22", "23", "44", "54", "P0")
"""Cardinality, data exception, integrity constraint, WITH CHECK OPTION, beyond a limit (of an index, for instance),
raised by a trigger: the row's fault.
"""
OUT_OF_NUMBERS = ("GetNewTransactionId", "GetNewMultiXactId")
"""PostgreSQL's functions that refuse every row with a limit's SQLSTATE: before transactions' numbers wrap around, until
it has been vacuumed.
"""


def translated(exc: psycopg.Error) -> StoreError:
    """What the error means for the writer: what is neither timing's fault nor a row's is the database's."""
    state = exc.sqlstate or ""
    if state.startswith(TRY_AGAIN):
        return TryAgain(message(exc))
    refused = state.startswith(REFUSED) or isinstance(exc, psycopg.DataError)
    if refused and exc.diag.source_function not in OUT_OF_NUMBERS:
        return RowRefused(message(exc))
    return StoreDown(message(exc))


def message(exc: psycopg.Error) -> str:
    """One line, without the connection's parameters or the row's values."""
    primary = exc.diag.message_primary if exc.diag else None
    text = primary or str(exc) or type(exc).__name__
    return " ".join(text.split())[:500]


@contextmanager
def translating() -> Iterator[None]:
    """Raise the driver's errors as ours."""
    try:
        yield
    except psycopg.Error as exc:
        raise translated(exc) from exc
    except (PoolTimeout, OSError) as exc:
        raise StoreDown(str(exc)) from exc
