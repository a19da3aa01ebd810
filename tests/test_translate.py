"""What the driver's errors mean: the row's fault, timing's, or the database's; and that a row at fault is found."""

import base64
import random

import psycopg
import pytest
from psycopg.pq import DiagnosticField

from collector.errors import RowRefused, StoreDown, StoreError, TryAgain
from collector.store.translate import translated
from tests.contract.driver import Table, running
from tests.contract.test_sessions import body, post

LONG = base64.b64encode(random.Random(7).randbytes(6_000)).decode()
"""More than an index takes (2,704 bytes), and not to be compressed."""


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        ("40P01", TryAgain),
        ("40001", TryAgain),
        ("22021", RowRefused),
        ("23514", RowRefused),
        ("54000", RowRefused),
        ("P0001", RowRefused),
        ("53100", StoreDown),
        ("57P01", StoreDown),
        ("08006", StoreDown),
        ("42P01", StoreDown),
        ("25006", StoreDown),
    ],
)
def test_whose_fault_it_is(state: str, expected: type[StoreError]) -> None:
    assert type(translated(psycopg.errors.lookup(state)("x"))) is expected


@pytest.mark.parametrize("function", ["GetNewTransactionId", "GetNewMultiXactId"])
def test_a_database_without_numbers_for_transactions_is_away(function: str) -> None:
    """Of the same class as a row beyond a limit: no row is at fault, and every one would be refused."""
    info: dict[int, bytes | None] = {DiagnosticField.SOURCE_FUNCTION: function.encode()}
    assert type(translated(psycopg.errors.ProgramLimitExceeded("x", info=info))) is StoreDown


def test_a_row_beyond_a_limit_of_the_database_is_isolated(database_url: str) -> None:
    table = Table(database_url)
    table.run("CREATE INDEX ON session_message ((properties ->> 'title'))")
    with running(database_url) as app:
        messages = [
            {"session": "s", "seq": seq, "properties": {"title": LONG if seq == 3 else "film"}} for seq in range(6)
        ]
        accepted, rejected, errors = post(app, *messages, key="k").summary()
        assert (accepted, rejected, [line for line, _ in errors]) == (5, 1, [4])
        single = body({"session": "alone", "properties": {"title": LONG}})
        assert "index row size" in app.post(single, path="/sessions").problem(400)["detail"]
    assert table.rows("SELECT seq FROM session_message ORDER BY 1") == [(0,), (1,), (2,), (4,), (5,)]
    ((line, reason),) = table.rows("SELECT line, reason FROM rejected")
    assert line == 4
    assert reason.startswith("refused: index row size")
    table.close()
