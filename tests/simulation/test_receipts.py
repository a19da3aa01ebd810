"""Receipts: whatever they say in whatever steps, each line is booked once, and rightly."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulation.load.books import Books, Scheduled
from simulation.load.junk import Junk
from simulation.load.meter import Meter
from simulation.load.receipts import Receipts, Refusal
from simulation.load.retry import Again
from simulation.traffic.message import Message
from simulation.traffic.payloads import StatsPayload
from simulation.truth.ledger import Ledger


def written(lines: int, preamble: bool = False) -> tuple[Receipts, Ledger, Meter]:
    """A stream of lines whose `cdn` is 1 << (line number - 1), so that a sum tells which lines are in it."""
    ledger, meter = Ledger("r", ["c"]), Meter()
    receipts = Receipts(Books(ledger, meter, clock=lambda: 0.0), preamble=preamble)
    for index in range(lines):
        payload = StatsPayload(f"t{index}", "c", "x", 1, 0, 1 << index, 10**6)
        receipts.open.append(Scheduled(0.0, Message(0.0, payload, b"{}", 0, index, True), 0.0))
    return receipts, ledger, meter


def bits(lines: set[int]) -> int:
    return sum(1 << (line - 1) for line in lines)


def acknowledged(ledger: Ledger) -> int:
    return sum(part.acknowledged.cdn for entry in ledger.entries() for part in entry.parts)


@given(st.data())
def test_every_line_is_booked_once(data: st.DataObject) -> None:
    lines = data.draw(st.integers(1, 40))
    bad = data.draw(st.sets(st.integers(1, lines)))
    steps = sorted(data.draw(st.sets(st.integers(0, lines))))
    receipts, ledger, meter = written(lines)
    for step in steps:
        line = msgspec.json.encode({"committed": step, "rejected": len([b for b in bad if b <= step])})
        assert receipts.read(line) is False
        assert not acknowledged(ledger) & bits(bad), "no rejected line is ever taken for stored"
    summary = {"accepted": lines - len(bad), "rejected": len(bad), "errors": [{"line": b, "detail": ""} for b in bad]}
    assert receipts.read(msgspec.json.encode(summary)) is True
    assert acknowledged(ledger) == bits(set(range(1, lines + 1)) - bad)
    assert (meter.acknowledged, meter.rejected, meter.unknown) == (lines - len(bad), len(bad), 0)


@given(st.integers(1, 20), st.data())
def test_a_preamble_is_a_line_and_no_message(lines: int, data: st.DataObject) -> None:
    bad = data.draw(st.sets(st.integers(2, lines + 1)))
    receipts, ledger, meter = written(lines, preamble=True)
    assert receipts.lines == lines + 1
    for step in sorted(data.draw(st.sets(st.integers(0, lines + 1)))):
        receipts.receipt(step, len([number for number in bad if number <= step]))
        assert receipts.lines == lines + 1
    summary = {"accepted": lines - len(bad), "rejected": len(bad), "errors": [{"line": b} for b in bad]}
    assert receipts.read(msgspec.json.encode(summary)) is True
    assert acknowledged(ledger) == bits({number - 1 for number in range(2, lines + 2)} - {b - 1 for b in bad})
    assert (meter.acknowledged, meter.rejected, meter.unknown) == (lines - len(bad), len(bad), 0)


@given(st.data())
def test_broken_lines_among_good_ones_are_told_apart_without_being_named(data: st.DataObject) -> None:
    """More of them than a summary names; good ones are booked with the receipt that covers them."""
    kinds = data.draw(st.lists(st.sampled_from(["good", "broken", "blank"]), min_size=1, max_size=40))
    receipts, ledger, meter = written(0)
    for index, kind in enumerate(kinds):
        payload = StatsPayload(f"t{index}", "c", "x", 1, 0, 1 << index, 10**6)
        good = Scheduled(0.0, Message(0.0, payload, b"{}", 0, index, True), 0.0)
        receipts.open.append(good if kind == "good" else Junk(b"", blank=kind == "blank"))
    good_lines = {number for number, kind in enumerate(kinds, 1) if kind == "good"}
    for step in sorted(data.draw(st.sets(st.integers(0, len(kinds))))):
        receipts.receipt(step, kinds[:step].count("broken"))
        assert acknowledged(ledger) == bits({number for number in good_lines if number <= step})
    summary = {"accepted": len(good_lines), "rejected": kinds.count("broken"), "errors": []}
    assert receipts.read(msgspec.json.encode(summary)) is True
    assert acknowledged(ledger) == bits(good_lines)
    assert (meter.acknowledged, meter.rejected, meter.unknown) == (len(good_lines), 0, 0)
    assert meter.errors == {}


def test_a_broken_line_that_is_accepted_is_an_error() -> None:
    receipts, _, meter = written(3)
    receipts.open.insert(1, Junk(b"{"))
    receipts.finish(0, [], 4)
    assert meter.errors["broken"] == 1
    assert meter.acknowledged == 0 or meter.unknown == 3


@pytest.mark.parametrize("status", [409, 503])
def test_a_problem_on_the_way_that_may_pass_is_told_from_one_that_does_not(status: int) -> None:
    receipts, _, meter = written(5)
    problem = {
        "committed": 2,
        "accepted": 2,
        "rejected": 0,
        "errors": [],
        "status": status,
        "title": "t",
        "detail": "d",
    }
    with pytest.raises(Again, match=str(status)):
        receipts.read(msgspec.json.encode(problem))
    with pytest.raises(Refusal, match="422"):
        receipts.read(msgspec.json.encode({**problem, "status": 422}))
    assert meter.acknowledged == 0


@given(st.integers(1, 30), st.data())
def test_lines_without_an_answer_are_unknown(lines: int, data: st.DataObject) -> None:
    committed = data.draw(st.integers(0, lines))
    receipts, ledger, meter = written(lines)
    receipts.receipt(committed, 0)
    receipts.abandon()
    assert (meter.acknowledged, meter.unknown) == (committed, lines - committed)
    assert acknowledged(ledger) == bits(set(range(1, committed + 1)))


def test_rejected_lines_that_are_not_named_make_their_neighbours_unknown() -> None:
    receipts, _, meter = written(10)
    receipts.receipt(4, 0)
    receipts.receipt(8, 2)
    receipts.finish(2, [])
    assert (meter.acknowledged, meter.unknown, meter.rejected) == (6, 4, 0)


@pytest.mark.parametrize(
    "answer",
    [
        b'{"committed": 11}',
        b'{"committed": 4}',
        b'{"committed": 6, "rejected": -1}',
        b'{"accepted": 9, "rejected": 0}',
        b"{}",
        b"nonsense",
        b"\xff",
    ],
)
def test_a_receipt_that_cannot_be_true_is_refused(answer: bytes) -> None:
    receipts, _, meter = written(10)
    receipts.receipt(5, 0)
    with pytest.raises(Refusal):
        receipts.read(answer)
    receipts.abandon()
    assert (meter.acknowledged, meter.unknown) == (5, 5)


def test_a_refusal_shows_the_problem() -> None:
    assert "key is used" in str(Refusal.of(422, b'{"title": "Conflict", "detail": "key is used"}'))
    assert "<html>" in str(Refusal.of(500, b"<html>"))
