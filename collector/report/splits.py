"""Every condition that a view can be narrowed by, with its counts inside and outside, and how surely they differ. Pure.

What a session says of itself is inside or outside as a whole. An event, and what an event says, is a part of a session,
so that one session may be on both sides; which of them is hot then depends on how long each took, too, and such a
condition also has to hold more of the hot time than of the time (`more_than_its_time`). Of a number the threshold is
taken that explains most, and its p-value is multiplied by how many thresholds were tried (Bonferroni).
"""

from collections.abc import Iterator
from typing import Any, Literal

import msgspec
import numpy as np

from collector.report.columns import Floats, Ints, Names, plain
from collector.report.model import Condition, Scalar
from collector.report.statistics import fisher, more_than_chances, more_than_its_time, risk_ratio_low, smallest_p
from collector.report.table import UNNAMED, Measured, View, added, summed

LEVEL = 0.05
"""Of the test: the share of false nodes among those of a level that is put up with."""
CUTS = 64
"""Thresholds of a number that are tested, at quantiles; the best one is then moved to where it fits best."""


LEAST_SUPPORT = 0.01
"""Of the hot sessions: what has less is tested, and not looked at. So names of thousands of values cost little."""


class Split(msgspec.Struct, kw_only=True):
    """A condition, and what it makes of a view. `at` is the number of the threshold."""

    condition: Condition
    at: int
    sessions: int
    hot: int
    outside_sessions: int
    outside_hot: int
    test_sessions: int
    """Outside, each session once, for the test."""
    within: bool = False
    """It takes a part of a session; others may be outside."""
    of_parts: bool = False
    """What is inside are parts of sessions, by this condition or one before it."""
    p_value: float = 1.0
    q_value: float = 1.0

    @property
    def low(self) -> float:
        """The lower end of the risk ratio's 95 % interval."""
        return float(_low(*(np.array([number]) for number in self._counts()))[0])

    def test(self) -> None:
        """Set the p-value by the counts alone."""
        outside_hot = round(self.outside_hot / max(1, self.outside_sessions) * self.test_sessions)
        self.p_value = fisher(self.hot, self.sessions, outside_hot, self.test_sessions)

    def _counts(self) -> tuple[int, int, int, int, int]:
        return self.hot, self.sessions, self.outside_hot, self.outside_sessions, self.test_sessions


class Splits(msgspec.Struct):
    """Those that have some of the hot sessions, and how many were tested."""

    found: list[Split]
    tests: int


class Counts(msgspec.Struct):
    """Of many conditions of a kind, each an element."""

    sessions: Ints
    hot: Ints
    outside: Ints
    outside_hot: Ints
    test_sessions: Ints
    timed: Ints | None = None
    """Hot sessions that have it, and of these the shares of their hot time and of their time, added up; None where it
    is of whole sessions.
    """
    hot_time: Floats | None = None
    time: Floats | None = None
    expected: Floats | None = None
    """Of whole sessions: how many would be hot if that only depended on the number of samples, and the variance of the
    difference.
    """
    spread: Floats | None = None

    def scores(self, hot: int) -> Floats:
        """How much each explains of so many hot sessions: the log of the risk ratio's lower bound, times the share of
        the hot sessions that it covers.
        """
        low = _low(self.hot, self.sessions, self.outside_hot, self.outside, self.test_sessions)
        return np.log(np.maximum(1.0, low)) * self.hot / max(1, hot)

    def p_value(self, at: int) -> float:
        """Of one of them."""
        sessions, outside, test_sessions = int(self.sessions[at]), int(self.outside[at]), int(self.test_sessions[at])
        if not sessions or not outside:
            return 1.0
        outside_hot = round(int(self.outside_hot[at]) / outside * test_sessions)
        p_value = fisher(int(self.hot[at]), sessions, outside_hot, test_sessions)
        if self.expected is not None and self.spread is not None:
            p_value = max(p_value, more_than_chances(int(self.hot[at]), self.expected[at], self.spread[at]))
        if self.timed is None or self.hot_time is None or self.time is None:
            return p_value
        timed = max(1, int(self.timed[at]))
        return max(p_value, more_than_its_time(self.hot_time[at] / timed, self.time[at] / timed, int(self.timed[at])))

    def split(self, view: View, at: int, condition: Condition, threshold: int | None = None) -> Split:
        """One of them."""
        return Split(
            condition=condition,
            at=view.at if threshold is None else threshold,
            sessions=int(self.sessions[at]),
            hot=int(self.hot[at]),
            outside_sessions=int(self.outside[at]),
            outside_hot=int(self.outside_hot[at]),
            test_sessions=int(self.test_sessions[at]),
            within=self.timed is not None,
            of_parts=self.timed is not None or view.event is not None or view.chosen is not None,
        )


