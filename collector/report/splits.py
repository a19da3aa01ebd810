"""Every condition that a view can be narrowed by, tested. Pure: no I/O.

What a session says of itself is inside or outside as a whole. An event, and what an event says, is a part of a session,
so that one session may be on both sides: inside is what was measured while it held, outside the rest of the session,
and sessions without it. What both say is tested by the word of each, so that neither can hide what the other tells. Of
a number the threshold is taken that explains most (`numbers`).
"""

from collections.abc import Iterator

import numpy as np

from collector.report.columns import Bools, Ints
from collector.report.counts import HOT, LEVEL, Counts, Split, Splits, by_group
from collector.report.model import Condition, Scalar
from collector.report.numbers import OfParts, OfSessions, best_thresholds
from collector.report.statistics import smallest_p
from collector.report.table import UNNAMED, Parts
from collector.report.view import View

LEAST_SUPPORT = 0.01
"""Of the hot sessions: what has less is tested, and not looked at. So names of thousands of values cost little."""

_MANY = 2**31  # more sessions than there ever are


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
        yield from _of_events(view)
    said = view.table.spans.columns
    units = view.rows_as_units()
    for dimension, names in view.table.columns.names.items():
        if dimension not in used:
            codes = names.codes[view.rows]
            inside = by_group(codes[codes >= 0], units[:, codes >= 0], len(names.values))
            counts = Counts(inside, units.sum(axis=1)[:, None] - inside, within=False)
            yield _tested(view, dimension, names.values, counts)
    for dimension, numbers in view.table.columns.numbers.items():
        if dimension not in used:
            yield best_thresholds(view, dimension, OfSessions(numbers[view.rows], units))
    if not (said.names.keys() | said.numbers.keys()) - used:
        return
    chosen, spans = view.spans()
    known = view.table.fine[view.rows]
    for dimension, names in said.names.items():
        if dimension not in used:
            codes = names.codes[chosen]
            told = codes >= 0
            counts = _of_parts(view, codes[told], spans.at(told), len(names.values), known)
            yield _tested(view, dimension, names.values, counts)
    for dimension, numbers in said.numbers.items():
        if dimension not in used:
            yield best_thresholds(view, dimension, OfParts(view, numbers[chosen], spans, known))


# Names


def _tested(view: View, dimension: str, values: list[Scalar], counts: Counts) -> Splits:
    """Those that could be significant, whichever sessions were hot, are tested; those that have next to none of the hot
    sessions are not listed.
    """
    outside, outside_hot, test_sessions = counts.beside
    total = int((counts.hot + outside_hot).max(initial=0))
    some = np.flatnonzero((counts.sessions > 0) & (outside > 0))
    if not len(some):
        return Splits([], 0)
    # Of thousands of values most have as many sessions as others: each size is asked about once.
    sizes, size = np.unique(counts.sessions[some] * _MANY + test_sessions[some], return_inverse=True)
    inside, beside = sizes // _MANY, sizes % _MANY
    by_size = [
        smallest_p(*each, total) <= LEVEL for each in zip(inside.tolist(), (inside + beside).tolist(), strict=True)
    ]
    testable = np.array(by_size)[size]
    found = []
    hot = counts.hot[some]
    for at in np.flatnonzero((hot > 0) & (hot >= LEAST_SUPPORT * total)).tolist():
        number = int(some[at])
        split = counts.split(view, number, Condition(dimension, "=", values[number]))
        if testable[at]:
            counts.test(split, view, number)
        found.append(split)
    return Splits(found, int(testable.sum()))


def _of_parts(view: View, codes: Ints, parts: Parts, count: int, known: Bools) -> Counts:
    """Of parts by code and row: inside is what was measured in parts with the code, outside the rest of the row, and
    rows that are `known` and have no such part.
    """
    keys, groups = np.unique(codes * len(view.rows) + parts.row, return_inverse=True)
    inside = parts.by(groups, len(keys))
    code, place = keys // len(view.rows), keys % len(view.rows)
    rows = view.rows_as_units()
    rest = view.units(view.measured.at(place).minus(inside), view.at, place)
    outside = rows[:, known].sum(axis=1)[:, None] + by_group(code, rest - rows[:, place], count)
    return Counts(by_group(code, view.units(inside, view.at, place), count), outside, within=True)


# Events


def _of_events(view: View) -> Iterator[Splits]:
    """Each event at each threshold. As outside are shown the other events, each session with each of them; where there
    are none at all, the time without an event.
    """
    parts = view.parts()
    events: list[Scalar] = list(view.table.events)
    if not len(parts.row):
        return
    per_row = np.bincount(parts.row, minlength=len(view.rows))
    alone = np.bincount(parts.event[per_row[parts.row] == 1], minlength=len(events))
    test_sessions = np.count_nonzero(per_row) - alone
    named = np.array([event not in UNNAMED for event in events])
    everything = np.ones(len(view.rows), np.bool_)
    for at in range(view.at, len(view.table.thresholds)):
        higher = view if at == view.at else view.with_threshold(at)
        counts = _of_parts(higher, parts.event, parts, len(events), everything)
        shown = None
        if np.count_nonzero(counts.sessions) > 1:
            sessions, hot = counts.sessions, counts.hot
            shown = sessions.sum() - sessions, hot.sum() - hot, test_sessions
        # What has no name of its own is only outside of others.
        counts.inside[HOT] *= named
        yield _tested(higher, "event", events, Counts(counts.inside, counts.outside, within=True, shown=shown))
