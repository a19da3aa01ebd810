"""Stages of a rate: time is bent so that the rate at each moment is the one that was asked for."""

from itertools import islice, takewhile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulation.scenario.strategies import draw
from simulation.traffic.hits import hits
from simulation.traffic.pace import Stage, Stages, Timing

stages = st.lists(
    st.builds(Stage, length_s=st.floats(0.1, 100), rate=st.floats(0, 10_000)), min_size=1, max_size=5
).filter(lambda drawn: any(stage.rate > 1 for stage in drawn))


def counted(pace: Stages, until_s: float) -> float:
    """Messages that are due by then: the area under the rate, by small steps."""
    steps = 2_000
    return sum(pace.rate((at + 0.5) * until_s / steps) for at in range(steps)) * until_s / steps


@given(stages, st.floats(0, 500), st.floats(0, 1))
def test_as_many_are_due_by_a_moment_as_the_rates_come_to(drawn: list[Stage], first: float, part: float) -> None:
    pace = Stages(drawn, first)
    assert pace.mean_rate * pace.length_s == pytest.approx(pace.count)
    offset_s = part * pace.length_s
    moment_s = pace(offset_s)
    assert 0 <= moment_s <= pace.length_s + 1e-9
    assert counted(pace, moment_s) == pytest.approx(offset_s * pace.mean_rate, rel=0.01, abs=0.01 * pace.count)


@given(stages, st.lists(st.floats(0, 600), min_size=2))
def test_time_goes_on(drawn: list[Stage], offsets: list[float]) -> None:
    pace = Stages(drawn)
    moments = [pace(offset_s) for offset_s in sorted(offsets)]
    assert moments == sorted(moments)


def test_stages_ramp_hold_and_jump() -> None:
    pace = Stages([Stage(10, 100), Stage(10, 100), Stage(0, 500), Stage(10, 500)])
    assert [pace.rate(at) for at in (0, 5, 10, 15, 20, 25)] == [0, 50, 100, 100, 500, 500]
    assert pace.count == 500 + 1000 + 5000
    assert Stages([Stage(10, 0)], 100).rate(5) == 50


def test_stages_without_a_message_are_refused() -> None:
    with pytest.raises(ValueError, match="no message"):
        Stages([Stage(10, 0)])


def test_traffic_follows_its_stages() -> None:
    pace = Stages([Stage(10, 1000), Stage(10, 1000), Stage(0, 100), Stage(10, 100)])
    timing = Timing(rate=pace.mean_rate, pace=pace)
    messages = takewhile(
        lambda message: message.offset_s < pace.length_s, hits(draw(1), seed=1, run="r", timing=timing)
    )
    offsets = [message.offset_s for message in islice(messages, 100_000)]
    assert offsets == sorted(offsets)
    for begin_s, expected in ((0, 250 * 5), (5, 750 * 5), (10, 10_000), (20, 1000)):
        end_s = begin_s + (5 if begin_s < 10 else 10)
        assert sum(begin_s <= offset_s < end_s for offset_s in offsets) == pytest.approx(expected, rel=0.15)