def score(split: Split, hot: int) -> float:
    """How much it explains of so many hot sessions (`Counts.scores`)."""
    return float(np.log(max(1.0, split.low))) * split.hot / max(1, hot)


def _low(hot: Ints, sessions: Ints, outside_hot: Ints, outside: Ints, test_sessions: Ints) -> Floats:
    return risk_ratio_low(hot, sessions, outside_hot / np.maximum(1, outside) * test_sessions, test_sessions)


def splits_of(view: View, used: frozenset[str]) -> Splits:
    """All conditions on dimensions that are not `used`, tested."""
    found: list[Split] = []
    tests = 0
    for splits in _kinds(view, used):
        found += splits.found
        tests += splits.tests
    return Splits(found, tests)


def _kinds(view: View, used: frozenset[str]) -> Iterator[Splits]:
    if not len(view.rows):
        return
    if "event" not in used and view.event is None:
        yield _of_events(view)
    said = view.table.spans.columns
    for dimension, names in view.table.columns.names.items():
        if dimension not in used and dimension not in said:
            yield _tested(view, dimension, names.values, _names_of_sessions(view, names))
    for dimension, numbers in view.table.columns.numbers.items():
        if dimension not in used and dimension not in said:
            yield _of_numbers(view, dimension, _Whole(view, numbers[view.rows]))
    if not (said.names.keys() | said.numbers.keys()) - used:
        return
    chosen, spans = view.spans()
    for dimension, names in said.names.items():
        if dimension not in used:
            codes = names.codes[chosen]
            counts = _parts(view, codes, spans.row, spans.measured, len(names.values))
            yield _tested(view, dimension, names.values, counts)
    for dimension, numbers in said.numbers.items():
        if dimension not in used:
            yield _of_numbers(view, dimension, _InPart(view, numbers[chosen], spans.row, spans.measured))


# Names


def _tested(view: View, dimension: str, values: list[Scalar], counts: Counts) -> Splits:
    """Those that could be significant, whichever sessions were hot, are tested; those that have next to none of the hot
    sessions are not listed.
    """
    total = int((counts.hot + counts.outside_hot).max(initial=0))
    sessions, test_sessions, hot = counts.sessions.tolist(), counts.test_sessions.tolist(), counts.hot.tolist()
    found = []
    tests = 0
    for at in np.flatnonzero((counts.sessions > 0) & (counts.outside > 0)).tolist():
        testable = smallest_p(sessions[at], sessions[at] + test_sessions[at], total) <= LEVEL
        tests += testable
        if hot[at] and hot[at] >= LEAST_SUPPORT * total:
            split = counts.split(view, at, Condition(dimension, "=", values[at]))
            split.p_value = counts.p_value(at) if testable else 1.0
            found.append(split)
    return Splits(found, tests)


def _names_of_sessions(view: View, names: Names) -> Counts:
    codes = names.codes[view.rows]
    said = codes >= 0
    count = len(names.values)
    sessions = added(codes[said], view.sessions[said], count)
    hot = added(codes[said], view.hot[said], count)
    outside = view.count - sessions
    counts = Counts(sessions, hot, outside, view.hot_count - hot, outside)
    chances = view.chances()
    if chances is not None:
        spread = chances * (1 - chances)
        _expect(
            counts,
            summed(codes[said], chances[said], count),
            summed(codes[said], spread[said], count),
            spread,
        )
    return counts


def _expect(counts: Counts, expected: Floats, inside: Floats, every: Floats) -> None:
    """Set what is expected; the variance is that of inside minus outside, given the sum."""
    total = every.sum()
    counts.expected, counts.spread = expected, inside * (total - inside) / max(total, 1e-300)


def _parts(view: View, codes: Ints, places: Ints, measured: Measured, count: int) -> Counts:
    """Of parts by code (-1: none) and row: inside is what was measured in parts with the code, outside the rest of the
    row, and rows without such a part.
    """
    said = codes >= 0
    keys, groups = np.unique(codes[said] * len(view.rows) + places[said], return_inverse=True)
    inside = measured.at(said).by(groups, len(keys))
    code, place = keys // len(view.rows), keys % len(view.rows)
    known = view.table.fine[view.rows]
    around = view.measured.at(place)
    rest = around.minus(inside)
    some = rest.samples > 0
    hot_rest = some & view.table.is_hot(rest, view.at)
    sessions = np.bincount(code, minlength=count)
    outside = int(known.sum()) - sessions + added(code, some, count)
    return Counts(
        sessions,
        added(code, view.table.is_hot(inside, view.at), count),
        outside,
        int(view.hot[known].sum()) - added(code, view.hot[place], count) + added(code, hot_rest, count),
        outside,
        *_times(view.at, code, inside, around, count),
    )


