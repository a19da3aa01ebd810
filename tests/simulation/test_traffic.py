"""Traffic of viewers: the same from the same seed, and shaped like devices."""

from collections import Counter, defaultdict
from itertools import islice, pairwise, takewhile

import msgspec
import pytest

from collector.messages.payload import Payload
from simulation.scenario.model import Day, Scenario
from simulation.scenario.strategies import draw
from simulation.traffic.message import Message
from simulation.traffic.pace import DAY_S, EVENING_S, Timing, level
from simulation.traffic.payloads import StatsPayload, payloads_per_s, traffic
from simulation.traffic.viewers import MAX_SESSION_S

MIDNIGHT_MS = 1_767_225_600_000


def bodies(seed: int, run: str = "r", count: int = 5000) -> list[tuple[float, bytes, str, bool]]:
    messages = islice(traffic(draw(1), seed=seed, run=run), count)
    return [(message.offset_s, message.body, message.key, message.streamed) for message in messages]


def sample(scenario: Scenario | None = None, count: int = 30_000) -> list[Message[StatsPayload]]:
    return list(islice(traffic(scenario or draw(3), seed=3, run="r"), count))


def with_profiles(**values: object) -> Scenario:
    """A scenario in which all devices are alike in this."""
    scenario = draw(3)
    profiles = tuple(msgspec.structs.replace(profile, **values) for profile in scenario.profiles)
    return msgspec.structs.replace(scenario, profiles=profiles)


def test_the_same_seed_gives_the_same_bytes() -> None:
    assert bodies(1) == bodies(1)


def test_another_seed_gives_others() -> None:
    assert bodies(1) != bodies(2)


def test_another_run_changes_only_names() -> None:
    def anonymous(run: str) -> list[tuple[float, bytes]]:
        return [(offset_s, body.replace(run.encode(), b"")) for offset_s, body, _, _ in bodies(1, run)]

    assert anonymous("first-run") == anonymous("other-run")
    assert not {key for _, _, key, _ in bodies(1, "first-run")} & {key for _, _, key, _ in bodies(1, "other-run")}


def test_a_body_is_the_payload_in_the_contract_s_words() -> None:
    message = sample(count=1)[0]
    names = {"token", "customer", "content", "timespan", "p2p", "cdn", "sessionDuration"}
    assert set(msgspec.json.decode(message.body)) == names
    assert msgspec.json.decode(message.body, type=StatsPayload) == message.payload


def test_the_devices_words_are_the_server_s() -> None:
    """Both sides define the payload for themselves; this is where they meet."""
    ours = [field.encode_name for field in msgspec.structs.fields(StatsPayload)]
    assert ours == [field.encode_name for field in msgspec.structs.fields(Payload)]
    for message in sample(count=1000):
        msgspec.json.decode(message.body, type=Payload)


def test_sessions_report_at_their_interval_and_a_last_time() -> None:
    intervals_ms = {profile.interval_s * 1000 for profile in draw(3).profiles}
    sessions: dict[str, dict[int, StatsPayload]] = defaultdict(dict)
    offset_s = 0.0
    for message in sample():
        assert message.offset_s >= offset_s
        offset_s = message.offset_s
        before = sessions[message.payload.token].setdefault(message.sequence, message.payload)
        assert before == message.payload, "what is sent twice is the same"
    assert len(sessions) > 100
    for sent in sessions.values():
        payloads = [sent[sequence] for sequence in sorted(sent)]
        assert len({(payload.customer, payload.content) for payload in payloads}) == 1, "a token is of one title"
        numbers = sorted(sent)
        for (number, before), (next_number, after) in pairwise(zip(numbers, payloads, strict=True)):
            assert before.timespan in intervals_ms, "only the last one is shorter"
            if next_number == number + 1:
                assert after.session_duration == before.session_duration + after.timespan
        for payload in payloads:
            assert 0 <= payload.timespan <= max(intervals_ms)
            assert 0 < payload.session_duration <= MAX_SESSION_S * 1000
            assert payload.cdn >= 0
            assert payload.p2p >= 0


def test_sessions_start_run_and_pause() -> None:
    payloads = [message.payload for message in sample()]
    young = {payload.token for payload in payloads if payload.session_duration < 300_000}
    old = {payload.token for payload in payloads if payload.session_duration >= 300_000}
    assert young - old, "sessions that end young"
    assert old - young, "sessions that were under way before the start"
    assert young & old, "sessions that grow old"
    assert any(payload.cdn + payload.p2p == 0 and payload.session_duration < 300_000 for payload in payloads), "pauses"


