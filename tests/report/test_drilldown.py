"""The drill-down finds what was planted, and nothing where nothing is. Pure: no database.

COLLECTOR_DRILLDOWN_SEEDS says on how many tables; `make test-drilldown` takes 100.
"""

import os
from collections.abc import Callable
from functools import cache
from random import Random

import numpy as np
import pytest

from collector.report.columns import columns_of
from collector.report.drilldown import SIBLINGS, Branch, Found, drill_down
from collector.report.model import Condition, Scalar, Statistic
from collector.report.table import Table, table_of_counts
from tests.report.tables import Plant, Sessions, looked_into, mixed, planted, shuffled, table_of

SEEDS = range(int(os.environ.get("COLLECTOR_DRILLDOWN_SEEDS", "30")))
FOUND, FOUND_AMONG_SOME = 0.9, 0.8
"""Of planted causes, so many are to come first;"""
CHANCE = 0.05
"""and of tables without one, no more than so many may say something."""


@cache
def plant(seed: int) -> Plant:
    return planted(seed)


def first_path(tree: list[Branch]) -> list[Condition]:
    """Along the best nodes."""
    path = []
    while tree:
        path.append(tree[0].split.condition)
        tree = tree[0].children
    return path


def test_what_is_planted_comes_first() -> None:
    """In the answer, and as the first nodes of the tree."""
    answered, first = [], []
    for seed in SEEDS:
        cause = plant(seed)
        found = drill_down(table_of(cause.sessions))
        path = first_path(found.tree)
        if found.answer == 1 and cause.named(found.combinations[0]):
            answered.append(seed)
        if cause.named(path[: len(cause.cause)]):
            first.append(seed)
    least = FOUND * len(SEEDS)
    assert min(len(answered), len(first)) >= least, (set(SEEDS).difference(answered), set(SEEDS).difference(first))


def test_what_is_planted_comes_first_where_only_some_sessions_are_looked_into() -> None:
    """What events said is known of a third of the sessions; what that leaves to luck costs some."""
    found = []
    for seed in SEEDS[: len(SEEDS) // 2]:
        cause = planted(seed, 1500)
        result = drill_down(looked_into(table_of(cause.sessions), 3))
        if result.answer == 1 and cause.named(result.combinations[0]):
            found.append(seed)
    assert len(found) >= FOUND_AMONG_SOME * (len(SEEDS) // 2), found


def test_nothing_is_found_where_nothing_is_and_only_some_sessions_are_looked_into() -> None:
    found = []
    for seed in SEEDS:
        tree = drill_down(looked_into(table_of(shuffled(plant(seed).sessions, seed)), 3)).tree
        if tree:
            found.append((seed, tree[0].split.condition))
    assert len(found) <= CHANCE * len(SEEDS), found


def test_causes_of_every_length_and_support_are_planted() -> None:
    assert {len(plant(seed).cause) for seed in SEEDS} == {1, 2, 3}
    hot = [table_of(plant(seed).sessions).hot.mean() for seed in SEEDS]
    assert min(hot) < 0.12
    assert max(hot) > 0.4


@pytest.mark.parametrize("without", [shuffled, mixed])
@pytest.mark.parametrize("statistic", ["max", "mean", "p95"])
def test_nothing_is_found_where_nothing_is(without: Callable[[Sessions, int], Sessions], statistic: Statistic) -> None:
    found = []
    for seed in SEEDS:
        tree = drill_down(table_of(without(plant(seed).sessions, seed), statistic)).tree
        if tree:
            found.append((seed, tree[0].split.condition))
    assert len(found) <= CHANCE * len(SEEDS), found


def counted(seed: int, sessions: int, hot: Callable[[dict[str, Scalar], Random], bool]) -> Table:
    """Sessions that are only counted, with a host of its own each and a build of hundreds."""
    random = Random(f"counted {seed}")
    rows: list[dict[str, Scalar]] = [
        {
            "version": random.choice(["1", "2", "3"]),
            "os": random.choice(["a", "b"]),
            "build": random.randrange(400),
            "name": f"n{random.randrange(300)}",
            "host": f"h{number}",
        }
        for number in range(sessions)
    ]
    return table_of_counts(
        columns_of(rows), np.ones(sessions, np.int64), np.array([hot(row, random) for row in rows], np.int64)
    )


def test_names_of_thousands_of_values_do_not_win_by_chance() -> None:
    """With labels by lot."""
    said = [seed for seed in SEEDS if drill_down(counted(seed, 2000, lambda _, random: random.random() < 0.2)).tree]
    assert len(said) <= CHANCE * len(SEEDS), said


def test_names_of_thousands_of_values_hide_nothing() -> None:
    for seed in range(5):
        table = counted(seed, 3000, lambda row, random: random.random() < (0.4 if row["version"] == "2" else 0.05))
        assert first_path(drill_down(table).tree) == [Condition("version", "=", "2")]


def hot_by(shares: dict[str, float]) -> Found:
    """Of 400 sessions each, so many of each version are hot."""
    columns = columns_of([{"version": version} for version in shares])
    sessions = np.full(len(shares), 400, np.int64)
    return drill_down(table_of_counts(columns, sessions, np.array([round(400 * share) for share in shares.values()])))


def test_what_covers_less_than_a_twentieth_is_not_shown() -> None:
    columns = columns_of([{"version": "1"}, {"version": "2"}, {"version": "3"}])
    sessions = np.array([10, 4000, 4000], np.int64)

    def tree(min_support: float) -> list[Condition]:
        table = table_of_counts(columns, sessions, np.array([10, 110, 110], np.int64))
        return first_path(drill_down(table, min_support=min_support).tree)

    assert tree(0.05) == []
    assert tree(0.04) == [Condition("version", "=", "1")]


def test_two_values_that_do_it_together_are_the_answer() -> None:
    found = hot_by({"1": 0.02, "2": 0.3, "3": 0.02, "4": 0.3, "5": 0.02})
    assert found.answer == 2
    values = {frozenset(path) for path in found.combinations[:2]}
    assert values == {frozenset({Condition("version", "=", value)}) for value in ("2", "4")}


def test_nodes_beside_each_other_are_few_and_the_best_is_first() -> None:
    found = hot_by({str(number): 0.02 if number < 10 else 0.1 + 0.03 * number for number in range(20)})
    assert 1 <= len(found.tree) <= SIBLINGS
    assert found.tree[0].split.condition.value in {"19", "18", "17"}


@pytest.mark.parametrize("hot", [0, 2, 400])
def test_of_none_few_or_all_nothing_is_said(hot: int) -> None:
    columns = columns_of([{"version": "1"}, {"version": "2"}])
    found = drill_down(table_of_counts(columns, np.array([400, 400]), np.array([hot, 400 if hot == 400 else 0])))
    assert (found.tree, found.answer) == ([], 0)


def test_a_table_of_nothing() -> None:
    none = np.zeros(0, np.int64)
    assert drill_down(table_of_counts(columns_of([]), none, none)).tree == []


def test_depth_and_conditions_that_are_fixed() -> None:
    cause = next(plant(seed) for seed in SEEDS if len(plant(seed).cause) == 2)
    table = table_of(cause.sessions)
    (alone,) = {len(first_path(drill_down(table, depth=1).tree))}
    assert alone == 1
    fixed, other = cause.cause
    assert first_path(drill_down(table, [fixed]).tree)[0].dimension == other.dimension
