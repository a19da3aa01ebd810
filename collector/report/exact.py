"""Exact counts for what was found among some sessions. Pure: no I/O.

Where events said too much, only some sessions are looked into (`loading`), and conditions on what events said are found
and tested among these. What such a node counts is asked of the database afterwards, for all sessions: `wanted` says
what, and `exact` puts the answers in.
"""

from collections.abc import Iterator, Mapping

import msgspec
import numpy as np

from collector.report.columns import Ints
from collector.report.drilldown import Branch, Found
from collector.report.measured import Measured
from collector.report.measurements import InsideColumns
from collector.report.model import Condition
from collector.report.table import Table
from collector.report.view import View, whole

Path = tuple[Condition, ...]

QUERIES = 8
"""Nodes that are counted again; what is left of the tree then is not shown."""


def wanted(found: Found, fixed: Path) -> list[Path]:
    """Paths of which the sums are needed; `fixed` are the conditions of the whole report."""
    return list(dict.fromkeys(_wanted(found, fixed)))[:QUERIES]


def _wanted(found: Found, fixed: Path) -> Iterator[Path]:
    table = found.view.table
    if table.fine.all():
        return
    if found.view.chosen is not None:
        yield _asked(table, fixed)
    waiting = [(branch, fixed) for branch in reversed(found.tree)]
    while waiting:
        branch, path = waiting.pop()
        path = (*path, branch.split.condition)
        if branch.view.chosen is not None:
            yield _asked(table, path)
        waiting += [(child, path) for child in reversed(branch.children)]


def _asked(table: Table, path: Path) -> Path:
    """Of a path, what is on events and what they said."""
    columns = table.spans.columns
    return tuple(condition for condition in path if condition.dimension == "event" or condition.dimension in columns)


def exact(found: Found, ids: list[int], fixed: Path, sums: Mapping[Path, InsideColumns]) -> Found:
    """The same with counts of all sessions; `ids` are their numbers by the rows of the table."""
    if not sums:
        return found
    exacting = _Exacting(found.view.table, np.array(ids, np.int64), sums)
    view = found.view
    if view.chosen is not None:
        everything = whole(view.table)
        for condition in fixed:
            if condition not in _asked(view.table, fixed):
                everything = everything.narrow(condition)
        view = exacting.inside(everything, fixed, view) or view
    tree = [exacting.branch(branch, view, fixed) for branch in found.tree]
    return msgspec.structs.replace(found, view=view, tree=[branch for branch in tree if branch is not None])


class _Exacting:
    def __init__(self, table: Table, ids: Ints, sums: Mapping[Path, InsideColumns]) -> None:
        self._table = table
        self._ids = ids
        self._sums = sums

    def branch(self, branch: Branch, above: View, path: Path) -> Branch | None:
        """None where it was not counted, or has nothing any more."""
        condition = branch.split.condition
        path = (*path, condition)
        split, view = branch.split, branch.view
        if view.chosen is not None:
            counted = self.inside(above, path, view)
            if counted is None or not counted.hot_count:
                return None
            view = counted
            outside, outside_hot = _outside(above, view)
            split = msgspec.structs.replace(
                split,
                sessions=view.count,
                hot=view.hot_count,
                outside_sessions=outside,
                outside_hot=outside_hot,
                test_sessions=outside,
            )
        children = [self.branch(child, view, path) for child in branch.children]
        return Branch(split=split, above=above, view=view, children=[child for child in children if child is not None])

    def inside(self, above: View, path: Path, sampled: View) -> View | None:
        """All sessions of a path whose sums are there."""
        last = path[-1]
        asked = _asked(self._table, path)
        if above.chosen is not None and last not in asked:
            return above.narrow(last)
        sums = self._sums.get(asked)
        if sums is None:
            return None
        places = above.places()[np.searchsorted(self._ids, np.array(sums.session, np.int64))]
        among = places >= 0
        thresholds = len(self._table.thresholds)
        measured = Measured(
            np.array(sums.samples, np.int64),
            np.array(sums.total, np.float64),
            np.array(sums.over[:thresholds], np.int64).reshape(thresholds, len(places)),
            np.array(sums.highest, np.float64),
        ).at(among)
        hot = self._table.is_hot(measured, sampled.at)
        return msgspec.structs.replace(
            sampled,
            rows=above.rows[places[among]],
            sessions=np.ones(int(among.sum()), np.int64),
            hot=hot.astype(np.int64),
            throughout=above.throughout[places[among]] & hot,
            measured=measured,
            chosen=np.zeros(0, np.int64),
        )


def _outside(above: View, inside: View) -> tuple[int, int]:
    """Sessions that have something else besides, or have only that; and the hot ones of these."""
    places = above.places()[inside.rows]
    rest = above.measured.at(places).minus(inside.measured)
    some = rest.samples > 0
    hot_rest = some & above.table.is_hot(rest, above.at)
    outside = above.count - inside.count + int(some.sum())
    return outside, above.hot_count - int(above.hot[places].sum()) + int(hot_rest.sum())
