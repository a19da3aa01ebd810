"""The drill-down: from a table of sessions to a tree of what the hot ones have in common. One pure function.

A level is all conditions that the sessions of a node can be narrowed by (`splits`). Those count that survive Benjamini
and Hochberg's procedure over the level and cover enough of the hot sessions. They are ranked by the log of the risk
ratio's lower bound times the share of hot sessions covered, against everything outside of the whole path, and each by
the best that lies below it: so a pair of conditions is found whose members say little alone. What is left of the
sessions without the first node is asked again for the next one; so what only goes along with a cause does not appear
beside it. Values of one dimension may be the answer together, where they explain twice as much (`PRICE`).

What was tried on real labelled cases is in docs/drill-down.md.
"""

from collections.abc import Iterable, Iterator

import msgspec

from collector.report.counts import LEVEL, Split
from collector.report.explained import PRICE, Explained
from collector.report.model import Condition
from collector.report.question import DEPTH, MIN_SUPPORT
from collector.report.splits import splits_of
from collector.report.statistics import q_values
from collector.report.table import Table
from collector.report.view import View, whole

SET_SIZE = 3
SIBLINGS = 6
"""Nodes below a node at most: a reader does not look at more."""
BEAM = 4
"""Paths of a length that are looked further into; more of them found nothing else in the labelled cases."""
FEW_HOT = 3
"""Hot sessions below which nothing is said."""

Path = frozenset[Condition]


class Branch(msgspec.Struct, kw_only=True):
    """A node of the tree. What is outside is in neither this node nor one listed before it."""

    split: Split
    above: View
    view: View
    """The sessions of the node, and what was measured of each in it."""
    children: "list[Branch]"


class Found(msgspec.Struct):
    """The tree, and the combinations of conditions by how much they explain, best first: the first `answer` of them
    together are the answer.
    """

    view: View
    tree: list[Branch]
    combinations: list[Path]
    answer: int


def drill_down(
    table: Table, conditions: Iterable[Condition] = (), *, min_support: float = MIN_SUPPORT, depth: int = DEPTH
) -> Found:
    """The tree of the sessions that fulfil the conditions."""
    view = whole(table)
    fixed = tuple(conditions)
    for condition in fixed:
        view = view.narrow(condition)
    search = _Search(view, frozenset(condition.dimension for condition in fixed), min_support, depth)
    search.explore()
    tree = search.grow(view, frozenset(), depth)
    answer = search.answer(tree)
    return Found(view, tree, [*answer, *(path for path in search.ranked() if path not in answer)], len(answer))


