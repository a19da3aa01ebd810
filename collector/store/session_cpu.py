"""A session's CPU over time, with its events as bands: what its page shows, however long the session was."""

from datetime import UTC, datetime
from typing import Any

from collector.report.bands import BRACKET, Happened, Lasting, lasting
from collector.report.model import Band, CpuPoint, SessionCpu
from collector.store.pool import Pool, fetch

POINTS = 1_000
"""About as many as a chart has pixels."""
BANDS = 400
EVENTS = 20_000
"""That are looked at: where there are more, the last ones."""

_FIRST, _LAST = datetime(1970, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, tzinfo=UTC)


async def session_cpu(
    pool: Pool,
    session: str,
    since: datetime | None = None,
    until: datetime | None = None,
    *,
    points: int = POINTS,
    bands: int = BANDS,
) -> SessionCpu:
    """What was measured from `since` on and before `until`: no more than so many points, the highest sample of each
    stretch of time, and no more than so many bands, the longest ones. Raises StoreDown.
    """
    parameters: dict[str, Any] = {"session": session, "from": since or _FIRST, "to": until or _LAST}
    first, last, samples, properties, version = (await fetch(pool, "session_span", parameters))[0]
    found = SessionCpu(
        session=session,
        version=version,
        properties=properties,
        since=first,
        to=last,
        samples=samples,
        highest=None,
        points=[],
        bands=[],
        bands_left_out=0,
    )
    if first is None:
        return found
    within = {"session": session, "first": first, "last": last, "points": points}
    rows = await fetch(pool, "session_samples" if samples <= points else "session_points", within)
    found.points = [CpuPoint(time, cpu) for time, cpu in rows]
    found.highest = max(found.points, key=lambda point: point.cpu, default=None)
    # What was in force when the window began may have begun before it.
    reach = {"session": session, "first": first - BRACKET, "last": last, "limit": EVENTS}
    happened = [Happened(*row) for row in await fetch(pool, "session_events", reach)]
    every = [_band(one, last) for one in lasting(happened) if one.until >= first and one.since <= last]
    every.sort(key=lambda band: band.since - band.to)
    found.bands = sorted(every[:bands], key=lambda band: band.since)
    found.bands_left_out = max(0, len(every) - bands)
    return found


def _band(one: Lasting, last: datetime) -> Band:
    """What was not ended is shown up to the session's last message."""
    return Band(one.event, one.since, min(one.until, max(last, one.since)), one.properties)
