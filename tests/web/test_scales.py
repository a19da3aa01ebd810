"""Scales: ticks are numbers and times that people count in, they cover what is drawn, and there are few."""

import math
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.web.scales import DAY_S, floor, ticks, time_ticks
from tests.web.examples import SINCE

TIMES = st.datetimes(datetime(1970, 1, 2), datetime(2100, 1, 1), timezones=st.just(UTC))


@given(st.floats(1e-9, 1e30), st.integers(1, 10), st.booleans())
def test_ticks_cover_and_are_round(maximum: float, about: int, whole: bool) -> None:
    found = ticks(maximum, about, whole=whole)
    assert found[0] == 0
    assert found[-1] >= maximum * (1 - 1e-9)
    assert 2 <= len(found) <= about + 1
    step = found[1]
    assert found[-1] - step < maximum
    assert all(math.isclose(b - a, step, rel_tol=1e-6) for a, b in pairwise(found))
    if whole:
        assert step >= 1
    digits = step / 10 ** math.floor(math.log10(step * (1 + 1e-9)))
    assert any(math.isclose(digits, nice, rel_tol=1e-6) for nice in (1, 2, 5))


@pytest.mark.parametrize("maximum", [0, -1, math.nan, math.inf])
def test_nothing_to_show_has_a_scale_too(maximum: float) -> None:
    assert ticks(maximum) == [0, 1]


def test_ticks_as_one_would_choose() -> None:
    assert ticks(37) == [0, 10, 20, 30, 40]
    assert ticks(2, whole=True) == [0, 1, 2]
    assert ticks(1, whole=True) == [0, 1]
    assert ticks(0.9) == [0, 0.5, 1.0]


@given(TIMES, st.timedeltas(timedelta(seconds=2), timedelta(days=400)), st.integers(2, 12))
def test_times_are_within_and_few(since: datetime, length: timedelta, about: int) -> None:
    until = since + length
    found = time_ticks(since, until, about)
    assert len(found) <= about + 1
    assert all(since <= tick.time <= until for tick in found)
    assert [tick.time for tick in found] == sorted({tick.time for tick in found})
    assert all((tick.time.timestamp() % DAY_S == 0) == tick.strong for tick in found)


def test_times_as_one_would_choose() -> None:
    day = time_ticks(SINCE, SINCE + timedelta(hours=24), 8)
    assert [tick.label.replace("\u202f", " ") for tick in day] == [
        "12:00", "15:00", "18:00", "21:00", "2 Jan", "03:00", "06:00", "09:00", "12:00",
    ]  # fmt: skip
    seconds = time_ticks(SINCE, SINCE + timedelta(seconds=20), 5)
    assert [tick.label for tick in seconds] == ["12:00:00", "12:00:05", "12:00:10", "12:00:15", "12:00:20"]


@given(TIMES, st.sampled_from([300, 900, 3600, DAY_S, 7 * DAY_S]))
def test_floor_is_the_last_round_time(time: datetime, step_s: int) -> None:
    found = floor(time, step_s)
    assert found <= time < found + timedelta(seconds=step_s)
    if step_s == 7 * DAY_S:
        assert found.weekday() == 0
