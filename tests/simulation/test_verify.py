"""The comparison finds what is wrong, and only that."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulation.traffic.payloads import StatsPayload
from simulation.truth.client import ReadError, UnreachableError, connect
from simulation.truth.ledger import LAST, Before, Entry, Part, Saved, Sums
from simulation.truth.verdict import differing
from simulation.truth.verify import verify
from simulation.truth.windows import compare
from tests.simulation.standin import Standin, serving

W1, W2 = 1_767_225_900_000, 1_767_226_200_000  # ends of two windows, one after the other
NONE = Sums()


def entry(content: str, *parts: Part, before: Sums | None = None) -> Entry:
    return Entry("c", content, list(parts), [] if before is None else [Before(W1, before)])


def known(window: int, acknowledged: Sums, unknown: Sums = NONE) -> Part:
    return Part(window, window, acknowledged, unknown)


def saved(*entries: Entry) -> Saved:
    return Saved("r", sorted({entry.customer for entry in entries}), list(entries))


def test_agreement() -> None:
    ledger = saved(entry("x", known(W1, Sums(10, 20, 2, 1))), entry("y", known(W2, Sums(0, 0, 1, 0))))
    verdict = compare(ledger, {("c", "x"): {W1: Sums(10, 20, 0, 1)}, ("c", "y"): {W2: NONE}})
    assert verdict.differences == []
    assert (verdict.compared, verdict.acknowledged) == (2, 3)


@given(st.sampled_from(["cdn", "p2p", "sessions"]), st.integers(-5, 5).filter(bool))
def test_a_single_byte_is_found(field: str, change: int) -> None:
    found = Sums(10, 10, 0, 10)
    setattr(found, field, getattr(found, field) + change)
    [difference] = compare(saved(entry("x", known(W1, Sums(10, 10, 1, 10)))), {("c", "x"): {W1: found}}).differences
    assert difference.row == ("2026-01-01 00:05 UTC", "c", "x")
    assert (difference.field, difference.expected, difference.found) == (field, 10, 10 + change)


def test_rows_that_nobody_sent_and_rows_that_are_missing_are_differences() -> None:
    ledger = saved(entry("x", known(W1, Sums(1, 0, 1, 0))))
    differences = compare(ledger, {("c", "z"): {W1: Sums(0, 0, 0, 1)}}).differences
    assert [(item.row[2], item.field) for item in differences] == [("x", "cdn"), ("z", "sessions")]


def test_a_payload_in_the_window_after_its_own_is_two_differences() -> None:
    ledger = saved(entry("x", known(W1, Sums(7, 0, 1, 0))))
    differences = compare(ledger, {("c", "x"): {W2: Sums(7)}}).differences
    assert [(item.row[0], item.expected, item.found) for item in differences] == [
        ("2026-01-01 00:05 UTC", 7, 0),
        ("2026-01-01 00:10 UTC", 0, 7),
    ]


@given(st.integers(0, 12), st.integers(0, 12))
def test_what_was_under_way_at_the_end_of_a_window_is_in_one_of_two_or_shared(first: int, second: int) -> None:
    ledger = saved(
        entry("x", known(W1, Sums(2, 0, 1, 0)), Part(W1, W2, Sums(5, 0, 2, 0), NONE), known(W2, Sums(1, 0, 1)))
    )
    found = {("c", "x"): {W1: Sums(first), W2: Sums(second)}}
    right = first >= 2 and second >= 1 and first + second == 8
    assert bool(compare(ledger, found).differences) != right
    if first + second != 8 and 2 <= first <= 7 and 1 <= second <= 6:
        assert [difference.row[0] for difference in compare(ledger, found).differences] == ["all"]


@given(st.integers(0, 20))
def test_unknown_payloads_widen_by_their_size_and_no_more(found: int) -> None:
    ledger = saved(entry("x", known(W1, Sums(10, 0, 1, 0)), Part(W1, LAST, NONE, Sums(5, 0, 1, 0))))
    assert bool(compare(ledger, {("c", "x"): {W1: Sums(found)}}).differences) == (not 10 <= found <= 15)


def test_what_was_there_before_is_taken_off() -> None:
    ledger = saved(entry("x", known(W1, Sums(10, 0, 1, 0)), before=Sums(100, 7, 0, 3)))
    assert compare(ledger, {("c", "x"): {W1: Sums(110, 7, 0, 3)}}).differences == []
    assert len(compare(ledger, {("c", "x"): {W1: Sums(10)}}).differences) == 3


def test_all_pages_are_read_and_other_customers_left_alone() -> None:
    async def scenario() -> None:
        async with serving(Standin()) as standin, connect() as http:
            entries = []
            for index in range(10):
                standin.keep(StatsPayload(f"t{index}", "mine", f"x{index}", 1, index, index, 1), W1 / 1000 - 1)
                standin.keep(StatsPayload(f"o{index}", "other", f"x{index}", 1, 9, 9, 1))
                entries.append(Entry("mine", f"x{index}", [known(W1, Sums(index, index, 1, 1))], []))
            assert standin.page_rows < 10
            assert not differing(await verify(http, standin.url, saved(*entries)))
            standin.plants = True
            [verdict] = await verify(http, standin.url, saved(*entries))
            assert len(verdict.differences) == 10

    asyncio.run(scenario())


def test_a_collector_that_cannot_be_read_is_told_from_one_that_is_wrong() -> None:
    async def scenario() -> None:
        ledger = saved(entry("x", known(W1, Sums(1, 1, 1, 1))))
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
