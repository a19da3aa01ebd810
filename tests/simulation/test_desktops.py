"""Desktop clients: the same from the same seed, states that begin and end, clocks that are off, networks that fail."""

from collections import defaultdict
from itertools import islice

import msgspec

from simulation.load.clients import log_lines
from simulation.scenario.strategies import draw
from simulation.traffic.desktops import STATES, Moment, SessionMessage, messages
from simulation.traffic.message import Message

START_MS = 1_767_225_600_000
CLIENTS = 20


def sample(seed: int = 1, run: str = "r", count: int = 20_000) -> list[Message[Moment]]:
    return list(islice(messages(draw(1), seed=seed, run=run, clients=CLIENTS, start_ms=START_MS), count))


def by_client(sent: list[Message[Moment]]) -> list[list[Message[Moment]]]:
    clients: dict[int, list[Message[Moment]]] = defaultdict(list)
    for message in sent:
        clients[message.session].append(message)
    return [clients[number] for number in range(CLIENTS)]


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


def test_each_client_counts_lives_and_loses_its_network() -> None:
    offline = 0
    for number, sent in enumerate(by_client(sample())):
        told = [message.payload.message for message in sent]
        assert [message.seq for message in told] == list(range(len(told)))
        assert len({message.session for message in told}) == 1
        assert sent[0].streamed, f"client {number} has to come up before it can lose anything"
        offline += any(not message.streamed for message in sent)
        events = [(message.event, message.phase) for message in told if message.event is not None]
        assert events[0] == ("login", "begin")
        for (ended, end), (begun, begin) in zip(events[1::2], events[2::2], strict=False):
            assert (end, begin) == ("end", "begin")
            assert ended is not None
            assert begun in STATES[ended].next
        assert all((message.cpu is None) == (message.event is not None) for message in told)
        assert {"filename_length", "size"} in [set(message.properties or ()) for message in told]
    assert offline > CLIENTS / 2


def test_a_log_tells_the_time_once_and_then_what_has_elapsed() -> None:
    moments = [message.payload for message in by_client(sample())[0][5:50]]
    lines = [msgspec.json.decode(line, type=SessionMessage) for line in log_lines(moments).splitlines()]
    assert lines[0].time == moments[0].message.time
    assert all(line.time is None for line in lines[1:])
    for line, moment in zip(lines, moments, strict=True):
        assert line.elapsed is not None
        assert lines[0].time is not None
        line.time, line.elapsed = lines[0].time + line.elapsed, None
        assert line == moment.message
    assert log_lines([]) == b""
