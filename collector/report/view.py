"""Sessions of a table that fulfil conditions, and of each what was measured while it did. Pure: no I/O."""

from typing import Any

import msgspec
import numpy as np

from collector.report.columns import Bools, Floats, Ints
from collector.report.measured import Measured
from collector.report.model import Condition
from collector.report.statistics import hot_by_chance, rate_of
from collector.report.table import Parts, Table


class View(msgspec.Struct):
    """Sessions that fulfil conditions, and of each what was measured while it did."""

    table: Table
    rows: Ints
    """Of the table; everything else here goes by their order."""
    sessions: Ints
    hot: Ints
    throughout: Bools
    """Which rows are hot here and in every view above."""
    measured: Measured
    at: int
    """The threshold's number."""
    event: str | None = None
    """The event that it is about."""
    left_out: frozenset[str] = frozenset()
    """Events that are not looked at, for something else names them already."""
    _rates: dict[int, float] = msgspec.field(default_factory=dict)
    chosen: Ints | None = None
    """Where a condition was on what events said: the spans, by their number, that fulfil it."""
    told: tuple[Condition, ...] = ()
    """These conditions."""
    gone: Bools | None = None
    """Spans whose samples were taken out."""

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

    def units(self, measured: Measured, at: int, places: Ints) -> Floats:
        """What a test adds up of parts of sessions, [what, part]: that there is something, that it is hot, a number
        with its square by which parts of different length are compared (with the maximum as statistic the chance to be
        hot by the number of samples alone, else the share of samples over the threshold), and that it is hot here and
        above. `places`: of which row each part is.
        """
        if self.table.statistic == "max":
            fair = hot_by_chance(measured.samples, self._rate(at))
        else:
            fair = measured.over[at] / np.maximum(1, measured.samples)
        some = (measured.samples > 0).astype(np.float64)
        hot = some * self.table.is_hot(measured, at)
        return np.stack([some, hot, fair, fair * fair, hot * self.throughout[places]])

    def rows_as_units(self) -> Floats:
        """The same of whole rows."""
        units = self.units(self.measured, self.at, np.arange(len(self.rows)))
        units[0], units[1], units[4] = self.sessions, self.hot, self.hot * self.throughout
        return units

    def with_threshold(self, at: int) -> "View":
        """The same rows with a higher threshold."""
        return self._like(at=at, hot=self.table.is_hot(self.measured, at).astype(np.int64))

    def _rate(self, at: int) -> float:
        if at not in self._rates:
            hot = int(self.table.is_hot(self.measured, at).sum())
            self._rates[at] = rate_of(self.measured.samples, hot) if hot else 0.0
        return self._rates[at]

    def _like(self, **changed: Any) -> "View":
        return msgspec.structs.replace(self, _rates={}, **changed)

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
        if self.gone is not None:
            numbers = numbers[~self.gone[numbers]]
        return numbers, self._local(self.table.spans.at(numbers))

    def parts(self) -> Parts:
        """What was measured during each event of each row: `row` is the view's."""
        if self.chosen is None and (self.gone is None or not self.table.fine.all()):
            return self._local(self.table.parts.at(self._of_view(self.table.parts)))
        _, spans = self.spans()
        events = max(1, len(self.table.events))
        keys, groups = np.unique(spans.row * events + spans.event, return_inverse=True)
        return Parts(keys // events, keys % events, spans.by(groups, len(keys)), spans.columns)

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
            of_event = np.array([event == condition.value for event in self.table.events] or [False])
            left = self._less(parts.at(of_event[parts.event]), np.ones(len(self.rows), np.bool_))
            numbers, _ = self.spans()
            left.gone = self._with_gone(numbers[of_event[self.table.spans.event[numbers]]])
            left.left_out = self.left_out | {str(condition.value)}
            return left
        own = self._fulfilling(condition)
        if condition.dimension not in self.table.spans.columns or self._mostly(own, condition):
            return self._of(~own)
        numbers, spans = self.spans()
        taken = self._saying(condition, numbers)
        left = self._less(spans.at(taken), self.table.fine[self.rows] & ~own)
        left.gone = self._with_gone(numbers[taken])
        left.chosen = _among(numbers[~taken], self.table.spans.row, left)
        return left

    def told_in(self, row: int) -> tuple[Condition, ...]:
        """Of the conditions on what events said those that this session, by its row in the table, does not fulfil by
        its own word.
        """
        row_of = np.array([row])
        own = self.table.columns
        return tuple(condition for condition in self.told if not own.fulfilling_of(condition, row_of).any())

    def said_twice(self, condition: Condition) -> bool:
        """Whether both sessions and events say it."""
        return condition.dimension in self.table.columns and condition.dimension in self.table.spans.columns

    def looked_into(self) -> "View":
        """The rows that have all of their spans."""
        return self._of(self.table.fine[self.rows])

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

    def _mostly(self, own: Bools, condition: Condition) -> bool:
        """Whether the sessions' own word is all that is looked at, though events said some more in others. That is so
        where not all were looked into, and by these the events' part is the smaller one.
        """
        if self.table.fine.all() or not own.any():
            return False
        numbers, spans = self.spans()
        during = spans.at(self._saying(condition, numbers) & ~own[spans.row]).measured.samples.sum()
        samples = self.measured.samples
        return bool(samples[own].sum() * samples[self.table.fine[self.rows]].sum() >= during * samples.sum())

    def _with_gone(self, taken: Ints) -> Bools | None:
        """Spans whose samples are gone when these are, too."""
        spans = self.table.spans
        if spans.same is None:
            return self.gone
        gone = np.zeros(len(spans.row), np.bool_)
        gone[taken] = True
        gone = spans.sharing(gone)
        return gone if self.gone is None else gone | self.gone

    def _of(self, kept: Bools) -> "View":
        view = self._like(
            rows=self.rows[kept],
            sessions=self.sessions[kept],
            hot=self.hot[kept],
            throughout=self.throughout[kept],
            measured=self.measured.at(kept),
        )
        if self.chosen is not None:
            view.chosen = _among(self.chosen, self.table.spans.row, view)
        return view

    def _less(self, parts: Parts, known: Bools) -> "View":
        """The rows of which something is left without these, as far as it is known what was in them."""
        places = parts.row
        left = self.measured.minus(parts.by(places, len(self.rows))) if len(places) else self.measured
        kept = known & (left.samples > 0)
        untouched = np.ones(len(self.rows), np.bool_)
        untouched[places] = False
        hot = np.where(untouched, self.hot, self.table.is_hot(left, self.at)).astype(np.int64)
        return self._like(measured=left, hot=hot, throughout=self.throughout & (hot > 0))._of(kept)

    def _during(self, event: str, at: int) -> "View":
        view = self._like(event=event, at=at)
        if self.chosen is not None:
            numbers, spans = self.spans()
            kept = view._wanted()[spans.event]
            return view._measuring(numbers[kept], spans.at(kept), np.zeros(len(self.rows), np.bool_))
        parts = view.parts()
        return view._with(parts.row, parts.measured)

    def _said(self, condition: Condition) -> "View":
        """A session's own word holds for all of it."""
        own = self._fulfilling(condition)
        if self._mostly(own, condition):
            view = self._of(own)
        else:
            own &= self.table.fine[self.rows]
            numbers, spans = self.spans()
            kept = self._saying(condition, numbers) | own[spans.row]
            view = self._measuring(numbers[kept], spans.at(kept), own)
        view.told = (*self.told, condition)
        return view

    def _measuring(self, numbers: Ints, spans: Parts, whole: Bools) -> "View":
        """The rows that have one of these spans, and what was measured in them; some rows as they are."""
        kept = whole.copy()
        kept[spans.row] = True
        measured = self.measured.where(whole, spans.by(spans.row, len(self.rows)))
        view = self._with(np.flatnonzero(kept), measured.at(kept))
        view.chosen = numbers
        return view

    def _with(self, places: Ints, measured: Measured) -> "View":
        """These rows, with what was measured of them in part."""
        hot = self.table.is_hot(measured, self.at)
        return self._like(
            rows=self.rows[places],
            sessions=np.ones(len(places), np.int64),
            hot=hot.astype(np.int64),
            throughout=self.throughout[places] & hot,
            measured=measured,
        )


def _among(numbers: Ints, row_of: Ints, view: View) -> Ints:
    """Of these spans, those of rows in the view."""
    within = np.zeros(len(view.table.sessions), np.bool_)
    within[view.rows] = True
    return numbers[within[row_of[numbers]]]


def whole(table: Table) -> View:
    """All of it."""
    return View(table, np.arange(len(table.sessions)), table.sessions, table.hot, table.hot > 0, table.measured, 0)
