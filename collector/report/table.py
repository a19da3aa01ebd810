"""The table that the drill-down works on: sessions with what is known of each, and views of some of them. Pure: no I/O.

Three levels: a session with its attributes; its parts, what was measured while each event was in force; and its spans,
the same apart by what the events said (`properties`). What was measured adds up: samples, their sum, and how many were
over each threshold; whether some of it together is hot follows from sums (`is_hot`). A row may also stand for many
sessions which are alike, some of them hot; such a row has no parts. Where there would be too many, only some sessions
have spans.
"""

from typing import Any

import msgspec
import numpy as np

from collector.report.columns import Bools, Columns, Floats, Ints
from collector.report.model import Condition, Statistic
from collector.report.statistics import chances

NO_EVENT, OTHER_EVENTS = "", "(others)"
UNNAMED = frozenset({NO_EVENT, OTHER_EVENTS})
"""Events that are none, and those past the ones that are told apart."""


class Measured(msgspec.Struct):
    """Samples of each row, added up."""

    samples: Ints
    total: Floats
    """The sum of their CPU."""
    over: Ints
    """How many were over each threshold of the table: [threshold, row]."""
    highest: Floats | None = None
    """The highest; None where nobody asks."""

    def __len__(self) -> int:
        return len(self.samples)

    def at(self, rows: Ints | Bools) -> "Measured":
        """Of these rows."""
        highest = None if self.highest is None else self.highest[rows]
        return Measured(self.samples[rows], self.total[rows], self.over[:, rows], highest)

    def by(self, groups: Ints, count: int) -> "Measured":
        """Added up by group, 0 to `count` - 1."""
        highest = None
        if self.highest is not None:
            highest = np.zeros(count)
            np.maximum.at(highest, groups, self.highest)
        return Measured(
            added(groups, self.samples, count),
            summed(groups, self.total, count),
            np.stack([added(groups, over, count) for over in self.over]),
            highest,
        )

    def minus(self, other: "Measured") -> "Measured":
        """What is left of each row without the other's."""
        return Measured(
            np.maximum(0, self.samples - other.samples),
            self.total - other.total,
            np.maximum(0, self.over - other.over),
            self.highest,
        )


def summed(groups: Ints, numbers: Ints | Floats, count: int) -> Floats:
    """Sums by group."""
    return np.bincount(groups, numbers, count).astype(np.float64)


def added(groups: Ints, numbers: Ints | Bools, count: int) -> Ints:
    """Sums of whole numbers by group."""
    return np.bincount(groups, numbers, count).astype(np.int64)


def nothing(rows: int, thresholds: int = 1) -> Measured:
    """Of rows that nothing was measured of."""
    return Measured(np.zeros(rows, np.int64), np.zeros(rows), np.zeros((thresholds, rows), np.int64), np.zeros(rows))


class Parts(msgspec.Struct):
    """What was measured in parts of sessions: of which, during which event (by its code), and what was said then."""

    row: Ints
    event: Ints
    measured: Measured
    columns: Columns

    def at(self, chosen: Ints) -> "Parts":
        """These, without their columns: those are asked by number."""
        return Parts(self.row[chosen], self.event[chosen], self.measured.at(chosen), self.columns)


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


