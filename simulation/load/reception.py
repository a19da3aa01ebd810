"""When the collector received something, by its own clock, as exactly as its answers tell.

It was after the request began and before it was answered. The answers' Date says where the collector's clock stands
beside ours: each narrows the difference from both sides, so that after some answers it is known to a second or two,
wherever the collector runs.
"""

from __future__ import annotations

import math
from email.utils import parsedate_to_datetime

from msgspec import Struct

DATE_S = 2.0  # a Date is cut to the second, and may be a second old: servers make it once a second


class Reception(Struct, frozen=True):
    """Between these moments, epoch milliseconds by the collector's clock; without an end where that is not known.
    `way_ms`: how long a request's first line, which tells the time, was on its way at most.
    """

    earliest_ms: float = -math.inf
    latest_ms: float = math.inf
    way_ms: int = 0


ANY_TIME = Reception()


class ServerClock:
    """By how much the collector's clock is ahead of ours, which is monotonic: from `low_s` to `high_s`."""

    def __init__(self) -> None:
        self.low_s, self.high_s = -math.inf, math.inf
        self._text, self._date_s = "", 0.0
        self._steps = False

    def observe(self, date: str | None, asked_s: float, answered_s: float) -> None:
        """An answer that began at `answered_s` has this Date, to a request that began at `asked_s`."""
        if date is None or self._steps:
            return
        if date != self._text:
            try:
                self._text, self._date_s = date, parsedate_to_datetime(date).timestamp()
            except ValueError:
                return
        self.low_s = max(self.low_s, self._date_s - answered_s)
        self.high_s = min(self.high_s, self._date_s + DATE_S - asked_s)
        if self.low_s > self.high_s:  # a clock that is set anew meanwhile tells nothing
            self.low_s, self.high_s, self._steps = -math.inf, math.inf, True

    def reception(self, sent_s: float, answered_s: float = math.inf) -> Reception:
        """Of what was sent and answered at these moments of our clock."""
        return Reception((sent_s + self.low_s) * 1000, (answered_s + self.high_s) * 1000)
