"""What of `stats` a page shows: a range of time and filters, as its URL has them. Pure."""

from datetime import datetime, timedelta
from urllib.parse import urlencode

import msgspec

from collector.web.scales import DAY_S, floor
from collector.web.words import iso

WINDOW_S = 300
MAX_BARS = 120
"""Of a chart: more are narrower than a screen shows."""
MAX_RANGE = timedelta(days=400)
"""More than a year; `stats` is kept for ever, and a page is to stay fast."""
PRESETS = (1, 6, 24, 72, 168, 720)
"""Ranges that are a link, in hours."""
DEFAULT_HOURS = 24
_STEPS_S = (300, 900, 1800, 3600, 7200, 10_800, 21_600, 43_200, DAY_S, 2 * DAY_S, 7 * DAY_S)


class View(msgspec.Struct, frozen=True):
    """A range whose ends are ends of windows, and filters. `hours`: it is that long and ends now, so it moves on."""

    since: datetime
    until: datetime
    hours: int | None = None
    customer: str | None = None
    content: str | None = None

    @property
    def filtered(self) -> bool:
        """Whether it shows a part of what there is."""
        return self.customer is not None or self.content is not None

    @property
    def step(self) -> timedelta:
        """Of a bar: the shortest with which there are not more than MAX_BARS."""
        length_s = (self.until - self.since).total_seconds()
        return timedelta(seconds=next((step for step in _STEPS_S if length_s / step <= MAX_BARS), _STEPS_S[-1]))

    @property
    def steps(self) -> list[datetime]:
        """Where each bar begins; the first and the last may have windows that are not in the range."""
        step = self.step
        first = floor(self.since, int(step.total_seconds()))
        return [first + step * place for place in range(-((first - self.until) // step))]

    def href(self, path: str = "/", **changes: object) -> str:
        """The page with other filters or another range; None takes a parameter away."""
        given = {**self._range(), "customer": self.customer, "content": self.content, **changes}
        return _href(path, given)

    def lately(self, hours: int) -> str:
        """The page with the range of so many hours that ends now."""
        return _href("/", {"hours": _told(hours), "customer": self.customer, "content": self.content})

    def reading(self, path: str, **more: object) -> str:
        """An endpoint with this range, in absolute times, and these filters."""
        given = {"from": iso(self.since), "to": iso(self.until), "customer": self.customer, "content": self.content}
        return _href(path, {**given, **more})

    def _range(self) -> dict[str, object]:
        if self.hours is not None:
            return {"hours": _told(self.hours)}
        return {"from": iso(self.since), "to": iso(self.until)}


def latest(now: datetime, hours: int, customer: str | None = None, content: str | None = None) -> View:
    """The range that ends with the window of this moment."""
    return View(*rounded(now - timedelta(hours=hours), now), hours, customer, content)


def rounded(since: datetime, until: datetime) -> tuple[datetime, datetime]:
    """The range made larger to whole windows."""
    end = floor(until, WINDOW_S)
    return floor(since, WINDOW_S), end if end == until else end + timedelta(seconds=WINDOW_S)


def _told(hours: int) -> int | None:
    """As a parameter; the default goes without saying."""
    return None if hours == DEFAULT_HOURS else hours


def _href(path: str, parameters: dict[str, object]) -> str:
    query = urlencode([(name, str(value)) for name, value in parameters.items() if value is not None])
    return f"{path}?{query}" if query else path