def _times(at: int, code: Ints, inside: Measured, around: Measured, count: int) -> tuple[Ints, Floats, Floats]:
    """Of hot rows, by code: how many, and their shares of hot time and of time, added up."""
    timed = around.over[at] > 0
    inside, around, code = inside.at(timed), around.at(timed), code[timed]
    hot_time = np.minimum(1.0, inside.over[at] / np.maximum(1, around.over[at]))
    time = np.minimum(1.0, inside.samples / np.maximum(1, around.samples))
    return np.bincount(code, minlength=count), summed(code, hot_time, count), summed(code, time, count)


# Events


def _of_events(view: View) -> Splits:
    """Each event at each threshold. Outside are the other events, each session with each of them; where there are none
    at all, the time without an event.
    """
    parts = view.parts()
    events = view.table.events
    found: list[Split] = []
    tests = 0
    if not len(parts.row):
        return Splits(found, tests)
    per_row = np.bincount(parts.row, minlength=len(view.rows))
    sessions = np.bincount(parts.event, minlength=len(events))
    alone = added(parts.event, (per_row[parts.row] == 1).astype(np.int64), len(events))
    around = view.measured.at(parts.row)
    for at in range(view.at, len(view.table.thresholds)):
        hot = added(parts.event, view.table.is_hot(parts.measured, at).astype(np.int64), len(events))
        outside, outside_hot = len(parts.row) - sessions, int(hot.sum()) - hot
        test_sessions = int((per_row > 0).sum()) - alone
        if np.count_nonzero(sessions) == 1:
            rest = around.minus(parts.measured)
            some = rest.samples > 0
            outside = test_sessions = added(parts.event, some.astype(np.int64), len(events))
            hot_rest = some & view.table.is_hot(rest, at)
            outside_hot = added(parts.event, hot_rest.astype(np.int64), len(events))
        times = _times(at, parts.event, parts.measured, around, len(events))
        # What has no name of its own is only outside of others.
        listed = np.where(np.array([event not in UNNAMED for event in events]), hot, 0)
        counts = Counts(sessions, listed, outside, outside_hot, test_sessions, *times)
        splits = _tested(msgspec.structs.replace(view, at=at), "event", list(events), counts)
        found += splits.found
        tests += splits.tests
    return Splits(found, tests)


# Numbers


class _Whole:
    """A number of each row, NaN where it has none."""

    def __init__(self, view: View, numbers: Floats) -> None:
        said = ~np.isnan(numbers)
        self.values, self._value = np.unique(numbers[said], return_inverse=True)
        self.every = numbers[said]
        self.by_all = bool(said.all())
        self._sessions = added(self._value, view.sessions[said], len(self.values))
        self._hot = added(self._value, view.hot[said], len(self.values))
        self._view = view
        self._chances = view.chances()
        if self._chances is not None:
            spread = self._chances * (1 - self._chances)
            self._spread = spread
            self._expected, self._inside = (
                np.bincount(self._value, each[said], len(self.values)) for each in (self._chances, spread)
            )

    def counts(self, op: Literal[">", "<="], cuts: Floats) -> Counts:
        """Of each threshold of these, ascending ones."""
        at = np.searchsorted(self.values, cuts, side="right")

        def beside(each: Ints | Floats) -> Any:
            up_to = np.concatenate(([0], np.cumsum(each)))[at]
            return each.sum() - up_to if op == ">" else up_to

        sessions, hot = beside(self._sessions), beside(self._hot)
        outside = self._view.count - sessions
        counts = Counts(sessions, hot, outside, self._view.hot_count - hot, outside)
        if self._chances is not None:
            _expect(counts, beside(self._expected), beside(self._inside), self._spread)
        return counts