def test_what_is_sent_twice_says_so_and_has_one_key() -> None:
    messages = sample(with_profiles(twice_permille=100))
    times = Counter(message.key for message in messages)
    assert set(times.values()) == {1, 2}
    assert 0.07 < sum(count == 2 for count in times.values()) / len(times) < 0.13
    assert all(message.twice for message in messages if times[message.key] == 2)
    waiting = [message for message in messages if message.twice and times[message.key] == 1]
    assert len(waiting) < 50, "those whose repeat is still to come"
    assert {message.streamed for message in messages if message.twice} == {True, False}


def test_without_a_network_payloads_wait_and_come_in_a_burst() -> None:
    def bursts(scenario: Scenario) -> int:
        """Payloads that follow another one of their session at once."""
        last: dict[str, float] = {}
        count = 0
        for message in sample(scenario):
            token = message.payload.token
            count += message.offset_s == last.get(token)
            last[token] = message.offset_s
        return count

    steady = {"late_permille": 0, "twice_permille": 0, "interval_s": 10}
    assert bursts(with_profiles(offline_permille=0, **steady)) == 0
    assert bursts(with_profiles(offline_permille=300, **steady)) > 3000


def test_late_ones_come_behind_others() -> None:
    def overtaken(scenario: Scenario) -> int:
        seen: dict[str, int] = {}
        count = 0
        for message in sample(scenario):
            count += message.sequence < seen.get(message.payload.token, 0)
            seen[message.payload.token] = max(message.sequence, seen.get(message.payload.token, 0))
        return count

    steady = {"offline_permille": 0, "twice_permille": 0, "interval_s": 10}
    assert overtaken(with_profiles(late_permille=0, **steady)) == 0
    assert overtaken(with_profiles(late_permille=50, **steady)) > 500


@pytest.mark.parametrize(("speed", "rate"), [(60.0, None), (10.0, None), (60.0, 900.0), (600.0, 5000.0)])
def test_the_rate_is_what_was_asked_for_from_the_start(speed: float, rate: float | None) -> None:
    """Deterministic, since seeded: the margin is that of a Poisson process of this size."""
    scenario, timing = draw(5), Timing(speed, rate)
    scenario = msgspec.structs.replace(scenario, day=Day(18, 0))
    expected = payloads_per_s(scenario, timing)
    assert rate is None or expected == pytest.approx(rate)
    messages = traffic(scenario, seed=5, run="r", timing=timing)
    window_s = 10_000 / expected
    taken = list(takewhile(lambda message: message.offset_s < 2 * window_s, messages))
    first = sum(message.offset_s < window_s for message in taken)
    assert first == pytest.approx(10_000, rel=0.25)
    assert len(taken) - first == pytest.approx(10_000, rel=0.25)


def test_more_sessions_start_in_the_evening_than_at_night() -> None:
    """Over two days, each as many seconds of device time as there are."""
    scenario = msgspec.structs.replace(with_profiles(session_median_s=600), viewers=300, day=Day(20, 600))
    timing = Timing(speed=DAY_S / 2, start_ms=MIDNIGHT_MS, past=True)
    starts: Counter[int] = Counter()
    seen: set[str] = set()
    for message in takewhile(lambda message: message.offset_s < 4.0, traffic(scenario, seed=1, run="r", timing=timing)):
        if message.payload.token not in seen:
            seen.add(message.payload.token)
            starts[int(message.offset_s * timing.speed) % DAY_S // 10_800] += 1
    mean = sum(starts.values()) / 8
    for part in range(8):
        expected = level(scenario.day, (part + 0.5) * 10_800)
        assert starts[part] / mean == pytest.approx(expected, abs=0.15), starts


def test_time_of_day_is_the_evening_unless_a_date_is_given() -> None:
    day = Day(18, 500)
    assert Timing().level(day) == pytest.approx(1.5) == level(day, EVENING_S)
    assert Timing(start_ms=MIDNIGHT_MS + 6 * 3_600_000, past=True).level(day) == pytest.approx(0.5)
    assert Timing(rate=100.0).level(day) == 1.0


def test_customers_of_a_run_are_its_own_unless_they_are_to_be_as_they_are() -> None:
    own = {message.payload.customer for message in islice(traffic(draw(1), seed=1, run="r7"), 2000)}
    shared = {
        message.payload.customer for message in islice(traffic(draw(1), seed=1, run="r7", own_customers=False), 2000)
    }
    assert own == {f"{customer}-r7" for customer in shared}
    assert shared <= set(draw(1).customers)
