"""The truth about stats payloads: what the collector has acknowledged, by customer, content and window of reception.

A payload with `sessionDuration` under 300 000 ms starts a session if its token was never seen in such a payload; each
token counts once, ever, in the window in which that payload was received (the contract, "Tables and views"). Where the
time of reception is known to lie in one window, the payload is booked there; what was under way at a window's end is
booked between two. What was sent and never acknowledged is `unknown`: it may be stored or not.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from simulation.load.reception import Reception
from simulation.traffic.payloads import StatsPayload

START_LIMIT_MS = 300_000  # from the contract: a session starts in a payload with sessionDuration under this
WINDOW_MS = 300_000

Title = tuple[str, str]  # customer, content
Window = int  # by its end, epoch milliseconds
FIRST, LAST = 0, 253_402_300_800_000  # the windows of what may have been received at any time: 1970 and 9999
Between = tuple[Window, Window]  # the first and the last window in which it may have been received


class Sums(Struct):
    """What is known about a customer's content. Bytes for `cdn` and `p2p`, counts for the others."""

    cdn: int = 0
    p2p: int = 0
    payloads: int = 0
    sessions: int = 0

    def add(self, other: Sums) -> None:
        """Add what is known about a part of it."""
        self.cdn += other.cdn
        self.p2p += other.p2p
        self.payloads += other.payloads
        self.sessions += other.sessions

    def add_payload(self, payload: StatsPayload) -> None:
        """Add a payload; sessions are counted apart."""
        self.cdn += payload.cdn
        self.p2p += payload.p2p
        self.payloads += 1


class Part(Struct):
    """What was received in a window from `first` to `last`, by their ends; usually these are one."""

    first: Window
    last: Window
    acknowledged: Sums
    unknown: Sums


class Before(Struct):
    """What a window showed when the run began."""

    window: Window
    sums: Sums


class Entry(Struct):
    """A customer's content in the saved ledger."""

    customer: str
    content: str
    parts: list[Part]
    before: list[Before]


class Saved(Struct, tag_field="kind", tag="stats"):
    """The ledger as it is kept. `customers` may show no other content than the entries'."""

    run: str
    customers: list[str]
    entries: list[Entry]
    format: Literal[2] = 2


class Queued(Saved, tag="payloads"):
    """The same where all or a part was acknowledged by the queue, and shows in `stats` only after a while."""


class _Start(Struct):
    """A token that starts a session, unless no payload of it is stored: in which window at the earliest, and the
    latest.
    """

    title: Title
    first: Window
    last: Window = LAST
    told: bool = False
    late: bool = False  # nothing is known of the latest


def window_of(ms: float) -> Window:
    """The window in which this moment, epoch milliseconds, lies."""
    return int(min(max(ms, 0), LAST - WINDOW_MS) // WINDOW_MS + 1) * WINDOW_MS


def between(received: Reception) -> Between:
    """The first and the last window in which it may have been received."""
    first = FIRST if received.earliest_ms == -math.inf else window_of(received.earliest_ms)
    return first, LAST if received.latest_ms == math.inf else window_of(received.latest_ms)


class Ledger:
    """Books every payload under its outcome. Not thread-safe; one event loop writes it.

    `queued`: payloads go through a queue, in which a later one may be applied first.
    """

    def __init__(self, run: str, customers: Iterable[str], *, queued: bool = False) -> None:
        self.run = run
        self.queued = queued
        self.customers = sorted(customers)
        self.before: dict[Title, dict[Window, Sums]] = {}
        self.payloads = self.size_bytes = 0  # acknowledged
        self._acknowledged: dict[Title, dict[Between, Sums]] = {}
        self._unknown: dict[Title, dict[Between, Sums]] = {}
        self._starts: dict[str, _Start] = {}

    def acknowledge(self, payload: StatsPayload, received: Reception, *, copy: bool = False) -> None:
        """The collector has said that the payload is stored."""
        self.payloads += 1
        self.size_bytes += payload.cdn + payload.p2p
        first, last = between(received)
        _sums(self._acknowledged, payload, (first, last)).add_payload(payload)
        if payload.session_duration >= START_LIMIT_MS:
            return
        start = self._start(payload, first)
        # What started the session was committed before any payload of it was acknowledged; what the queue has taken is
        # applied in any order.
        start.last = (max if self.queued else min)(start.last, last) if start.told else last
        start.told = True

    def lose(self, payload: StatsPayload, received: Reception, *, copy: bool = False) -> None:
        """The payload was sent, and whether it is stored will not be known."""
        first, last = between(received)
        _sums(self._unknown, payload, (first, last)).add_payload(payload)
        if payload.session_duration < START_LIMIT_MS:
            start = self._start(payload, first)
            start.late = self.queued

    def entries(self) -> list[Entry]:
        """One entry a customer and content, sorted."""
        acknowledged, unknown = _copied(self._acknowledged), _copied(self._unknown)
        for start in self._starts.values():
            side = acknowledged if start.told else unknown
            last = LAST if start.late else max(start.first, start.last)
            side[start.title].setdefault((start.first, last), Sums()).sessions += 1
        entries: list[Entry] = []
        for title in sorted(acknowledged.keys() | unknown.keys() | self.before.keys()):
            told, lost = acknowledged.get(title, {}), unknown.get(title, {})
            parts = [Part(*at, told.get(at, Sums()), lost.get(at, Sums())) for at in sorted(told.keys() | lost.keys())]
            before = [Before(window, sums) for window, sums in sorted(self.before.get(title, {}).items())]
            entries.append(Entry(*title, parts, before))
        return entries

    def saved(self) -> Saved:
        """The ledger as it stands, for a file or for `verify`."""
        return (Queued if self.queued else Saved)(run=self.run, customers=self.customers, entries=self.entries())

    def _start(self, payload: StatsPayload, first: Window) -> _Start:
        start = self._starts.get(payload.token)
        if start is None:
            start = self._starts[payload.token] = _Start((payload.customer, payload.content), first)
        start.first = min(start.first, first)
        return start


def _sums(books: dict[Title, dict[Between, Sums]], payload: StatsPayload, at: Between) -> Sums:
    by_window = books.setdefault((payload.customer, payload.content), {})
    sums = by_window.get(at)
    if sums is None:
        sums = by_window[at] = Sums()
    return sums


def _copied(books: dict[Title, dict[Between, Sums]]) -> dict[Title, dict[Between, Sums]]:
    return {title: {at: replace(sums) for at, sums in by_window.items()} for title, by_window in books.items()}
