"""What the report asks the database for, and what it gets. Pure: no I/O."""

from datetime import datetime
from typing import Any

import msgspec

from collector.report.model import Condition


class Window(msgspec.Struct, frozen=True):
    """From a bucket's begin to another's, and three thresholds, ascending; infinity where there are fewer."""

    since: datetime
    until: datetime
    over: tuple[float, float, float]

    def parameters(self) -> dict[str, Any]:
        """Of the queries."""
        over_1, over_2, over_3 = self.over
        return {"from": self.since, "to": self.until, "over_1": over_1, "over_2": over_2, "over_3": over_3}


class PartColumns(msgspec.Struct):
    """What was measured of sessions by event and layer, a list a column; `over` by threshold."""

    session: list[int]
    event: list[int]
    layer: list[int]
    samples: list[int]
    total: list[float]
    highest: list[float]
    pieces: list[int]
    over: list[list[int]]


class Measurements(msgspec.Struct):
    """What a window has: parts; names of events; by session its version and its properties, JSON; and of some sessions
    (None: all) their parts by what the events said: session, event, properties, together (`session_cpu`), samples,
    total, highest, over.
    """

    parts: PartColumns
    events: dict[int, str]
    facts: dict[int, tuple[str | None, str]]
    looked_into: list[int] | None
    spans: list[tuple[Any, ...]]


class InsideColumns(msgspec.Struct):
    """What was measured of sessions while conditions were fulfilled, a list a column; `over` by threshold."""

    session: list[int]
    samples: list[int]
    total: list[float]
    highest: list[float]
    over: list[list[int]]


class Sought(msgspec.Struct, frozen=True):
    """A session by its number, and its highest sample, all while an event was in force: this one, by its number and its
    name, or any (None) that said what fulfils the conditions. Without either of these, ever in the window.
    """

    session: int
    cpu: float
    event: int | None
    name: str | None
    told: tuple[Condition, ...]


class Known(msgspec.Struct, frozen=True):
    """What the database says of such a session."""

    session: str
    at: datetime
    """The moment of the highest sample."""
