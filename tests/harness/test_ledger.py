"""The ledger's verdict, for each way in which a table can be wrong."""

from collections import Counter

import pytest

from tests.harness.ledger import Ledger


@pytest.mark.parametrize(
    ("stored", "wrong"),
    [
        ({"a": 1, "b": 1}, ""),
        ({"a": 1, "b": 1, "c": 1}, ""),
        ({"a": 1}, "lost"),
        ({"a": 2, "b": 1}, "twice"),
        ({"a": 1, "b": 1, "d": 1}, "denied"),
        ({"a": 1, "b": 1, "e": 1}, "strange"),
    ],
)
def test_what_is_wrong_has_a_name(stored: dict[str, int], wrong: str) -> None:
    ledger = Ledger("customer")
    ledger.sent.update("abcd")
    ledger.acknowledge("ab")
    ledger.denied.add("d")
    verdict = ledger.verdict(Counter(stored))
    assert verdict.good == (not wrong)
    for name in ("lost", "twice", "denied", "strange"):
        assert bool(getattr(verdict, name)) == (name == wrong)