class _InPart:
    """A number of parts of rows, NaN where they have none."""

    def __init__(self, view: View, numbers: Floats, places: Ints, measured: Measured) -> None:
        said = ~np.isnan(numbers)
        self.values, codes = np.unique(numbers[said], return_inverse=True)
        self.every = numbers[said]
        keys, groups = np.unique(places[said] * max(1, len(self.values)) + codes, return_inverse=True)
        self._measured = measured.at(said).by(groups, len(keys))
        self._place, self._number = keys // max(1, len(self.values)), self.values[keys % max(1, len(self.values))]
        known = view.table.fine[view.rows]
        self._known, self._known_hot = int(known.sum()), int(view.hot[known].sum())
        self.by_all = False
        self._view = view

    def counts(self, op: Literal[">", "<="], cuts: Floats) -> Counts:
        """Between two of a row's numbers the counts stay as they are: each row changes them at a few thresholds only,
        and what they are follows by adding up.
        """
        view, place, count = self._view, self._place, len(cuts)
        first = np.concatenate(([True], place[1:] != place[:-1])) if len(place) else np.zeros(0, np.bool_)
        starts = np.flatnonzero(first)
        row = np.cumsum(first) - 1
        up_to = _running(self._measured, starts, row)
        inside = up_to if op == "<=" else _sums(self._measured, starts, row).minus(up_to)
        # Each number is a threshold of its row; below its least one all numbers are over it.
        at = np.searchsorted(cuts, self._number)
        until = np.concatenate((at[1:], [count])) if len(at) else at
        until[np.concatenate((first[1:], [True])) if len(first) else first] = count
        if op == ">":
            whole = _sums(self._measured, starts, row).at(starts)
            inside = Measured(
                np.concatenate((inside.samples, whole.samples)),
                np.concatenate((inside.total, whole.total)),
                np.concatenate((inside.over, whole.over), axis=1),
            )
            place = np.concatenate((place, place[starts]))
            until = np.concatenate((until, at[starts]))
            at = np.concatenate((at, np.zeros(len(starts), np.int64)))
        kept = (at < until) & (inside.samples > 0)
        inside, place, at, until = inside.at(kept), place[kept], at[kept], until[kept]
        around = view.measured.at(place)
        rest = around.minus(inside)
        some = rest.samples > 0
        hot_rest = some & view.table.is_hot(rest, view.at)
        timed = around.over[view.at] > 0
        hot_time = np.where(timed, np.minimum(1.0, inside.over[view.at] / np.maximum(1, around.over[view.at])), 0.0)
        time = np.where(timed, np.minimum(1.0, inside.samples / np.maximum(1, around.samples)), 0.0)

        def along(weights: Ints | Floats) -> Floats:
            change = np.bincount(at, weights, count + 1) - np.bincount(until, weights, count + 1)
            sums: Floats = np.cumsum(change)[:count]
            return sums

        def whole_numbers(weights: Ints) -> Ints:
            return np.rint(along(weights)).astype(np.int64)

        sessions = whole_numbers(np.ones(len(place), np.int64))
        outside = self._known - sessions + whole_numbers(some.astype(np.int64))
        outside_hot = self._known_hot - whole_numbers(view.hot[place]) + whole_numbers(hot_rest.astype(np.int64))
        return Counts(
            sessions,
            whole_numbers(view.table.is_hot(inside, view.at).astype(np.int64)),
            outside,
            outside_hot,
            outside,
            whole_numbers(timed.astype(np.int64)),
            along(hot_time),
            along(time),
        )


def _running(measured: Measured, starts: Ints, row: Ints) -> Measured:
    """Added up along each row, each element with those before it."""

    def along(numbers: Ints) -> Ints:
        sums: Ints = np.cumsum(numbers)
        before = (sums - numbers)[starts]
        found: Ints = sums - before[row]
        return found

    total = np.cumsum(measured.total)
    return Measured(
        along(measured.samples),
        total - (total - measured.total)[starts][row],
        np.stack([along(over) for over in measured.over]),
    )


def _sums(measured: Measured, starts: Ints, row: Ints) -> Measured:
    """Of the whole row, at each of its elements."""
    return measured.by(row, len(starts)).at(row) if len(row) else measured


def _of_numbers(view: View, dimension: str, numbers: _Whole | _InPart) -> Splits:
    """The best threshold in each direction."""
    found: list[Split] = []
    # "Not over the largest" is a condition too where not all say one: that it was said at all.
    every = numbers.values[:-1] if numbers.by_all else numbers.values
    if not len(every):
        return Splits(found, 0)
    coarse = _quantiles(numbers.every, every)
    for op in (">", "<="):
        assert op in (">", "<=")
        counts = numbers.counts(op, coarse)
        scores = counts.scores(view.hot_count)
        best = int(np.argmax(scores))
        if scores[best] <= 0:
            continue
        p_value = min(1.0, counts.p_value(best) * len(coarse))
        if p_value > LEVEL:
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
    return Splits(found, 2)


def _quantiles(numbers: Floats, every: Floats) -> Floats:
    """Of all thresholds, at most CUTS, with about as many numbers between each and the next."""
    if len(every) <= CUTS:
        return every
    at = np.quantile(numbers, np.arange(1, CUTS + 1) / (CUTS + 1), method="lower")
    return np.intersect1d(at, every)
