"""The ledger's sums and its rule for sessions, against a naive reading of the contract."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulation.traffic.payloads import StatsPayload
from simulation.truth import saved as ledgers
from simulation.truth.ledger import Ledger
from simulation.truth.saved import LedgerError

payloads = st.builds(
    StatsPayload,
    token=st.sampled_from(["t1", "t2", "t3"]),
    customer=st.sampled_from(["a", "b"]),
    content=st.sampled_from(["x", "y"]),
    timespan=st.just(30_000),
    p2p=st.integers(0, 2**63 - 1),
    cdn=st.integers(0, 2**63 - 1),
    session_duration=st.sampled_from([0, 299_999, 300_000, 300_001]),
)


@given(st.lists(payloads))
def test_sums_and_sessions_are_those_of_the_contract(acknowledged: list[StatsPayload]) -> None:
    ledger = Ledger("r", ["a", "b"])
    for payload in acknowledged:
        ledger.acknowledge(payload)
    entries = {(entry.customer, entry.content): entry.acknowledged for entry in ledger.entries()}
    assert entries.keys() == {(payload.customer, payload.content) for payload in acknowledged}
    for (customer, content), sums in entries.items():
        mine = [p for p in acknowledged if (p.customer, p.content) == (customer, content)]
        assert sums.cdn == sum(p.cdn for p in mine)
        assert sums.p2p == sum(p.p2p for p in mine)
        assert sums.payloads == len(mine)
        started = 0
        for token in ("t1", "t2", "t3"):
            young = [p for p in acknowledged if p.token == token and p.session_duration < 300_000]
            started += bool(young) and (young[0].customer, young[0].content) == (customer, content)
        assert sums.sessions == started


@given(st.lists(st.tuples(payloads, st.booleans())))
def test_what_is_lost_bounds_what_may_be_stored(sent: list[tuple[StatsPayload, bool]]) -> None:
    """Whichever of the lost payloads the database has: its sums lie between acknowledged and that plus unknown."""
    for payload, _ in sent:  # a token is of one title, as in the traffic
        payload.customer, payload.content = "a", payload.token
    ledger = Ledger("r", ["a"])
    for payload, acknowledged in sent:
        (ledger.acknowledge if acknowledged else ledger.lose)(payload)
    everything, nothing_lost = Ledger("all", ["a"]), Ledger("none", ["a"])
    for payload, acknowledged in sent:
        everything.acknowledge(payload)
        if acknowledged:
            nothing_lost.acknowledge(payload)
    most = {entry.content: entry.acknowledged for entry in everything.entries()}
    least = {entry.content: entry.acknowledged for entry in nothing_lost.entries()}
    for entry in ledger.entries():
        for field in ("cdn", "p2p", "payloads", "sessions"):
            low = getattr(entry.acknowledged, field)
            assert low == (getattr(least[entry.content], field) if entry.content in least else 0)
            assert low + getattr(entry.unknown, field) == getattr(most[entry.content], field)


def test_a_ledger_is_read_as_it_was_saved(tmp_path: Path) -> None:
    ledger = Ledger("r", ["b", "a"])
    ledger.acknowledge(StatsPayload("t", "a", "x", 1, 2**62, 3, 4))
    ledger.lose(StatsPayload("u", "a", "y", 1, 2, 3, 4))
    path = tmp_path / "ledger.json"
    ledgers.save(ledger.saved(), path)
    assert ledgers.read(path) == ledger.saved()


@pytest.mark.parametrize("content", [b"", b"{}", b'{"format": 2, "run": "r", "customers": [], "entries": []}', b"\xff"])
def test_a_bad_ledger_is_an_error_of_ours(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "ledger.json"
    path.write_bytes(content)
    with pytest.raises(LedgerError, match="not a ledger"):
        ledgers.read(path)
    with pytest.raises(LedgerError, match="cannot read"):
        ledgers.read(tmp_path / "none.json")
