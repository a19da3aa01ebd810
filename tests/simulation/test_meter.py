"""Histogram, thresholds, and what the meter counts."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulation.load.histogram import Histogram
from simulation.load.meter import Meter, parse_threshold

HIGHEST = 3_600_000_000


@given(st.lists(st.integers(0, HIGHEST), min_size=1), st.floats(0, 100))
def test_percentiles_are_within_a_thousandth(values: list[int], percent: float) -> None:
    histogram = Histogram(HIGHEST)
    for value in values:
        histogram.record(value)
    exact = sorted(values)[max(1, math.ceil(percent / 100 * len(values))) - 1]
    [reported] = histogram.percentiles(percent)
    assert exact <= reported <= exact * 1.001
    assert histogram.max == max(values)
    assert histogram.mean == sum(values) / len(values)


@given(st.lists(st.integers(0, 2 * HIGHEST)), st.lists(st.integers(0, 2 * HIGHEST)))
def test_adding_histograms_is_recording_both(first: list[int], second: list[int]) -> None:
    both, one, other = Histogram(HIGHEST), Histogram(HIGHEST), Histogram(HIGHEST)
    for value in first:
        one.record(value)
        both.record(value)
    for value in second:
        other.record(value)
        both.record(value)
    one.add(other)
    wanted = (0.0, 50.0, 99.9, 100.0)
    assert one.percentiles(*wanted) == both.percentiles(*wanted)
    assert (one.count, one.max, one.mean) == (both.count, both.max, both.mean)


def measured() -> Meter:
    meter = Meter()
    for _ in range(99):
        meter.acknowledge("single", 0.010)
    meter.acknowledge("stream", 1.0)
    meter.dropped = 2
    meter.error("503")
    return meter


@pytest.mark.parametrize(
    ("text", "ok"),
    [
        ("p50<11ms", True),
        ("p99<=10.1ms", True),
        ("p99.9<50ms", False),
        ("single.p99.9<50ms", True),
        ("stream.p50>0.9s", True),
        ("max<1s", False),
        ("mean<1us", False),
        ("dropped<1", False),
        ("dropped<=2", True),
        ("errors<2", True),
        ("rejected<1", True),
        ("unknown<1", True),
        ("late<1", True),
        ("rate>9", True),
        ("rate>=11", False),
    ],
)
def test_thresholds(text: str, ok: bool) -> None:
    assert measured().judge(parse_threshold(text), elapsed_s=10.0).ok is ok


def test_a_latency_that_was_not_measured_holds_nothing() -> None:
    verdict = Meter().judge(parse_threshold("p99<50ms"), elapsed_s=1.0)
    assert (verdict.ok, verdict.value) == (False, None)


@pytest.mark.parametrize(
    "text", ["", "p99", "p99<50", "p99=50ms", "p100<1s", "errors<1ms", "stream.errors<1", "p99<-1ms"]
)
def test_bad_thresholds_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"threshold|unit|apart"):
        parse_threshold(text)
