"""Hits: the same from the same seed, users who come again, hours gone by."""

from collections import Counter
from itertools import islice, takewhile
from urllib.parse import parse_qsl

import msgspec
import pytest

from simulation.scenario.model import Day
from simulation.scenario.strategies import draw
from simulation.traffic.hits import HOUR_MS, Hit, hits, hits_per_s, hours_touched
from simulation.traffic.message import Message
from simulation.traffic.pace import Timing

START_MS = 1_767_225_600_000 + 25 * 60_000  # 2026-01-01 00:25 UTC


def sample(seed: int = 1, run: str = "r", count: int = 20_000, rate: float | None = 1000.0) -> list[Message[Hit]]:
    return list(islice(hits(draw(1), seed=seed, run=run, timing=Timing(rate=rate, start_ms=START_MS)), count))


def test_the_same_seed_gives_the_same_bytes_and_another_one_others() -> None:
    def bodies(seed: int) -> list[bytes]:
        return [message.body for message in sample(seed, count=1000)]

    assert bodies(1) == bodies(1) != bodies(2)


def test_a_body_and_a_query_say_the_same_in_the_contract_s_words() -> None:
    for message in sample(count=100):
        body = msgspec.json.decode(message.body)
        assert set(body) == {"timestamp", "user", "kind"}
        query = dict(parse_qsl(message.payload.query.removeprefix("?"), keep_blank_values=True))
        assert query == {"timestamp": str(body["timestamp"]), "user": body["user"], body["kind"]: ""}


def test_users_come_again_within_the_hour_and_belong_to_the_run() -> None:
    first, other = sample(run="first"), sample(run="other")
    users = {message.payload.user for message in first}
    assert len(users) < len(first) / 5
    assert not users & {message.payload.user for message in other}
    times = Counter(message.key for message in first)
    assert set(times.values()) == {1, 2}
    assert all(times[message.key] == 2 for message in first[:15_000] if message.twice)
    assert {message.streamed for message in first if message.twice} == {True, False}
    assert all(message.key.isascii() and message.key.isprintable() and " " not in message.key for message in first)


def test_hours_gone_by_are_told_and_all_hours_are_known_before() -> None:
    messages = sample()
    now = [message for message in messages if message.payload.timestamp >= START_MS]
    late = len(messages) - len(now)
    assert late / len(messages) == pytest.approx(draw(1).audience.historic_permille / 1000, rel=0.2)
    touched = hours_touched(draw(1), Timing(start_ms=START_MS), messages[-1].offset_s)
    assert {message.payload.hour_ms for message in messages} <= set(touched)
    assert touched[-1] <= now[-1].payload.timestamp < touched[-1] + HOUR_MS
    assert {message.payload.kind for message in messages} == {"click", "impression"}
    assert {message.streamed for message in messages} == {True, False}


@pytest.mark.parametrize(("speed", "rate"), [(60.0, None), (10.0, None), (60.0, 900.0)])
def test_the_rate_is_what_was_asked_for(speed: float, rate: float | None) -> None:
    scenario, timing = msgspec.structs.replace(draw(1), day=Day(18, 0)), Timing(speed, rate, start_ms=START_MS)
    messages = islice(hits(scenario, seed=1, run="r", timing=timing), 10_000)
    expected = hits_per_s(scenario, timing)
    assert 10_000 / max(message.offset_s for message in messages) == pytest.approx(expected, rel=0.05)


def test_more_hits_come_in_the_evening_than_at_night() -> None:
    scenario = msgspec.structs.replace(draw(1), day=Day(20, 600))
    timing = Timing(speed=86_400.0, start_ms=START_MS - 25 * 60_000, past=True)
    parts: Counter[int] = Counter()
    for message in takewhile(lambda message: message.offset_s < 1.0, hits(scenario, seed=1, run="r", timing=timing)):
        parts[int(message.offset_s * 4)] += 1
    assert parts[3] > 1.5 * parts[1]
    assert parts[0] + parts[1] + parts[2] + parts[3] == pytest.approx(86_400 * scenario.audience.users / 1200, rel=0.1)
