"""The comparison finds what is wrong, and only that."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulation.traffic.payloads import StatsPayload
from simulation.truth.client import ReadError, UnreachableError, connect
from simulation.truth.ledger import Entry, Saved, Sums
from simulation.truth.verdict import differing
from simulation.truth.verify import compare, verify
from tests.simulation.standin import Standin, serving


def saved(*entries: Entry) -> Saved:
    return Saved("r", sorted({entry.customer for entry in entries}), list(entries))


def test_agreement() -> None:
    ledger = saved(Entry("c", "x", Sums(10, 20, 2, 1)), Entry("c", "y", Sums(0, 0, 1, 0)))
    verdict = compare(ledger, {("c", "x"): Sums(10, 20, 0, 1), ("c", "y"): Sums(0, 0, 0, 0)})
    assert verdict.differences == []
    assert (verdict.compared, verdict.acknowledged) == (2, 3)


@given(st.sampled_from(["cdn", "p2p", "sessions"]), st.integers(-5, 5).filter(bool))
def test_a_single_byte_is_found(field: str, change: int) -> None:
    found = Sums(10, 10, 0, 10)
    setattr(found, field, getattr(found, field) + change)
    [difference] = compare(saved(Entry("c", "x", Sums(10, 10, 1, 10))), {("c", "x"): found}).differences
    assert (difference.field, difference.expected, difference.found) == (field, 10, 10 + change)


def test_rows_that_nobody_sent_and_rows_that_are_missing_are_differences() -> None:
    ledger = saved(Entry("c", "x", Sums(1, 0, 1, 0)))
    differences = compare(ledger, {("c", "z"): Sums(0, 0, 0, 1)}).differences
    assert [(item.row[1], item.field) for item in differences] == [("x", "cdn"), ("z", "sessions")]


@given(st.integers(0, 20))
def test_unknown_payloads_widen_by_their_size_and_no_more(found: int) -> None:
    ledger = saved(Entry("c", "x", Sums(10, 0, 1, 0), unknown=Sums(5, 0, 1, 0)))
    assert bool(compare(ledger, {("c", "x"): Sums(found)}).differences) == (not 10 <= found <= 15)


def test_what_was_there_before_is_taken_off() -> None:
    ledger = saved(Entry("c", "x", Sums(10, 0, 1, 0), before=Sums(100, 7, 0, 3)))
    assert compare(ledger, {("c", "x"): Sums(110, 7, 0, 3)}).differences == []
    assert len(compare(ledger, {("c", "x"): Sums(10, 0, 0, 0)}).differences) == 3


def test_all_pages_are_read_and_other_customers_left_alone() -> None:
    async def scenario() -> None:
        async with serving(Standin()) as standin, connect() as http:
            entries = []
            for index in range(10):
                payload = StatsPayload(f"t{index}", "mine", f"x{index}", 1, index, index, 1)
                standin.stored += [payload, StatsPayload(f"o{index}", "other", f"x{index}", 1, 9, 9, 1)]
                entries.append(Entry("mine", f"x{index}", Sums(index, index, 1, 1)))
            assert standin.page_rows < 10
            assert not differing(await verify(http, standin.url, saved(*entries)))
            standin.plants = True
            [verdict] = await verify(http, standin.url, saved(*entries))
            assert len(verdict.differences) == 10

    asyncio.run(scenario())


def test_a_collector_that_cannot_be_read_is_told_from_one_that_is_wrong() -> None:
    async def scenario() -> None:
        ledger = saved(Entry("c", "x", Sums(1, 1, 1, 1)))
        async with serving(Standin()) as standin, connect() as http:
            with pytest.raises(ReadError, match="404"):
                await verify(http, f"{standin.url}/nowhere", ledger)
            with pytest.raises(ReadError, match="something else"):
                await verify(http, f"{standin.url}/odd", ledger)
            url = standin.url
        async with connect() as http:
            with pytest.raises(UnreachableError, match="cannot read"):
                await verify(http, url, ledger)

    asyncio.run(scenario())
