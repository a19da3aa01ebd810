"""The ledger's sums, its windows, and its rule for sessions, against a naive reading of the contract."""

import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Struct

from simulation.load.reception import ANY_TIME, Reception
from simulation.traffic.payloads import StatsPayload
from simulation.truth import saved as ledgers
from simulation.truth.ledger import FIRST, LAST, WINDOW_MS, Ledger, Sums, Title, Window, window_of
from simulation.truth.saved import LedgerError
from simulation.truth.windows import FIELDS, compare

MINUTE_MS = 60_000


def payloads(titles: list[tuple[str, str]]) -> st.SearchStrategy[StatsPayload]:
    """A token is of one title, as in the traffic."""

    def of(index: int, p2p: int, cdn: int, duration_ms: int) -> StatsPayload:
        customer, content = titles[index % len(titles)]
        return StatsPayload(f"t{index}", customer, content, 1, p2p, cdn, duration_ms)

    return st.builds(
        of,
        st.integers(0, 4),
        st.integers(0, 2**63 - 1),
        st.integers(0, 2**63 - 1),
        st.sampled_from([0, 299_999, 300_000, 300_001]),
    )


class Sent(Struct):
    """A payload that was sent at some moment, received later, and answered still later, or never."""

    payload: StatsPayload
    sent_ms: int
    received_ms: int
    answered_ms: int
    fate: str

    @property
    def told(self) -> bool:
        return self.fate == "acknowledged"

    @property
    def reception(self) -> Reception:
        return Reception(self.sent_ms, self.answered_ms if self.told else math.inf)


@st.composite
def sendings(draw: st.DrawFn) -> list[Sent]:
    """In the order in which the collector commits them: what is answered is committed before."""
    sent: list[Sent] = []
    now_ms = 0
    for _ in range(draw(st.integers(1, 12))):
        payload = draw(payloads([("a", "x"), ("a", "y"), ("b", "x")]))
        now_ms += draw(st.integers(0, 6)) * MINUTE_MS  # commits go on in time …
        received_ms = now_ms - draw(st.integers(0, 3)) * MINUTE_MS  # … of what was received shortly before
        sent_ms = received_ms - draw(st.integers(0, 3)) * MINUTE_MS
        answered_ms = now_ms + draw(st.integers(0, 3)) * MINUTE_MS
        fate = draw(st.sampled_from(["acknowledged", "acknowledged", "stored", "lost"]))
        sent.append(Sent(payload, max(0, sent_ms), max(0, received_ms), answered_ms, fate))
    return sent


def stats(stored: list[Sent]) -> dict[Title, dict[Window, Sums]]:
    """What the contract says the windows show, for rows in the order of their commits."""
    found: dict[Title, dict[Window, Sums]] = {}
    seen: set[str] = set()
    for each in stored:
        payload = each.payload
        windows = found.setdefault((payload.customer, payload.content), {})
        sums = windows.setdefault(window_of(each.received_ms), Sums())
        started = payload.session_duration < 300_000 and payload.token not in seen
        seen |= {payload.token} if payload.session_duration < 300_000 else set()
        sums.add(Sums(payload.cdn, payload.p2p, 0, int(started)))
    return found


def booked(sent: list[Sent], queued: bool = False) -> Ledger:
    ledger = Ledger("r", ["a", "b"], queued=queued)
    for each in sent:
        (ledger.acknowledge if each.told else ledger.lose)(each.payload, each.reception)
    return ledger


@given(sendings())
def test_whichever_lost_payloads_are_stored_every_window_agrees(sent: list[Sent]) -> None:
    stored = [each for each in sent if each.fate != "lost"]
    assert compare(booked(sent).saved(), stats(stored)).differences == []


@given(sendings(), st.randoms())
def test_what_the_queue_applies_in_another_order_agrees_too(sent: list[Sent], random: object) -> None:
    stored = [each for each in sent if each.fate != "lost"]
    random.shuffle(stored)  # type: ignore[attr-defined]
    assert compare(booked(sent, queued=True).saved(), stats(stored)).differences == []


@given(sendings(), st.sampled_from(FIELDS), st.sampled_from([-1, 1]), st.data())
def test_a_byte_or_a_session_too_many_or_few_is_found(
    sent: list[Sent], field: str, change: int, data: st.DataObject
) -> None:
    """Where all is acknowledged, in whichever window the change is."""
    for each in sent:
        each.fate = "acknowledged"
    found = stats(sent)
    title = data.draw(st.sampled_from(sorted(found)))
    window = data.draw(st.sampled_from(sorted(found[title])))
    setattr(found[title][window], field, getattr(found[title][window], field) + change)
    verdict = compare(booked(sent).saved(), found)
    assert any(difference.field == field and difference.row[1:] == title for difference in verdict.differences)


@given(sendings(), st.data())
def test_what_is_in_the_wrong_window_is_found(sent: list[Sent], data: st.DataObject) -> None:
    """If its time of reception is known to lie in one."""
    for each in sent:
        each.fate = "acknowledged"
        each.sent_ms = each.received_ms = each.answered_ms
    title = data.draw(st.sampled_from(sorted(found := stats(sent))))
    window = data.draw(st.sampled_from(sorted(found[title])))
    moved = found[title].pop(window)
    found[title].setdefault(window + WINDOW_MS * 100, Sums()).add(moved)
    differs = any(getattr(moved, field) for field in FIELDS)
    assert bool(compare(booked(sent).saved(), found).differences) == differs


@given(st.lists(payloads([("a", "x"), ("a", "y")])))
def test_sums_of_what_may_have_come_at_any_time(acknowledged: list[StatsPayload]) -> None:
    ledger = Ledger("r", ["a"])
    for payload in acknowledged:
        ledger.acknowledge(payload, ANY_TIME)
    assert ledger.payloads == len(acknowledged)
    assert ledger.size_bytes == sum(payload.cdn + payload.p2p for payload in acknowledged)
    for entry in ledger.entries():
        [part] = entry.parts
        assert (part.first, part.last) == (FIRST, LAST)
        mine = [payload for payload in acknowledged if payload.content == entry.content]
        young = {payload.token for payload in mine if payload.session_duration < 300_000}
        expected = Sums(sum(p.cdn for p in mine), sum(p.p2p for p in mine), len(mine), len(young))
        assert part.acknowledged == expected


def test_a_window_ends_where_the_next_begins() -> None:
    assert [window_of(ms) for ms in (0, 299_999, 300_000)] == [300_000, 300_000, 600_000]
    assert window_of(1e18) == LAST


def test_a_ledger_is_read_as_it_was_saved(tmp_path: Path) -> None:
    ledger = Ledger("r", ["b", "a"])
    ledger.before = {("a", "z"): {300_000: Sums(1, 2, 0, 3)}}
    ledger.acknowledge(StatsPayload("t", "a", "x", 1, 2**62, 3, 4), Reception(5.5, 6.5))
    ledger.lose(StatsPayload("u", "a", "y", 1, 2, 3, 4), ANY_TIME)
    path = tmp_path / "ledger.json"
    ledgers.save(ledger.saved(), path)
    assert ledgers.read(path) == ledger.saved()


OLD = b'{"kind": "stats", "format": 1, "run": "r", "customers": [], "entries": []}'


@pytest.mark.parametrize("content", [b"", b"{}", OLD, b"\xff"])
def test_a_bad_ledger_is_an_error_of_ours(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "ledger.json"
    path.write_bytes(content)
    with pytest.raises(LedgerError, match="not a ledger, or one that another version"):
        ledgers.read(path)
    with pytest.raises(LedgerError, match="cannot read"):
        ledgers.read(tmp_path / "none.json")