class View(msgspec.Struct):
    """Sessions that fulfil conditions, and of each what was measured while it did."""

    table: Table
    rows: Ints
    """Of the table; everything else here goes by their order."""
    sessions: Ints
    hot: Ints
    measured: Measured
    at: int
    """The threshold's number."""
    event: str | None = None
    """The event that it is about."""
    left_out: frozenset[str] = frozenset()
    """Events that are not looked at, for something else names them already."""
    _chances: Floats | None = None
    chosen: Ints | None = None
    """Where a condition was on what events said: the spans, by their number, that fulfil it."""

    @property
    def count(self) -> int:
        """Sessions."""
        return int(self.sessions.sum())

    @property
    def hot_count(self) -> int:
        """Sessions that are hot."""
        return int(self.hot.sum())

    @property
    def threshold(self) -> float:
        """Over which a session is hot here."""
        return self.table.thresholds[self.at]

    def chances(self) -> Floats | None:
        """Of each row, the probability to be hot by its number of samples alone; None where that is not known, or the
        statistic does not grow with it.
        """
        if self._chances is None and self.table.statistic == "max" and self.measured.samples.any():
            self._chances = chances(self.measured.samples, self.hot_count)
        return self._chances

    def _like(self, **changed: Any) -> "View":
        return msgspec.structs.replace(self, _chances=None, **changed)

    def places(self) -> Ints:
        """Where each row of the table is in the view, -1 where it is not."""
        places = np.full(len(self.table.sessions), -1, np.int64)
        places[self.rows] = np.arange(len(self.rows))
        return places

    def spans(self) -> tuple[Ints, Parts]:
        """The numbers of its spans, and these, whose `row` is the view's."""
        numbers = self.chosen if self.chosen is not None else self._of_view(self.table.spans)
        if self.chosen is not None:
            numbers = numbers[self._wanted()[self.table.spans.event[numbers]]]
        return numbers, self._local(self.table.spans.at(numbers))

    def parts(self) -> Parts:
        """What was measured during each event of each row: `row` is the view's."""
        if self.chosen is None:
            return self._local(self.table.parts.at(self._of_view(self.table.parts)))
        _, spans = self.spans()
        events = max(1, len(self.table.events))
        keys, groups = np.unique(spans.row * events + spans.event, return_inverse=True)
        return Parts(keys // events, keys % events, spans.measured.by(groups, len(keys)), spans.columns)

    def _of_view(self, parts: Parts) -> Ints:
        """The numbers of those in the view."""
        within = np.zeros(len(self.table.sessions), np.bool_)
        within[self.rows] = True
        wanted = within[parts.row] & self._wanted()[parts.event]
        return np.flatnonzero(wanted)

    def _wanted(self) -> Bools:
        """By code: events that are looked at."""
        wanted = [event not in self.left_out and self.event in (None, event) for event in self.table.events]
        return np.array(wanted or [False], np.bool_)

    def _local(self, parts: Parts) -> Parts:
        parts.row = self.places()[parts.row]
        return parts

    def narrow(self, condition: Condition, at: int | None = None) -> "View":
        """Those that fulfil this too; of an event, at a threshold of its own."""
        at = self.at if at is None else at
        if condition.dimension == "event":
            return self._during(str(condition.value), at)
        if condition.dimension in self.table.spans.columns:
            return self._said(condition)
        return self._of(self._fulfilling(condition))

    def without(self, condition: Condition) -> "View":
        """What is left when these are taken out: sessions, or what was measured in them meanwhile."""
        if condition.dimension == "event":
            parts = self.parts()
            during = np.array([event == condition.value for event in self.table.events])[parts.event]
            left = self._less(parts.row[during], parts.measured.at(during), np.ones(len(self.rows), np.bool_))
            left.left_out = self.left_out | {str(condition.value)}
            return left
        if condition.dimension in self.table.spans.columns:
            numbers, spans = self.spans()
            taken = self._saying(condition, numbers)
            left = self._less(spans.row[taken], spans.measured.at(taken), self.table.fine[self.rows])
            left.chosen = _among(numbers[~taken], self.table.spans.row, left)
            return left
        return self._of(~self._fulfilling(condition))

    def _fulfilling(self, condition: Condition) -> Bools:
        every = self.table.columns.fulfilling(
            condition.dimension, condition.op, condition.value, len(self.table.sessions)
        )
        return every[self.rows]

    def _saying(self, condition: Condition, numbers: Ints) -> Bools:
        every = self.table.spans.columns.fulfilling(
            condition.dimension, condition.op, condition.value, len(self.table.spans.row)
        )
        return every[numbers]

    def _of(self, kept: Bools) -> "View":
        view = self._like(
            rows=self.rows[kept],
            sessions=self.sessions[kept],
            hot=self.hot[kept],
            measured=self.measured.at(kept),
        )
        if self.chosen is not None:
            view.chosen = _among(self.chosen, self.table.spans.row, view)
        return view

    def _less(self, places: Ints, measured: Measured, known: Bools) -> "View":
        """The rows of which something is left without this, as far as it is known what was in them."""
        left = self.measured.minus(measured.by(places, len(self.rows))) if len(places) else self.measured
        kept = known & (left.samples > 0)
        untouched = np.ones(len(self.rows), np.bool_)
        untouched[places] = False
        hot = np.where(untouched, self.hot, self.table.is_hot(left, self.at))
        return self._like(measured=left, hot=hot.astype(np.int64))._of(kept)

    def _during(self, event: str, at: int) -> "View":
        view = self._like(event=event, at=at)
        if self.chosen is not None:
            numbers, spans = self.spans()
            kept = view._wanted()[spans.event]
            return view._measuring(numbers[kept], spans.row[kept], spans.measured.at(kept))
        parts = view.parts()
        return view._with(parts.row, parts.measured)

    def _said(self, condition: Condition) -> "View":
        numbers, spans = self.spans()
        kept = self._saying(condition, numbers)
        return self._measuring(numbers[kept], spans.row[kept], spans.measured.at(kept))

    def _measuring(self, numbers: Ints, places: Ints, measured: Measured) -> "View":
        """The rows that have one of these spans, and what was measured in them."""
        rows, groups = np.unique(places, return_inverse=True)
        view = self._with(rows, measured.by(groups, len(rows)) if len(rows) else measured)
        view.chosen = numbers
        return view

    def _with(self, places: Ints, measured: Measured) -> "View":
        """These rows, with what was measured of them in part."""
        return self._like(
            rows=self.rows[places],
            sessions=np.ones(len(places), np.int64),
            hot=self.table.is_hot(measured, self.at).astype(np.int64),
            measured=measured,
        )


def _among(numbers: Ints, row_of: Ints, view: View) -> Ints:
    """Of these spans, those of rows in the view."""
    within = np.zeros(len(view.table.sessions), np.bool_)
    within[view.rows] = True
    return numbers[within[row_of[numbers]]]


def whole(table: Table) -> View:
    """All of it."""
    return View(table, np.arange(len(table.sessions)), table.sessions, table.hot, table.measured, 0)


def shares_of_time(inside: Measured, around: Measured, at: int) -> tuple[float, float]:
    """Which share of the samples over the threshold, and of all samples, is inside."""
    over, samples = int(around.over[at].sum()), int(around.samples.sum())
    hot = int(inside.over[at].sum()) / over if over else 0.0
    return hot, (int(inside.samples.sum()) / samples if samples else 0.0)
