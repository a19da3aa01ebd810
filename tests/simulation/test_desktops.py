"""Desktop clients: the same from the same seed, states that begin and end, clocks that are off, networks that fail, and
the cause that is planted in them.
"""

from collections import defaultdict
from itertools import islice, pairwise, takewhile

import msgspec
import pytest

from simulation.load.uploads import log_lines
from simulation.scenario.model import Day, Scenario
from simulation.scenario.strategies import draw
from simulation.traffic.desktops import Moment, SessionMessage, app_mean_s, messages, messages_per_s
from simulation.traffic.life import FILES, NEXT
from simulation.traffic.message import Message
from simulation.traffic.pace import Timing
from simulation.traffic.planted import Span

START_MS = 1_767_225_600_000
CLIENTS = 20
HOT = 30


def sample(seed: int = 1, run: str = "r", count: int = 20_000) -> list[Message[Moment]]:
    return list(islice(messages(draw(1), seed=seed, run=run, clients=CLIENTS), count))


def by_session(sent: list[Message[Moment]]) -> list[list[Message[Moment]]]:
    sessions: dict[int, list[Message[Moment]]] = defaultdict(list)
    for message in sent:
        sessions[message.session].append(message)
    return list(sessions.values())


def test_the_same_seed_gives_the_same_bytes_and_another_one_others() -> None:
    def bodies(seed: int) -> list[bytes]:
        return [message.body for message in sample(seed, count=1000)]

    assert bodies(1) == bodies(1) != bodies(2)


def test_lines_are_about_a_hundred_bytes_and_say_when_by_the_client_s_clock() -> None:
    sent = sample()
    assert 60 <= sum(len(message.body) for message in sent) / len(sent) <= 140
    offset_s = 0.0
    for message in sent:
        assert message.offset_s >= offset_s
        offset_s = message.offset_s
        moment = message.payload
        assert moment.true_ms == START_MS + int(message.offset_s * 1000)
        assert msgspec.json.decode(message.body, type=SessionMessage) == moment.message
    assert len({message.payload.skew_ms for message in sent}) > 3
    assert len({message.key for message in sent}) == len(sent)


def test_in_traffic_of_the_past_time_passes_as_fast_as_for_the_devices() -> None:
    timing = Timing(speed=600.0, past=True)
    for message in islice(messages(draw(1), seed=1, run="r", clients=CLIENTS, timing=timing), 1000):
        assert message.payload.true_ms == START_MS + int(message.offset_s * 1000 * 600)


def test_each_session_describes_itself_lives_and_ends() -> None:
    sent = sample()
    sessions, ended = by_session(sent), 0
    for one in sessions:
        told = [message.payload.message for message in one]
        assert [message.seq for message in told] == list(range(len(told)))
        assert len({message.session for message in told}) == 1
        assert {"os", "cores", "machine", "storage"} <= set(told[0].properties or ())
        assert (told[0].event, told[0].cpu) == (None, None)
        events = [(message.event, message.phase) for message in told if message.event is not None]
        assert events[:1] in ([], [("login", "begin")])
        for (before, end), (begun, begin) in zip(events[1::2], events[2::2], strict=False):
            assert (end, begin) == ("end", "begin")
            assert before is not None
            assert begun in NEXT[before][0]
        for message in told[1:]:
            assert (message.cpu is None) == (message.event is not None)
            is_file = message.event in FILES and message.phase == "begin"
            assert ({"filename_length", "size"} <= set(message.properties or ())) == is_file
        assert [message.last for message in one[:-1]] == [False] * (len(one) - 1)
        ended += one[-1].last
        assert not one[-1].last or told[-1].phase == "end"
    assert ended > len(sessions) - 3 * CLIENTS


def test_whatever_the_app_does_is_measured() -> None:
    for one in by_session(sample()):
        told = [message.payload.message for message in one]
        for before, after in pairwise(told):
            assert (before.phase, after.phase) != ("begin", "end")


def test_networks_fail_and_some_sessions_never_have_one() -> None:
    sessions = by_session(sample())
    online = [[message.streamed for message in one] for one in sessions]
    assert any(True in one and False in one for one in online), "some lose it"
    assert any(True not in one for one in online if len(one) > 20), "some never had it"
    assert sum(map(sum, online)) > 0.6 * sum(map(len, online))
    assert {message.payload.uploads for one in sessions for message in one} >= {0, 1}


def test_as_many_clients_are_there_as_are_asked_for() -> None:
    scenario = msgspec.structs.replace(draw(1), day=Day(18, 0))
    taken = takewhile(lambda message: message.offset_s < 240.0, messages(scenario, seed=1, run="r", clients=CLIENTS))
    lives: dict[int, list[float]] = defaultdict(list)
    for message in taken:
        lives[message.session].append(message.offset_s)
    spent_s = sum(max(offsets) - min(offsets) for offsets in lives.values())
    assert spent_s / 240 == pytest.approx(CLIENTS, rel=0.25)
    assert len(lives) == pytest.approx(CLIENTS + 240 * 60 * CLIENTS / app_mean_s(scenario), rel=0.25)


@pytest.mark.parametrize("rate", [None, 50.0, 2000.0])
def test_the_rate_is_what_was_asked_for(rate: float | None) -> None:
    scenario, timing = msgspec.structs.replace(draw(1), day=Day(18, 0)), Timing(rate=rate)
    expected = messages_per_s(scenario, CLIENTS, timing)
    taken = list(islice(messages(scenario, seed=1, run="r", clients=CLIENTS, timing=timing), int(expected * 120)))
    assert taken[-1].offset_s == pytest.approx(120, rel=0.3)


def spans(sent: list[Message[Moment]]) -> list[Span]:
    """What a report makes of the messages: what was in force, and the samples of that time."""
    found: list[Span] = []
    for number, one in enumerate(by_session(sent)):
        session = {"version": one[0].payload.message.version or "", **(one[0].payload.message.properties or {})}
        for message in (each.payload.message for each in one):
            if message.phase == "begin":
                found.append(Span(number, {**session, "event": message.event or "", **(message.properties or {})}, []))
            elif message.cpu is not None:
                found[-1].samples.append(message.cpu)
    return [span for span in found if span.samples]


@pytest.mark.parametrize("seed", range(1, 9))
def test_traffic_shows_the_cause_that_is_planted_in_the_scenario(seed: int) -> None:
    """Of 40,000 messages, about what 45 clients send in four minutes."""
    scenario: Scenario = draw(seed)
    sent = list(islice(messages(scenario, seed=seed, run="r", clients=45), 40_000))
    all_spans, cause = spans(sent), scenario.plant.cause
    met = [span for span in all_spans if cause.holds(span.properties)]
    others = [span for span in all_spans if not cause.holds(span.properties)]
    assert len({span.session for span in met}) > 0.04 * len({span.session for span in all_spans})
    assert sum(span.cpu_max > HOT for span in met) > 0.55 * len(met)
    assert sum(span.cpu_max > HOT for span in others) < 0.02 * len(others)


def test_a_log_tells_the_time_once_and_then_what_has_elapsed() -> None:
    [longest] = sorted(by_session(sample()), key=len)[-1:]
    moments = [message.payload for message in longest[5:50]]
    lines = [msgspec.json.decode(line, type=SessionMessage) for line in log_lines(moments).splitlines()]
    assert lines[0].time == moments[0].message.time
    assert all(line.time is None for line in lines[1:])
    for line, moment in zip(lines, moments, strict=True):
        assert line.elapsed is not None
        assert lines[0].time is not None
        line.time, line.elapsed = lines[0].time + line.elapsed, None
        assert line == moment.message
    assert log_lines([]) == b""
