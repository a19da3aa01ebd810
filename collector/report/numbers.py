"""Numbers split at the threshold that explains most: of sessions, or of what events said. Pure: no I/O.

The p-value of the best threshold is multiplied by how many were tried (Bonferroni).
"""

from typing import Literal

import msgspec
import numpy as np

from collector.report.columns import Bools, Floats, Ints
from collector.report.counts import LEVEL, Counts, Splits, by_group
from collector.report.measured import Measured, running
from collector.report.model import Condition
from collector.report.table import Parts
from collector.report.values import plain
from collector.report.view import View

CUTS = 64
"""Thresholds of a number that are tested, at quantiles; the best one is then moved to where it fits best."""


class OfSessions:
    """A number of each row, NaN where it has none."""

    def __init__(self, numbers: Floats, units: Floats) -> None:
        said = ~np.isnan(numbers)
        self.every = numbers[said]
        self.values, groups = np.unique(self.every, return_inverse=True)
        self.by_all = bool(said.all())
        self._by_value = by_group(groups, units[:, said], len(self.values))
        self._total = units.sum(axis=1)[:, None]

    def counts(self, op: Literal[">", "<="], cuts: Floats) -> Counts:
        """Of each threshold of these, ascending ones."""
        up_to = np.concatenate((np.zeros((len(self._by_value), 1)), np.cumsum(self._by_value, axis=1)), axis=1)
        inside = up_to[:, np.searchsorted(self.values, cuts, side="right")]
        if op == ">":
            inside = up_to[:, -1:] - inside
        return Counts(inside, self._total - inside, within=False)


class _Numbers(msgspec.Struct):
    """Numbers of rows, by row and ascending, and what was measured with each."""

    place: Ints
    number: Floats
    measured: Measured


class OfParts:
    """A number of parts of rows, NaN where they have none."""

    by_all = False

    def __init__(self, view: View, numbers: Floats, parts: Parts, known: Bools) -> None:
        said = ~np.isnan(numbers)
        self.every = numbers[said]
        self.values, codes = np.unique(self.every, return_inverse=True)
        least = self._by_number(parts.at(said), codes, np.argsort(codes, kind="stable"))
        most = least
        if parts.same is not None:
            most = self._by_number(parts.at(said), codes, np.argsort(-codes, kind="stable"))
        self._of: dict[Literal[">", "<="], _Numbers] = {"<=": least, ">": most}
        self._rows = view.rows_as_units()
        self._known = self._rows[:, known].sum(axis=1)[:, None]
        self._view = view

    def _by_number(self, parts: Parts, codes: Ints, order: Ints) -> "_Numbers":
        """Of samples for which several numbers were said the first in this order holds."""
        if parts.same is not None:
            order = order[np.unique(parts.same[order], return_index=True)[1]]
        values = max(1, len(self.values))
        keys, groups = np.unique(parts.row[order] * values + codes[order], return_inverse=True)
        return _Numbers(keys // values, self.values[keys % values], parts.measured.at(order).by(groups, len(keys)))

    def counts(self, op: Literal[">", "<="], cuts: Floats) -> Counts:
        """Between two of a row's numbers the counts stay as they are: each row changes them at a few thresholds only,
        and what they are follows by adding up.
        """
        inside, place, begins, ends = self._stretches(op, cuts)
        units = self._view.units(inside, self._view.at, place)
        rest = self._view.units(self._view.measured.at(place).minus(inside), self._view.at, place)
        rest -= self._rows[:, place]

        def along(each: Floats) -> Floats:
            change = by_group(begins, each, len(cuts) + 1) - by_group(ends, each, len(cuts) + 1)
            sums: Floats = np.cumsum(change, axis=1)[:, : len(cuts)]
            return sums

        return Counts(along(units), self._known + along(rest), within=True)

    def _stretches(self, op: Literal[">", "<="], cuts: Floats) -> tuple[Measured, Ints, Ints, Ints]:
        """What is inside, of which row, and between which thresholds: with the first one on, without the second."""
        numbers = self._of[op]
        place = numbers.place
        first = np.concatenate(([True], place[1:] != place[:-1])) if len(place) else np.zeros(0, np.bool_)
        starts, row = np.flatnonzero(first), np.cumsum(first) - 1
        up_to = running(numbers.measured, starts, row)
        at = np.searchsorted(cuts, numbers.number)
        # From each number on up to the row's next one, and from the last one on for ever.
        until = np.append(at[1:], len(cuts))
        until[np.append(first[1:], True)] = len(cuts)
        inside = up_to
        if op == ">":  # and below the least one all of them
            whole = numbers.measured.by(row, len(starts))
            inside = whole.at(row).minus(up_to).and_then(whole)
            place = np.concatenate((place, place[starts]))
            until = np.concatenate((until[: len(at)], at[starts]))
            at = np.concatenate((at, np.zeros(len(starts), np.int64)))
        until = until[: len(at)]
        kept = (at < until) & (inside.samples > 0)
        return inside.at(kept), place[kept], at[kept], until[kept]


def best_thresholds(view: View, dimension: str, numbers: OfSessions | OfParts) -> Splits:
    """The best threshold in each direction."""
    # "Not over the largest" is a condition too where not all say one: that it was said at all.
    every = numbers.values[:-1] if numbers.by_all else numbers.values
    if not len(every):
        return Splits([], 0)
    coarse = _quantiles(numbers.every, every)
    found = []
    directions: tuple[Literal[">", "<="], ...] = (">", "<=")
    for op in directions:
        counts = numbers.counts(op, coarse)
        scores = counts.scores(view.hot_count)
        best = int(np.argmax(scores))
        split = counts.split(view, best, Condition(dimension, op, plain(float(coarse[best]))))
        counts.test(split, view, best)
        p_value = min(1.0, split.p_value * len(coarse))
        if scores[best] <= 0 or p_value > LEVEL:
            continue
        # Moved to the value that fits best between its neighbours: the test was for the place, not for the digits.
        low = coarse[best - 1] if best else -np.inf
        high = coarse[best + 1] if best + 1 < len(coarse) else np.inf
        fine = every[(every > low) & (every < high)]
        counts = numbers.counts(op, fine)
        best = int(np.argmax(counts.scores(view.hot_count)))
        split = counts.split(view, best, Condition(dimension, op, plain(float(fine[best]))))
        split.p_value = p_value
        found.append(split)
    return Splits(found, len(directions))


def _quantiles(numbers: Floats, every: Floats) -> Floats:
    """Of all thresholds, at most CUTS, with about as many numbers between each and the next."""
    if len(every) <= CUTS:
        return every
    at = np.quantile(numbers, np.arange(1, CUTS + 1) / (CUTS + 1), method="lower")
    return np.intersect1d(at, every)
