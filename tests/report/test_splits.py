"""Conditions with their counts, beside a plain model of what they mean; and the statistics, beside plain sums."""

from itertools import combinations
from math import comb

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collector.report.counts import Split
from collector.report.drilldown import drill_down
from collector.report.model import Condition, Scalar, Statistic
from collector.report.splits import splits_of
from collector.report.statistics import fisher, q_values, risk_ratio_low, smallest_p, wilson
from collector.report.table import Table
from collector.report.view import View, whole
from tests.report.tables import THRESHOLDS, Sessions, Span, fulfils, table_of

SAMPLES = st.lists(st.sampled_from([1.0, 10.0, 29.0, 30.0, 31.0, 55.0, 90.0]), min_size=1, max_size=5)
SAID: st.SearchStrategy[dict[str, Scalar]] = st.fixed_dictionaries(
    {}, optional={"length": st.integers(0, 20), "folder": st.sampled_from("ab")}
)
OWN: st.SearchStrategy[dict[str, Scalar]] = st.fixed_dictionaries(
    {}, optional={"version": st.sampled_from("xyz"), "cores": st.integers(1, 16)}
)


@st.composite
def sessions(draw: st.DrawFn) -> Sessions:
    said = draw(st.lists(OWN, min_size=2, max_size=12))
    spans = [
        Span(number, draw(st.sampled_from(["indexing", "incoming", "idle"])), dict(draw(SAID)), draw(SAMPLES))
        for number in range(len(said))
        for _ in range(draw(st.integers(1, 4)))
    ]
    return Sessions(said, spans)


def is_hot(samples: list[float], statistic: Statistic, threshold: float) -> bool:
    if statistic == "mean":
        return sum(samples) > threshold * len(samples)
    if statistic == "p95":
        return 20 * sum(cpu > threshold for cpu in samples) > len(samples)
    return max(samples) > threshold


def counted(found: Sessions, statistic: Statistic, split: Split) -> tuple[int, int]:
    """Sessions in which the condition holds at a sample, and those that are hot by the samples meanwhile."""
    inside: dict[int, list[float]] = {}
    for span in found.spans:
        in_force = {**found.said[span.session], **span.said, "event": span.event}
        if holds(split.condition, in_force):
            inside.setdefault(span.session, []).extend(span.samples)
    threshold = THRESHOLDS[split.at]
    return len(inside), sum(is_hot(samples, statistic, threshold) for samples in inside.values())


def holds(condition: Condition, in_force: dict[str, Scalar]) -> bool:
    value = in_force.get(condition.dimension)
    if condition.op == "<=":
        return isinstance(value, int) and value <= float(condition.value)
    return fulfils(condition, in_force)


@settings(max_examples=200, deadline=None)
@given(sessions(), st.sampled_from(["max", "mean", "p95"]))
def test_what_is_inside_is_what_the_condition_means(found: Sessions, statistic: Statistic) -> None:
    view = whole(table_of(found, statistic))
    for split in splits_of(view, frozenset()).found:
        assert (split.sessions, split.hot) == counted(found, statistic, split), split.condition
        assert 0 <= split.outside_hot <= split.outside_sessions
        narrowed = view.narrow(split.condition, split.at)
        assert (narrowed.count, narrowed.hot_count) == (split.sessions, split.hot), split.condition


@settings(max_examples=100, deadline=None)
@given(sessions(), st.sampled_from(["max", "mean", "p95"]), st.data())
def test_inside_and_what_is_left_are_all(found: Sessions, statistic: Statistic, data: st.DataObject) -> None:
    """No sample is in both, none in neither."""
    view: View = whole(table_of(found, statistic))
    splits = splits_of(view, frozenset()).found
    if not splits:
        return
    split = data.draw(st.sampled_from(splits))
    inside, rest = view.narrow(split.condition), view.without(split.condition)
    assert inside.measured.samples.sum() + rest.measured.samples.sum() == view.measured.samples.sum()
    assert inside.measured.over.sum() + rest.measured.over.sum() == view.measured.over.sum()


@settings(max_examples=100, deadline=None)
@given(sessions(), st.sampled_from(["max", "mean", "p95"]))
def test_whatever_there_is_a_tree_is_made(found: Sessions, statistic: Statistic) -> None:
    table: Table = table_of(found, statistic)
    assert all(branch.split.q_value <= 0.05 for branch in drill_down(table).tree)


@given(st.integers(0, 8), st.integers(0, 8), st.integers(1, 8), st.integers(1, 8))
def test_fisher_counts_tables(hot_in: int, hot_out: int, cold_in: int, cold_out: int) -> None:
    sessions_in, sessions_out, hot = hot_in + cold_in, hot_out + cold_out, hot_in + hot_out
    ways = [comb(sessions_in, k) * comb(sessions_out, hot - k) for k in range(hot + 1)]
    tail = sum(ways[hot_in:]) / sum(ways)
    hotter = hot_in * sessions_out > hot_out * sessions_in
    assert fisher(hot_in, sessions_in, hot_out, sessions_out) == pytest.approx(min(1, 2 * tail) if hotter else 1)


@given(st.integers(1, 9), st.integers(1, 9), st.integers(0, 9))
def test_no_table_is_surer_than_the_smallest_p(sessions_in: int, others: int, hot: int) -> None:
    least = smallest_p(sessions_in, sessions_in + others, min(hot, sessions_in + others))
    for hot_in in range(max(0, hot - others), min(sessions_in, hot) + 1):
        assert least <= fisher(hot_in, sessions_in, hot - hot_in, others) * (1 + 1e-9)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12), st.integers(0, 5))
def test_q_values_are_those_of_benjamini_and_hochberg(p_values: list[float], more: int) -> None:
    tests = len(p_values) + more
    ordered = sorted(p_values)
    for p_value, q_value in zip(p_values, q_values(p_values, tests), strict=True):
        ranks = [rank for rank, other in enumerate(ordered, 1) if other >= p_value]
        assert q_value == pytest.approx(min([1, *(ordered[rank - 1] * tests / rank for rank in ranks)]))


def test_bounds() -> None:
    """Wilson's interval of 81 of 263 is in Newcombe (1998), table I: 0.2553 to 0.3662."""
    low, high = wilson(np.array([81.0]), np.array([263.0]))
    assert (round(float(low[0]), 4), round(float(high[0]), 4)) == (0.2553, 0.3662)
    counts = [
        (9, 10, 1, 10),
        (90, 100, 10, 100),
        (900, 1000, 100, 1000),
        (5, 10, 0, 10),
        (5, 10, 5, 10),
        (0, 10, 5, 10),
    ]
    bounds = risk_ratio_low(*(np.array(column) for column in zip(*counts, strict=True)))
    assert 1 < bounds[0] < bounds[1] < bounds[2] < 9
    assert bounds[3] > 1
    assert bounds[4] < 1
    assert bounds[5] == 0
    for more, less in combinations(range(10, 1, -2), 2):
        with_more, with_less = (
            float(risk_ratio_low(*(np.array([n]) for n in (k, 10, 1, 10)))[0]) for k in (more, less)
        )
        assert with_more > with_less
