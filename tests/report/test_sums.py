"""session_cpu is what the messages come to, however they came in: on each engine against a model, and the rule for a
session's page against the same.
"""

import random
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st

from collector.report.bands import Happened, lasting
from tests.contract.driver import App, Table, unique
from tests.report import model
from tests.report.model import Message

BASE = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)
PATIENCE_S = 120.0

# On a grid, so that times meet each other, buckets' bounds and the rule's own lengths; or beside it.
_grid = st.one_of(
    st.integers(0, 60).map(lambda number: timedelta(seconds=20 * number)),
    st.integers(-3, 12).map(lambda number: timedelta(minutes=5 * number)),
    st.integers(0, 3).map(lambda number: timedelta(hours=-12 * number)),
)
_beside = st.sampled_from([0, 0, 0, -1, 1]).map(lambda ms: timedelta(milliseconds=ms))
offsets = st.builds(lambda grid, beside: grid + beside, _grid, _beside)
said = st.none() | st.dictionaries(st.sampled_from(["a", "b"]), st.integers(0, 2), max_size=2).map(
    lambda found: tuple(sorted(found.items()))
)


@st.composite
def messages(draw: st.DrawFn) -> list[Message]:
    """Of one session; what has no number says nothing that the order within its time would decide."""
    count = draw(st.integers(1, 25))
    found = []
    for number in range(count):
        event = draw(st.sampled_from([None, "x", "y", "z"]))
        phase = draw(st.sampled_from(["begin", "end", "begin", "end", None])) if event else None
        numbered = draw(st.integers(0, 9)) > 0
        found.append(
            Message(
                time=BASE + draw(offsets),
                seq=number if numbered else None,
                version=draw(st.sampled_from([None, "1", "2"])) if numbered else None,
                cpu=draw(st.sampled_from([None, 0.0, 10.0, 30.0, 30.5, 99.0])),
                event=event,
                phase=phase,
                properties=draw(said) if numbered else None,
            )
        )
    return found


def store(table: Table, session: str, some: list[Message]) -> None:
    for message in some:
        properties = None if message.said is None else msgspec.json.encode(message.said).decode()
        table.run(
            "INSERT INTO session_message (time, received_at, session, seq, version, cpu, event, phase, properties)"
            " VALUES (%s, now(), %s, %s, %s, %s, %s, %s, %s::jsonb)",
            message.time,
            session,
            message.seq,
            message.version,
            message.cpu,
            message.event,
            message.phase,
            properties,
        )


def refresh(app: App) -> None:
    assert app.call(app.service.store.cpu_refresh.catch_up(time.monotonic() + PATIENCE_S)) == 0


def found_rows(table: Table, session: str) -> list[model.Row]:
    rows = table.rows(
        "SELECT bucket, coalesce(event, ''), layer, properties, together, cpu, samples, cpu_max, cpu_sum"
        " FROM session_cpu JOIN cpu_session ON session_id = cpu_session.id"
        " LEFT JOIN cpu_event ON event_id = cpu_event.id"
        " WHERE session = %s",
        session,
    )
    for *_, samples, count, highest, total in rows:
        assert (len(samples), max(samples)) == (count, highest)
        assert sum(samples) == pytest.approx(total)
    found = [
        (bucket, together, (event, layer, model.as_json(said)), cpu)
        for bucket, event, layer, said, together, cpu, *_ in rows
    ]
    sets: dict[tuple[datetime, int | None], list[model.Member]] = {}
    for bucket, together, member, _ in found:
        sets.setdefault((bucket, together), []).append(member)
    return sorted(
        (bucket, member, () if together is None else tuple(sorted(sets[bucket, together])), cpu)
        for bucket, together, member, cpu in found
    )


def found_facts(table: Table, session: str) -> list[tuple[datetime, str | None, str]]:
    rows = table.rows(
        "SELECT bucket, version, properties FROM session_fact JOIN cpu_session ON session_id = id WHERE session = %s"
        " ORDER BY bucket",
        session,
    )
    return [(bucket, version, model.as_json(properties)) for bucket, version, properties in rows]


def m(
    at_s: float, event: str | None = None, phase: str | None = None, cpu: float | None = None, **more: Any
) -> Message:
    """A message so many seconds after BASE, numbered by its time."""
    return Message(BASE + timedelta(seconds=at_s), int(at_s * 10), None, cpu, event, phase, **more)


@given(messages(), st.randoms(use_true_random=False), st.integers(1, 4))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_sums_are_what_the_messages_come_to_in_whatever_order_they_come(
    app: App, table: Table, some: list[Message], shuffle: random.Random, parts: int
) -> None:
    session = unique("s")
    if shuffle.random() < 0.6:
        shuffle.shuffle(some)
    else:
        some.sort(key=lambda message: message.time)
    size = len(some) // parts + 1
    words: dict[int, Any] = {}
    for first in range(0, len(some), size):
        so_far = some[: first + size]
        # A begin that comes late takes an end over: what that said stays with the begin before (docs/drill-down.md).
        before, words = words, model.words_of_ends(so_far)
        assume(before.keys() <= words.keys())
        store(table, session, some[first : first + size])
        refresh(app)
        assert found_rows(table, session) == model.rows(so_far)
        assert found_facts(table, session) == model.facts(so_far)


def test_what_an_end_says_holds_since_the_begin(app: App, table: Table) -> None:
    """The buckets before are done already when it comes."""
    session = unique("s")
    before = [m(0, "x", "begin"), m(10, cpu=1.0), m(400, "y", "begin"), m(410, cpu=2.0), m(900, cpu=3.0)]
    store(table, session, before)
    refresh(app)
    end = m(1000, "x", "end", properties=(("files", 812),))
    store(table, session, [end])
    refresh(app)
    assert found_rows(table, session) == model.rows([*before, end])
    assert '{"files":812}' in [said for _, (_, _, said), _, _ in found_rows(table, session)]


@given(messages())
@settings(max_examples=300, deadline=None)
@example([m(0, "x", "begin"), m(1, "x", "begin"), m(2, "x", "end"), m(3, "x", "end"), m(4, "x", "end")])
def test_the_rule_for_one_session_is_the_same(some: list[Message]) -> None:
    events = [
        Happened(
            one.time,
            -1 if one.seq is None else one.seq,
            one.event,
            one.phase,
            None if one.said is None else model.as_json(one.said),
        )
        for one in some
        if one.event is not None
    ]
    expected = model.forces(some)
    found = lasting(events)
    assert [(one.event, one.since) for one in found] == [(one.event, one.begin) for one in expected]
    for one, force in zip(found, expected, strict=True):
        assert (one.properties is None) == (force.said is None)
        if one.properties is not None:
            assert msgspec.json.decode(one.properties) == force.said
        for message in some:
            assert one.holds_at(message.time) == force.at(message.time)
