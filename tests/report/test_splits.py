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
EVENTS = st.sampled_from(["indexing", "incoming", "idle"])
OWN: st.SearchStrategy[dict[str, Scalar]] = st.fixed_dictionaries(
    {}, optional={"version": st.sampled_from("xyz"), "cores": st.integers(1, 16)}
)
CONDITIONS = st.one_of(
    st.builds(Condition, st.just("event"), st.just("="), EVENTS),
    st.builds(Condition, st.just("folder"), st.just("="), st.sampled_from("abx")),
    st.builds(Condition, st.just("version"), st.just("="), st.sampled_from("xyz")),
    st.builds(Condition, st.sampled_from(["length", "cores"]), st.sampled_from([">", "<="]), st.integers(0, 20)),
)


OWN_TOO: st.SearchStrategy[dict[str, Scalar]] = st.builds(lambda own, said: {**own, **said}, OWN, SAID)


@st.composite
def sessions(draw: st.DrawFn, own: st.SearchStrategy[dict[str, Scalar]] = OWN) -> Sessions:
    said = draw(st.lists(own, min_size=2, max_size=12))
    spans = [
        Span(number, draw(EVENTS), dict(draw(SAID)), draw(SAMPLES), draw(st.lists(st.tuples(EVENTS, SAID), max_size=2)))
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
    return counts_of(samples_of(found, [split.condition]), statistic, THRESHOLDS[split.at])


def samples_of(found: Sessions, conditions: list[Condition]) -> dict[int, list[float]]:
    """By session the samples at which one event in force fulfils all; what a session says itself holds with each."""
    inside: dict[int, list[float]] = {}
    for span in found.spans:
        own = found.said[span.session]
        if any(
            all(holds(each, own) or holds(each, {**said, "event": event}) for each in conditions)
            for event, said in [(span.event, span.said), *span.also]
        ):
            inside.setdefault(span.session, []).extend(span.samples)
    return inside


def counts_of(samples: dict[int, list[float]], statistic: Statistic, threshold: float) -> tuple[int, int]:
    return len(samples), sum(is_hot(each, statistic, threshold) for each in samples.values())


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
        assert split.covered <= min(split.hot, view.hot_count)
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


@settings(max_examples=300, deadline=None)
@given(sessions(OWN_TOO), st.sampled_from(["max", "mean", "p95"]), st.data())
def test_conditions_hold_together_and_what_is_left_is_the_rest(
    found: Sessions, statistic: Statistic, data: st.DataObject
) -> None:
    """In whatever order: inside is what fulfils all, outside what is left of each session; also of names that sessions
    and events say.
    """
    conditions = data.draw(st.lists(CONDITIONS, min_size=1, max_size=3, unique_by=lambda one: one.dimension))
    table = table_of(found, statistic)
    above, view = whole(table), whole(table)
    for number, condition in enumerate(conditions):
        above, view = view, view.narrow(condition)
        inside = samples_of(found, conditions[: number + 1])
        assert (view.count, view.hot_count) == counts_of(inside, statistic, THRESHOLDS[0]), conditions
        assert view.measured.samples.sum() == sum(map(len, inside.values()))
    rest = above.without(conditions[-1])
    counts = {number: len(samples) for number, samples in samples_of(found, conditions[:-1]).items()}
    for number, samples in samples_of(found, conditions).items():
        counts[number] -= len(samples)
    left = {number: count for number, count in counts.items() if count}
    assert dict(zip(rest.rows.tolist(), rest.measured.samples.tolist(), strict=True)) == left


@settings(max_examples=300, deadline=None)
@given(sessions(), st.data())
def test_what_was_taken_out_is_not_in_what_comes_next(found: Sessions, data: st.DataObject) -> None:
    """Events overlap: of a sample for which both conditions hold one event's time is left without the other's."""
    first, second = data.draw(st.lists(CONDITIONS, min_size=2, max_size=2, unique=True))
    view = whole(table_of(found)).without(first).narrow(second)
    left: dict[int, int] = {}
    for span in found.spans:
        alone = Sessions(found.said, [span])
        if samples_of(alone, [second]) and not samples_of(alone, [first]):
            left[span.session] = left.get(span.session, 0) + len(span.samples)
    assert dict(zip(view.rows.tolist(), view.measured.samples.tolist(), strict=True)) == left


@settings(max_examples=100, deadline=None)
@given(sessions(OWN_TOO), st.sampled_from(["max", "mean", "p95"]))
def test_whatever_there_is_a_tree_is_made(found: Sessions, statistic: Statistic) -> None:
    table: Table = table_of(found, statistic)
    for branch in drill_down(table, min_support=0.01).tree:
        assert branch.split.q_value <= 0.05
        assert 0 <= branch.split.covered <= branch.above.hot_count


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
