"""The ledgers of analytics and sessions, and their comparisons, against naive readings of the contract."""

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulation.load.reception import ANY_TIME
from simulation.traffic.desktops import Moment, SessionMessage
from simulation.traffic.hits import HOUR_MS, Hit
from simulation.truth import diaries, hours, saved
from simulation.truth.diaries import TOLERANCE_MS, Diaries, Diary, Found, Lines, checksum, compare_session
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
        (ledger.acknowledge if fate == "acknowledged" else ledger.lose)(hit, ANY_TIME)
    stored = [hit for hit, fate in sent if fate != "lost"]
    assert hours.compare(ledger.saved(), naive(stored)).differences == []


@given(st.lists(hits, min_size=1), st.sampled_from(hours.FIELDS), st.sampled_from([-1, 1]))
def test_one_user_click_or_impression_too_many_or_few_is_found(sent: list[Hit], field: str, change: int) -> None:
    ledger, found = Hours("r"), naive(sent)
    for hit in sent:
        ledger.acknowledge(hit, ANY_TIME)
    hour = sent[0].hour_ms
    setattr(found[hour], field, getattr(found[hour], field) + change)
    [difference] = hours.compare(ledger.saved(), found).differences
    assert (difference.row, difference.field) == ((hours.hour_text(hour),), field)
    assert difference.found - difference.expected == change


def test_what_an_hour_showed_before_is_taken_off() -> None:
    ledger = Hours("r")
    ledger.before = {0: Counts(5, 6, 7), HOUR_MS: Counts(1, 1, 1)}
    ledger.acknowledge(Hit(1, "u", "click"), ANY_TIME)
    verdict = hours.compare(ledger.saved(), {0: Counts(6, 7, 7)})
    assert verdict.differences == []
    assert (verdict.compared, verdict.acknowledged) == (1, 1), "an hour that was only looked at is not compared"
    assert len(hours.compare(ledger.saved(), {0: Counts(1, 1, 0)}).differences) == 3


def moment(seq: int, true_ms: int, session: str = "s") -> Moment:
    return Moment(SessionMessage(session, seq, true_ms + 7000, cpu=seq), 7000)


def said(seq: int) -> int:
    return checksum(None, seq, None, None, None)


def lines(*sent: tuple[int, int], count: int = 1) -> Lines:
    """Of messages by seq and time."""
    return Lines(
        [seq for seq, _ in sent], [time for _, time in sent], [said(seq) for seq, _ in sent], [count] * len(sent)
    )


def test_a_message_once_acknowledged_is_no_longer_unknown() -> None:
    ledger = Diaries("r")
    ledger.lose(moment(1, 10), ANY_TIME)
    ledger.lose(moment(2, 20), ANY_TIME)
    for _ in range(2):
        ledger.acknowledge(moment(1, 10), ANY_TIME)
    assert ledger.saved().sessions == [Diary("s", lines((1, 10)), lines((2, 20)))]
    assert ledger.messages == 1
    ledger.lose(moment(1, 10), ANY_TIME)
    assert ledger.saved().sessions[0].unknown == lines((2, 20))


def test_copies_are_there_in_addition() -> None:
    ledger = Diaries("r")
    ledger.acknowledge(moment(1, 10), ANY_TIME)
    ledger.acknowledge(moment(1, 10), ANY_TIME, copy=True)
    ledger.lose(moment(1, 10), ANY_TIME, copy=True)
    assert ledger.messages == 1
    [diary] = ledger.saved().sessions
    assert diary == Diary("s", lines((1, 10), count=2), lines((1, 10)))
    for times, right in ((1, False), (2, True), (3, True), (4, False)):
        assert (compare_session(diary, [Found(1, 10, said(1))] * times) == []) == right


@given(
    st.dictionaries(st.integers(0, 5), st.sampled_from(["acknowledged", "unknown"])),
    st.lists(st.tuples(st.none() | st.integers(0, 6), st.integers(-3000, 3000), st.booleans())),
)
def test_every_message_once_at_its_time_with_its_content_and_nothing_else(
    sent: dict[int, str], rows: list[tuple[int | None, int, bool]]
) -> None:
    times = {seq: 1_000_000 * (seq + 1) for seq in sent}
    told, lost = ([(seq, times[seq]) for seq in sent if sent[seq] == fate] for fate in ("acknowledged", "unknown"))
    diary = Diary("s", lines(*told), lines(*lost))
    found = [Found(seq, times.get(seq or 0, 0) + off, said(seq or 0) ^ other) for seq, off, other in rows]
    counts = Counter(seq for seq, _, _ in rows)
    right = (
        all(counts[seq] == 1 for seq, _ in told)
        and all(counts[seq] <= 1 for seq, _ in lost)
        and set(counts) <= set(sent)
        and all(abs(off) <= TOLERANCE_MS and not other for seq, off, other in rows if seq in sent)
    )
    assert (compare_session(diary, found) == []) == right


@pytest.mark.parametrize(
    ("rows", "named"),
    [
        ([(1, 10)], "messages"),
        ([(1, 10), (2, 20), (2, 20)], "stored too often"),
        ([(1, 10), (2, 20), (3, 30)], "never sent"),
        ([(1, 10), (2, 20), (None, 30)], "never sent"),
        ([(1, 10), (2, 20 + 2001)], "milliseconds off"),
    ],
)
def test_what_is_wrong_with_a_session_is_named(rows: list[tuple[int | None, int]], named: str) -> None:
    found = [Found(seq, time, said(seq or 0)) for seq, time in rows]
    differences = compare_session(Diary("s", lines((1, 10), (2, 20)), Lines()), found)
    assert [difference.field for difference in differences] == [named]
    assert diaries.verdict(diaries.SavedDiaries("r", []), differences).differences == differences


def test_what_a_message_says_is_compared_too() -> None:
    [difference] = compare_session(Diary("s", lines((1, 10)), Lines()), [Found(1, 10, said(2))])
    assert difference.field == "other content"
    assert checksum("700", 1.0, None, None, {"a": 1, "b": "x"}) == checksum("700", 1, None, None, {"b": "x", "a": 1})
    assert checksum("700", None, "login", "begin", None) != checksum("700", None, "login", "end", None)


def test_a_file_says_its_kind(tmp_path: Path) -> None:
    sessions, analytics = Diaries("r"), Hours("r")
    sessions.acknowledge(moment(1, 10), ANY_TIME)
    analytics.lose(Hit(1, "u", "click"), ANY_TIME)
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
