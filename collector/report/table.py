"""The table that the drill-down works on: sessions with what is known of each. Pure: no I/O.

Three levels: a session with its attributes; its parts, what was measured while each event was in force; and its spans,
the same apart by what the events said (`properties`). What was measured adds up: samples, their sum, and how many were
over each threshold; whether some of it together is hot follows from sums (`is_hot`). A row may also stand for many
sessions which are alike, some of them hot; such a row has no parts. Where there would be too many, only some sessions
have spans.
"""

import msgspec
import numpy as np

from collector.report.columns import Bools, Columns, Ints
from collector.report.measured import Measured, nothing
from collector.report.model import Statistic

NO_EVENT, OTHER_EVENTS = "", "(others)"
UNNAMED = frozenset({NO_EVENT, OTHER_EVENTS})
"""Events that are none, and those past the ones that are told apart."""


class Parts(msgspec.Struct):
    """What was measured in parts of sessions: of which, during which event (by its code), and what was said then."""

    row: Ints
    event: Ints
    measured: Measured
    columns: Columns
    same: Ints | None = None
    """Parts with the same number are the very same samples, for several events were in force; None: there are none."""

    def at(self, chosen: Ints | Bools) -> "Parts":
        """These, without their columns: those are asked by number."""
        same = None if self.same is None else self.same[chosen]
        return Parts(self.row[chosen], self.event[chosen], self.measured.at(chosen), self.columns, same)

    def by(self, groups: Ints, count: int) -> Measured:
        """What was measured by group, each sample of a group once."""
        if self.same is None or not len(groups):
            return self.measured.by(groups, count)
        _, first = np.unique(groups * (int(self.same.max()) + 1) + self.same, return_index=True)
        return self.measured.at(first).by(groups[first], count)

    def sharing(self, chosen: Bools) -> Bools:
        """Those whose samples are also in one of these."""
        return chosen if self.same is None else np.isin(self.same, self.same[chosen])


class Table(msgspec.Struct, kw_only=True):
    """Sessions, and what hot means. The first threshold is the one that was asked for; higher ones may tell more of
    what happened during an event.
    """

    sessions: Ints
    """For how many each row stands,"""
    hot: Ints
    """and how many of these are hot at the first threshold."""
    columns: Columns
    measured: Measured
    events: list[str] = []
    parts: Parts
    spans: Parts
    fine: Bools
    """Which rows have all of their spans here."""
    statistic: Statistic = "max"
    thresholds: tuple[float, ...] = (0.0,)

    def is_hot(self, measured: Measured, at: int) -> Bools:
        """Whether the statistic is strictly over the threshold, by row. p95 is the least sample which at least 95 % of
        the samples do not exceed.
        """
        over: Ints = measured.over[at]
        hot: Bools = over > 0
        if self.statistic == "mean":
            hot = measured.total > self.thresholds[at] * measured.samples
        elif self.statistic == "p95":
            hot = 20 * over > measured.samples
        return hot


def no_parts(thresholds: int = 1) -> Parts:
    """Where no event was in force."""
    none = np.zeros(0, np.int64)
    return Parts(none, none, nothing(0, thresholds), Columns({}, {}))


def table_of_counts(columns: Columns, sessions: Ints, hot: Ints) -> Table:
    """Sessions that are only counted."""
    return Table(
        sessions=sessions,
        hot=hot,
        columns=columns,
        measured=nothing(len(sessions)),
        parts=no_parts(),
        spans=no_parts(),
        fine=np.ones(len(sessions), np.bool_),
    )