class _Search:
    """What is known of paths from one view: how much each explains, and which are significant step by step."""

    def __init__(self, root: View, fixed: frozenset[str], min_support: float, depth: int) -> None:
        self.root = root
        self.fixed = fixed
        self.min_support = min_support
        self.depth = depth
        self.value: dict[Path, float] = {}
        self.significant: set[Path] = set()
        self.explained = Explained(root)
        self.together = 1
        self._below: dict[tuple[Path, int], list[Split]] = {}

    def explore(self) -> None:
        """Look at conditions, then at pairs of the best, then at what can be added to these."""
        beam: list[tuple[Path, View]] = [(frozenset(), self.root)]
        for _ in range(self.depth):
            longer: dict[Path, tuple[View, Split]] = {}
            for path, view in beam:
                splits = self._splits_below(view, path)
                sound = {id(split) for split in self._surviving(view, splits)}
                for split in splits:
                    key = path | {split.condition}
                    value = self.explained.by(split)
                    if split.covered < self.min_support * self.explained.hot(split) or value <= 0:
                        continue
                    if id(split) in sound and (not path or path in self.significant):
                        self.significant.add(key)
                    if value > self.value.get(key, 0.0):
                        self.value[key] = value
                        longer[key] = view, split
            if not self.significant:
                self.value.clear()
                return
            best = sorted(longer, key=lambda path: -self.value[path])[:BEAM]
            beam = [(path, longer[path][0].narrow(longer[path][1].condition, longer[path][1].at)) for path in best]

    def _splits_below(self, view: View, path: Path) -> list[Split]:
        """Those of a path's own view, computed once."""
        key = path, view.at
        if key not in self._below:
            self._below[key] = self._splits(view, path)
        return self._below[key]

    def _splits(self, view: View, path: Path) -> list[Split]:
        """The conditions that a node can be narrowed by, tested."""
        if view.hot_count < FEW_HOT:
            return []
        splits = splits_of(view, self.fixed | {condition.dimension for condition in path})
        tested = q_values([split.p_value for split in splits.found], splits.tests)
        for split, q_value in zip(splits.found, tested, strict=True):
            split.q_value = q_value
        return splits.found

    def _surviving(self, view: View, splits: list[Split]) -> list[Split]:
        """Those that may be shown."""
        significant = [split for split in splits if split.q_value <= LEVEL]
        return [split for split in self._enough(significant, view) if split.low > 1]

    def _enough(self, splits: list[Split], view: View) -> list[Split]:
        """Those that cover enough of the hot sessions, or of those of them that were looked into."""
        least = {
            sampled: max(FEW_HOT, self.min_support * those.hot_count)
            for sampled, those in ((False, view), (True, view.looked_into()))
        }
        return [split for split in splits if split.covered >= least[split.sampled]]

    def ranked(self) -> list[Path]:
        """All paths that were found, best first; of those that explain as much the shorter one."""
        return sorted(self.value, key=lambda path: (-self.value[path], len(path)))

    def answer(self, tree: list[Branch]) -> list[Path]:
        """What explains most: along the best nodes of the tree, or the values of one dimension that do together."""
        if not tree:
            return []
        first = tree[0].split.condition
        values = [branch.split.condition for branch in tree[: self.together]]
        if len(values) > 1:
            return [frozenset({value}) for value in values]
        best, path, value = frozenset({first}), frozenset[Condition](), 0.0
        while tree:
            path |= {tree[0].split.condition}
            worth = self.explained.by(tree[0].split)
            if worth > value:
                best, value = path, worth
            tree = tree[0].children
        return [best]

    def grow(self, view: View, path: Path, depth: int) -> list[Branch]:
        """The nodes below a node, best first."""
        branches: list[Branch] = []
        rest = view
        while depth and len(branches) < SIBLINGS:
            splits = self._splits(rest, path) if branches else self._splits_below(rest, path)
            surviving = self._surviving(rest, splits)
            if not surviving:
                break
            best = max(surviving, key=lambda split: (self._promise(split, path), self.explained.by(split)))
            chosen = self._set(rest, splits, self._promise(best, path)) or [best]
            if not path and not branches:
                self.together = len(chosen)
            for split in chosen:
                inside = view.narrow(split.condition, split.at)
                rest = rest.without(split.condition)
                if view.said_twice(split.condition):
                    split = _recounted(split, inside, rest)
                    if split.low <= 1:
                        continue
                children = self.grow(inside, path | {split.condition}, depth - 1)
                branches.append(Branch(split=split, above=view, view=inside, children=children))
        return branches

    def _promise(self, split: Split, path: Path) -> float:
        """The most that a significant path through this split explains."""
        key = path | {split.condition}
        return max([self.explained.by(split), *(self.value[found] for found in self.significant if key <= found)])

    def _set(self, view: View, splits: list[Split], value: float) -> list[Split]:
        """Values of one dimension that explain more together than `value`, at a price for each after the first; each is
        significant without the others.
        """
        best: list[Split] = []
        for values in _by_dimension(self._enough(splits, view)):
            values.sort(key=lambda split: -split.hot / split.sessions)
            for size in range(2, min(SET_SIZE, len(values)) + 1):
                together = _together(values[:size])
                worth = self.explained.by(together) / PRICE ** (size - 1)
                if worth > value:
                    alone = list(_alone(values[:size], view))
                    if all(split.p_value <= LEVEL / len(values) and split.low > 1 for split in alone):
                        best, value = alone, worth
        return best


def _recounted(split: Split, inside: View, rest: View) -> Split:
    """By the word of sessions and of events: it was found by one of them."""
    return msgspec.structs.replace(
        split,
        sessions=inside.count,
        hot=inside.hot_count,
        covered=int((inside.hot * inside.throughout).sum()),
        outside_sessions=rest.count,
        outside_hot=rest.hot_count,
        test_sessions=rest.count,
        of_parts=split.of_parts or inside.chosen is not None,
        sampled=inside.chosen is not None,
    )


def _by_dimension(splits: Iterable[Split]) -> Iterator[list[Split]]:
    """Names of which a session has one."""
    found: dict[str, list[Split]] = {}
    for split in splits:
        if split.condition.op == "=" and not split.within:
            found.setdefault(split.condition.dimension, []).append(split)
    yield from found.values()


def _together(splits: list[Split]) -> Split:
    sessions, hot = sum(split.sessions for split in splits), sum(split.hot for split in splits)
    covered = sum(split.covered for split in splits)
    return msgspec.structs.replace(splits[0], sessions=sessions, hot=hot, covered=covered)


def _alone(splits: list[Split], view: View) -> Iterator[Split]:
    """Each against what is in none of them."""
    together = _together(splits)
    outside, outside_hot = view.count - together.sessions, view.hot_count - together.hot
    for split in splits:
        one = msgspec.structs.replace(split, outside_sessions=outside, outside_hot=outside_hot, test_sessions=outside)
        one.test()
        yield one
