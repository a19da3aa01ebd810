"""Traffic: the same from the same seed, and shaped like devices."""

from collections import defaultdict
from itertools import islice, pairwise, takewhile

import msgspec
import pytest

from collector.messages.payload import Payload
from simulation.scenario.strategies import draw
from simulation.traffic.message import Message
from simulation.traffic.payloads import MAX_SESSION_S, StatsPayload, payloads_per_s, traffic

INTERVAL_MS = 30_000


def bodies(seed: int, run: str = "r", count: int = 5000) -> list[tuple[float, bytes, str, bool]]:
    messages = islice(traffic(draw(1), seed=seed, run=run), count)
    return [(message.offset_s, message.body, message.key, message.streamed) for message in messages]


def sample(count: int = 30_000, **options: float) -> list[Message[StatsPayload]]:
    return list(islice(traffic(draw(3), seed=3, run="r", **options), count))  # type: ignore[arg-type]


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
    message = sample(1)[0]
    names = {"token", "customer", "content", "timespan", "p2p", "cdn", "sessionDuration"}
    assert set(msgspec.json.decode(message.body)) == names
    assert msgspec.json.decode(message.body, type=StatsPayload) == message.payload


def test_the_devices_words_are_the_server_s() -> None:
    """Both sides define the payload for themselves; this is where they meet."""
    ours = [field.encode_name for field in msgspec.structs.fields(StatsPayload)]
    assert ours == [field.encode_name for field in msgspec.structs.fields(Payload)]
    for message in sample(1000):
        msgspec.json.decode(message.body, type=Payload)


def test_sessions_report_every_thirty_seconds_and_a_last_time() -> None:
    sessions: dict[str, list[Message[StatsPayload]]] = defaultdict(list)
    offset_s = 0.0
    for message in sample():
        assert message.offset_s >= offset_s
        offset_s = message.offset_s
        sessions[message.payload.token].append(message)
    assert len(sessions) > 100
    for messages in sessions.values():
        payloads = [message.payload for message in messages]
        assert len({(payload.customer, payload.content) for payload in payloads}) == 1, "a token is of one title"
        assert len({message.key for message in messages}) == len(messages)
        assert len({message.session for message in messages}) == 1
        for before, after in pairwise(payloads):
            assert before.timespan == INTERVAL_MS, "only the last one is shorter"
            assert after.session_duration == before.session_duration + after.timespan
        for payload in payloads:
            assert 0 <= payload.timespan <= INTERVAL_MS
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


@pytest.mark.parametrize(("speed", "rate"), [(60.0, None), (10.0, None), (60.0, 900.0), (600.0, 5000.0)])
def test_the_rate_is_what_was_asked_for_from_the_start(speed: float, rate: float | None) -> None:
    """Deterministic, since seeded: the margin is that of a Poisson process of this size."""
    scenario = draw(5)
    expected = payloads_per_s(scenario, speed, rate)
    assert rate is None or expected == pytest.approx(rate)
    messages = traffic(scenario, seed=5, run="r", speed=speed, rate=rate)
    window_s = 10_000 / expected
    taken = list(takewhile(lambda message: message.offset_s < 2 * window_s, messages))
    first = sum(message.offset_s < window_s for message in taken)
    assert first == pytest.approx(10_000, rel=0.25)
    assert len(taken) - first == pytest.approx(10_000, rel=0.25)


def test_customers_of_a_run_are_its_own_unless_they_are_to_be_as_they_are() -> None:
    own = {message.payload.customer for message in islice(traffic(draw(1), seed=1, run="r7"), 2000)}
    shared = {
        message.payload.customer for message in islice(traffic(draw(1), seed=1, run="r7", own_customers=False), 2000)
    }
    assert own == {f"{customer}-r7" for customer in shared}
    assert shared <= set(draw(1).customers)
