"""A session's messages as its page shows them: points of CPU, and events as bands. Pure."""

import math
from collections.abc import Sequence
from datetime import datetime, timedelta

from collector.report.model import Band, CpuPoint, SessionCpu
from collector.store.sessions import SessionRow

MAX_POINTS, MAX_BANDS = 600, 400
"""A chart has about as many pixels; of more, nobody sees which is which."""
UNENDED = timedelta(seconds=60)
"""An event without a phase is in force until the session's next event, and so long at most."""


def timeline(session: str, rows: Sequence[SessionRow]) -> SessionCpu:
    """Messages, oldest first, as points and bands, no more than can be seen."""
    samples = [CpuPoint(row.time, row.cpu) for row in rows if row.cpu is not None]
    bands = sorted(_bands(rows), key=lambda band: band.to - band.since, reverse=True)
    return SessionCpu(
        session=session,
        version=next((row.version for row in reversed(rows) if row.version is not None), None),
        properties=next((row.properties for row in rows if row.properties and row.event is None), None),
        since=rows[0].time if rows else None,
        to=rows[-1].time if rows else None,
        samples=len(samples),
        highest=max(samples, key=lambda point: point.cpu, default=None),
        points=highest(samples, MAX_POINTS),
        bands=sorted(bands[:MAX_BANDS], key=lambda band: band.since),
        bands_left_out=max(0, len(bands) - MAX_BANDS),
    )


def highest(samples: Sequence[CpuPoint], limit: int) -> list[CpuPoint]:
    """The highest sample of each stretch, at its own moment; all of them where there are few."""
    if len(samples) <= limit:
        return list(samples)
    stretch = math.ceil(len(samples) / limit)
    return [
        max(samples[first : first + stretch], key=lambda point: point.cpu) for first in range(0, len(samples), stretch)
    ]


def _bands(rows: Sequence[SessionRow]) -> list[Band]:
    """An end closes the last begin of its name; what is not ended goes on to the last message."""
    found: list[Band] = []
    begun: dict[str, list[tuple[datetime, str | None]]] = {}
    events = [row for row in rows if row.event is not None]
    for place, row in enumerate(events):
        assert row.event is not None
        if row.phase == "begin":
            begun.setdefault(row.event, []).append((row.time, row.properties))
        elif row.phase == "end":
            since, properties = (begun.get(row.event) or [(rows[0].time, None)]).pop()
            found.append(Band(row.event, since, row.time, properties or row.properties))
        else:
            after = events[place + 1].time if place + 1 < len(events) else rows[-1].time
            found.append(Band(row.event, row.time, min(after, row.time + UNENDED), row.properties))
    for event, opened in begun.items():
        found.extend(Band(event, since, rows[-1].time, properties) for since, properties in opened)
    return found
