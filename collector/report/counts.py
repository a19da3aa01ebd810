"""Conditions with their counts inside and outside, and how surely these differ. Pure: no I/O.

Whichever side is longer has more chances of a high sample, so a condition has to pass two tests: of the counts, as they
are shown, and of the counts beside what the lengths let expect (`_fair`).
"""

import msgspec
import numpy as np

from collector.report.columns import Floats, Ints
from collector.report.model import Condition
from collector.report.statistics import fisher, higher_on_average, more_than_by_chance, risk_ratio_low
from collector.report.view import View

LEVEL = 0.05
"""Of the test: the share of false nodes among those of a level that is put up with."""

SOME, HOT, FAIR, SQUARE, THROUGHOUT = range(5)
"""Of `View.units`."""


class Split(msgspec.Struct, kw_only=True):
    """A condition, and what it makes of a view. `at` is the number of the threshold."""

    condition: Condition
    at: int
    sessions: int
    hot: int
    covered: int
    """Of the hot ones those that are hot above, too: with a mean, a session can be hot for a while only."""
    outside_sessions: int
    outside_hot: int
    test_sessions: int
    """Outside, each session once, for the test."""
    within: bool = False
    """It takes a part of a session; others may be outside."""
    of_parts: bool = False
    """What is inside are parts of sessions, by this condition or one before it."""
    sampled: bool = False
    """Only sessions that were looked into are counted (`Table.fine`), for it is about what events said."""
    p_value: float = 1.0
    q_value: float = 1.0

    @property
    def low(self) -> float:
        """The lower end of the risk ratio's 95 % interval."""
        counts = self.hot, self.sessions, self.outside_hot, self.outside_sessions, self.test_sessions
        return float(_low(*(np.array([count]) for count in counts))[0])

    def score(self, hot: int) -> float:
        """How much it explains of so many hot sessions (`Counts.scores`)."""
        return float(np.log(max(1.0, self.low))) * self.covered / max(1, hot)

    def test(self) -> None:
        """Set the p-value by the counts alone."""
        outside_hot = round(self.outside_hot / max(1, self.outside_sessions) * self.test_sessions)
        self.p_value = fisher(self.hot, self.sessions, outside_hot, self.test_sessions)


_NONE = np.zeros(0, np.int64)


class Splits(msgspec.Struct):
    """Those that have some of the hot sessions, and how many were tested."""

    found: list[Split]
    tests: int


class Counts(msgspec.Struct):
    """Of many conditions of a kind, each an element: sums of units inside and outside, [what, condition]."""

    inside: Floats
    outside: Floats
    within: bool
    shown: tuple[Ints, Ints, Ints] | None = None
    """Outside as it is shown, where that is not the same: sessions, hot ones, and each session once."""
    sessions: Ints = _NONE
    hot: Ints = _NONE
    covered: Ints = _NONE
    beside: tuple[Ints, Ints, Ints] = (_NONE, _NONE, _NONE)
    """Outside: sessions, hot ones, and each session once."""

    def __post_init__(self) -> None:
        self.sessions, self.hot, self.covered = _whole(self.inside[[SOME, HOT, THROUGHOUT]])
        sessions = _whole(self.outside[SOME])
        self.beside = self.shown or (sessions, _whole(self.outside[HOT]), sessions)

    def scores(self, hot: int) -> Floats:
        """How much each explains of so many hot sessions: the log of the risk ratio's lower bound, times the share of
        the hot sessions that it covers.
        """
        sessions, outside_hot, test_sessions = self.beside
        low = _low(self.hot, self.sessions, outside_hot, sessions, test_sessions)
        return np.log(np.maximum(1.0, low)) * self.covered / max(1, hot)

    def split(self, view: View, at: int, condition: Condition) -> Split:
        """One of them."""
        sessions, outside_hot, test_sessions = (int(counts[at]) for counts in self.beside)
        return Split(
            condition=condition,
            at=view.at,
            sessions=int(self.sessions[at]),
            hot=int(self.hot[at]),
            covered=int(self.covered[at]),
            outside_sessions=sessions,
            outside_hot=outside_hot,
            test_sessions=test_sessions,
            within=self.within,
            of_parts=self.within or view.event is not None or view.chosen is not None,
            sampled=view.chosen is not None or (self.within and condition.dimension != "event"),
        )

    def test(self, split: Split, view: View, at: int) -> None:
        """Set the p-value of one of them: that of the test which it passes less well."""
        split.test()
        split.p_value = max(split.p_value, self._fair(view, at))

    def _fair(self, view: View, at: int) -> float:
        """Beside what the lengths let expect."""
        inside, outside = self.inside[:, at].tolist(), self.outside[:, at].tolist()
        if view.table.statistic == "max":
            if not view.measured.samples.any():
                return 0.0  # sessions that are only counted
            return more_than_by_chance(
                inside[HOT], inside[FAIR], inside[SQUARE], outside[HOT], outside[FAIR], outside[SQUARE]
            )
        if not self.within:
            return 0.0
        return higher_on_average(
            inside[SOME], inside[FAIR], inside[SQUARE], outside[SOME], outside[FAIR], outside[SQUARE]
        )


def _whole(sums: Floats) -> Ints:
    return np.rint(sums).astype(np.int64)


def _low(hot: Ints, sessions: Ints, outside_hot: Ints, outside: Ints, test_sessions: Ints) -> Floats:
    return risk_ratio_low(hot, sessions, outside_hot / np.maximum(1, outside) * test_sessions, test_sessions)


def by_group(groups: Ints, units: Floats, count: int) -> Floats:
    """Sums of units by group."""
    return np.stack([np.bincount(groups, each, count) for each in units])
