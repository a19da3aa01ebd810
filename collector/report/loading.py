"""What the database has of a window, as the table that the drill-down works on. Pure: no I/O."""

from typing import TypeGuard

import msgspec
import numpy as np

from collector.report.columns import Bools, Ints, columns_of
from collector.report.measured import Measured
from collector.report.measurements import Measurements, PartColumns
from collector.report.model import Scalar, Statistic
from collector.report.table import NO_EVENT, OTHER_EVENTS, Parts, Table, no_parts
from collector.report.values import is_number

SPANS = 40_000
"""Where there are more, only so many are looked into: those of some sessions, all of each."""
NAME_CHARACTERS = 256
RESERVED = frozenset({"version", "event"})
"""Dimensions that no property can take the name of."""

_SPREAD = 2_654_435_761  # Knuth's multiplicative hash: sessions that came one after the other do not stay together
_decoder = msgspec.json.Decoder(dict[str, object])


def looked_into(parts: PartColumns) -> list[int] | None:
    """Of which sessions the spans are to be read; None: of all."""
    during = np.array(parts.event, np.int64) != 0
    sessions, rows = np.unique(np.array(parts.session, np.int64)[during], return_inverse=True)
    pieces = np.bincount(rows, np.array(parts.pieces)[during], len(sessions)) if len(sessions) else np.zeros(0)
    if pieces.sum() <= SPANS:
        return None
    order = np.argsort((sessions * _SPREAD) % 2**32, kind="stable")
    some = order[np.cumsum(pieces[order]) <= SPANS]
    found: list[int] = sessions[some].tolist()
    return found


def table_of(found: Measurements, statistic: Statistic, thresholds: tuple[float, ...]) -> tuple[Table, list[int]]:
    """The table, and the sessions' numbers by its rows. `thresholds` are the window's that are not infinite."""
    count = len(thresholds)
    parts = found.parts
    sessions, rows = np.unique(np.array(parts.session, np.int64), return_inverse=True)
    measured = Measured(
        np.array(parts.samples, np.int64),
        np.array(parts.total, np.float64),
        np.array(parts.over[:count], np.int64).reshape(count, len(rows)),
        np.array(parts.highest, np.float64),
    )
    event, layer = np.array(parts.event, np.int64), np.array(parts.layer, np.int64)
    events, codes = np.unique(event, return_inverse=True)
    first = layer == 0
    whole = measured.at(first).by(rows[first], len(sessions))
    table = Table(
        sessions=np.ones(len(sessions), np.int64),
        hot=np.zeros(len(sessions), np.int64),
        columns=columns_of([_said(*found.facts.get(session, (None, "{}"))) for session in sessions.tolist()]),
        measured=whole,
        events=[_name(found, number) for number in events.tolist()],
        parts=_parts(rows, codes, measured, (layer < 2) & (event != 0), len(events)) if len(rows) else no_parts(count),
        spans=_spans(found, sessions, events, count),
        fine=_fine(found, sessions),
        statistic=statistic,
        thresholds=thresholds,
    )
    table.hot = table.is_hot(whole, 0).astype(np.int64)
    ids: list[int] = sessions.tolist()
    return table, ids


def _name(found: Measurements, number: int) -> str:
    return found.events.get(number, OTHER_EVENTS) if number else NO_EVENT


def _parts(rows: Ints, codes: Ints, measured: Measured, wanted: Bools, events: int) -> Parts:
    keys, groups = np.unique(rows[wanted] * events + codes[wanted], return_inverse=True)
    together = measured.at(wanted).by(groups, len(keys))
    return Parts(keys // events, keys % events, together, columns_of([]))


def _spans(found: Measurements, sessions: Ints, events: Ints, thresholds: int) -> Parts:
    if not found.spans:
        return no_parts(thresholds)
    session, event, properties, together, samples, total, highest, *over = zip(*found.spans, strict=True)
    # An event that is not told apart in the parts is one of the others here, too.
    numbers = np.array(event, np.int64)
    numbers = np.where(np.isin(numbers, events), numbers, -1)
    texts: dict[str | None, dict[str, Scalar]] = {text: scalars(text) for text in set(properties)}
    return Parts(
        np.searchsorted(sessions, np.array(session, np.int64)),
        np.searchsorted(events, numbers),
        Measured(
            np.array(samples, np.int64),
            np.array(total, np.float64),
            np.array(over[:thresholds], np.int64),
            np.array(highest, np.float64),
        ),
        columns_of([texts[text] for text in properties]),
        _same(session, together),
    )


def _same(session: tuple[int, ...], together: tuple[int | None, ...]) -> Ints | None:
    """A number for each set of samples."""
    known: dict[tuple[int, int], int] = {}
    if not any(number is not None for number in together):
        return None
    return np.array(
        [
            at if number is None else known.setdefault((one, number), at)
            for at, (one, number) in enumerate(zip(session, together, strict=True))
        ],
        np.int64,
    )


def _fine(found: Measurements, sessions: Ints) -> Bools:
    if found.looked_into is None:
        return np.ones(len(sessions), np.bool_)
    return np.isin(sessions, np.array(found.looked_into, np.int64))


def _said(version: str | None, properties: str) -> dict[str, Scalar]:
    said = scalars(properties)
    if version is not None:
        said["version"] = version
    return said


def scalars(properties: str | None) -> dict[str, Scalar]:
    """Names and numbers among properties, JSON; neither what is nested, nor what no number can hold."""
    if properties is None:
        return {}
    try:
        document = _decoder.decode(properties)
    except (msgspec.MsgspecError, RecursionError):
        return {}
    return {
        name: value
        for name, value in document.items()
        if name not in RESERVED and 0 < len(name) <= NAME_CHARACTERS and _is_scalar(value)
    }


def _is_scalar(value: object) -> TypeGuard[Scalar]:
    if isinstance(value, str):
        return len(value) <= NAME_CHARACTERS
    try:
        return isinstance(value, bool) or (isinstance(value, int | float) and is_number(value))
    except OverflowError:
        return False
