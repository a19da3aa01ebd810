"""The ledgers of analytics and sessions, and their comparisons, against naive readings of the contract."""

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulation.traffic.desktops import Moment, SessionMessage
from simulation.traffic.hits import HOUR_MS, Hit
from simulation.truth import diaries, hours, saved
from simulation.truth.diaries import TOLERANCE_MS, Diaries, Diary, Found, compare_session
from simulation.truth.hours import Counts, Hours
from simulation.truth.ledger import Ledger
from simulation.truth.saved import AnySaved, One, Several

hits = st.builds(
    Hit,
    timestamp=st.sampled_from([0, HOUR_MS - 1, HOUR_MS, 5 * HOUR_MS]),
    user=st.sampled_from(["a", "b", "c"]),
    kind=st.sampled_from(["click", "impression"]),
)


def naive(stored: list[Hit]) -> dict[int, Counts]:
    return {
        hour * HOUR_MS: Counts(
            len({hit.user for hit in stored if hit.timestamp // HOUR_MS == hour}),
            sum(hit.kind == "click" for hit in stored if hit.timestamp // HOUR_MS == hour),
            sum(hit.kind == "impression" for hit in stored if hit.timestamp // HOUR_MS == hour),
        )
        for hour in {hit.timestamp // HOUR_MS for hit in stored}
    }


@given(st.lists(st.tuples(hits, st.sampled_from(["acknowledged", "stored", "lost"]))))
def test_whichever_lost_hits_are_stored_the_hours_agree(sent: list[tuple[Hit, str]]) -> None:
    ledger = Hours("r")
    for hit, fate in sent:
        (ledger.acknowledge if fate == "acknowledged" else ledger.lose)(hit)
    stored = [hit for hit, fate in sent if fate != "lost"]
    assert hours.compare(ledger.saved(), naive(stored)).differences == []


@given(st.lists(hits, min_size=1), st.sampled_from(hours.FIELDS), st.sampled_from([-1, 1]))
def test_one_user_click_or_impression_too_many_or_few_is_found(sent: list[Hit], field: str, change: int) -> None:
    ledger, found = Hours("r"), naive(sent)
    for hit in sent:
        ledger.acknowledge(hit)
    hour = sent[0].hour_ms
    setattr(found[hour], field, getattr(found[hour], field) + change)
    [difference] = hours.compare(ledger.saved(), found).differences
    assert (difference.row, difference.field) == ((hours.hour_text(hour),), field)
    assert difference.found - difference.expected == change


def test_what_an_hour_showed_before_is_taken_off() -> None:
    ledger = Hours("r")
    ledger.before = {0: Counts(5, 6, 7), HOUR_MS: Counts(1, 1, 1)}
    ledger.acknowledge(Hit(1, "u", "click"))
    verdict = hours.compare(ledger.saved(), {0: Counts(6, 7, 7)})
    assert verdict.differences == []
    assert (verdict.compared, verdict.acknowledged) == (1, 1), "an hour that was only looked at is not compared"
    assert len(hours.compare(ledger.saved(), {0: Counts(1, 1, 0)}).differences) == 3


def moment(seq: int, true_ms: int, session: str = "s") -> Moment:
    return Moment(SessionMessage(session, seq, true_ms + 7000), 7000)


def test_a_message_once_acknowledged_is_no_longer_unknown() -> None:
    ledger = Diaries("r")
    ledger.lose(moment(1, 10))
    ledger.lose(moment(2, 20))
    for _ in range(2):
        ledger.acknowledge(moment(1, 10))
    assert ledger.saved().sessions == [Diary("s", [1], [10], [2], [20])]
    assert ledger.messages == 1
    ledger.lose(moment(1, 10))
    assert ledger.saved().sessions[0].unknown == [2]


@given(
    st.dictionaries(st.integers(0, 5), st.sampled_from(["acknowledged", "unknown"])),
    st.lists(st.tuples(st.none() | st.integers(0, 6), st.integers(-3000, 3000))),
)
def test_every_message_once_at_its_time_and_nothing_else(sent: dict[int, str], rows: list[tuple[int, int]]) -> None:
    times = {seq: 1_000_000 * (seq + 1) for seq in sent}
    told, lost = ([seq for seq in sent if sent[seq] == fate] for fate in ("acknowledged", "unknown"))
    diary = Diary("s", told, [times[seq] for seq in told], lost, [times[seq] for seq in lost])
    found = [Found(seq, times.get(seq, 0) + off) for seq, off in rows]
    counts = Counter(seq for seq, _ in rows)
    right = (
        all(counts[seq] == 1 for seq in told)
        and all(counts[seq] <= 1 for seq in lost)
        and set(counts) <= set(sent)
        and all(abs(off) <= TOLERANCE_MS for seq, off in rows if seq in sent)
    )
    assert (compare_session(diary, found) == []) == right


@pytest.mark.parametrize(
    ("rows", "named"),
    [
        ([(1, 10)], "messages"),
        ([(1, 10), (2, 20), (2, 20)], "stored more than once"),
        ([(1, 10), (2, 20), (3, 30)], "never sent"),
        ([(1, 10), (2, 20), (None, 30)], "never sent"),
        ([(1, 10), (2, 20 + 2001)], "milliseconds off"),
    ],
)
def test_what_is_wrong_with_a_session_is_named(rows: list[tuple[int | None, int]], named: str) -> None:
    differences = compare_session(Diary("s", [1, 2], [10, 20], [], []), [Found(*row) for row in rows])
    assert [difference.field for difference in differences] == [named]
    assert diaries.verdict(diaries.SavedDiaries("r", []), differences).differences == differences


def test_a_file_says_its_kind(tmp_path: Path) -> None:
    sessions, analytics = Diaries("r"), Hours("r")
    sessions.acknowledge(moment(1, 10))
    analytics.lose(Hit(1, "u", "click"))
    alone: list[One] = [
        Ledger("r", ["c"]).saved(),
        Ledger("r", ["c"], queued=True).saved(),
        analytics.saved(),
        sessions.saved(),
    ]
    everything: list[AnySaved] = [*alone, Several("r", alone)]
    for number, ledger in enumerate(everything):
        saved.save(ledger, tmp_path / str(number))
        assert saved.read(tmp_path / str(number)) == ledger
        assert type(saved.read(tmp_path / str(number))) is type(ledger)
