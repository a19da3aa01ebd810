"""What a comparison with the ledger of truth has found."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from msgspec import Struct


class Difference(Struct):
    """A number that is not what it has to be. `row` names the thing it belongs to, in the words of `Verdict.columns`.

    `unknown`: what may come on top, sent and never acknowledged.
    """

    row: tuple[str, ...]
    field: str
    expected: int
    unknown: int
    found: int


class Verdict(Struct):
    """A comparison: how many rows were looked at, and every number that differs. `agrees` says it for a person."""

    kind: str
    agrees: str
    columns: tuple[str, ...]
    compared: int
    acknowledged: int
    unknown: int
    differences: list[Difference]


def differing(verdicts: Iterable[Verdict]) -> bool:
    """Whether any of them found something."""
    return any(verdict.differences for verdict in verdicts)


def outside(row: Sequence[str], field: str, expected: int, unknown: int, found: int) -> list[Difference]:
    """The difference where `found` is not between `expected` and that plus `unknown`; none where it is."""
    if expected <= found <= expected + unknown:
        return []
    return [Difference(tuple(row), field, expected, unknown, found)]
