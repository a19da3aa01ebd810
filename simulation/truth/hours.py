"""The truth about analytics: by UTC hour the users, clicks and impressions that the collector has acknowledged.

Users are named after the run, and so new to each hour. Clicks and impressions have no such names: what an hour shows
when the run begins is taken off, and nobody else may write to the run's hours meanwhile.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Literal

from msgspec import Struct, field

from simulation.load.reception import Reception
from simulation.traffic.hits import Hit
from simulation.truth.verdict import Difference, Verdict, outside

FIELDS = ("unique_users", "clicks", "impressions")


class Counts(Struct):
    """What an hour shows."""

    unique_users: int = 0
    clicks: int = 0
    impressions: int = 0


class HourEntry(Struct):
    """A line of the saved ledger: an hour by its beginning, epoch milliseconds. `before`: what it showed at first."""

    hour_ms: int
    acknowledged: Counts
    unknown: Counts = field(default_factory=Counts)
    before: Counts = field(default_factory=Counts)


class SavedHours(Struct, tag_field="kind", tag="analytics"):
    """The ledger as it is kept."""

    run: str
    hours: list[HourEntry]
    format: Literal[1] = 1


class _Hour:
    """Hits of an hour under one outcome."""

    def __init__(self) -> None:
        self.users: set[str] = set()
        self.counts = Counts()

    def add(self, hit: Hit) -> None:
        self.users.add(hit.user)
        if hit.kind == "click":
            self.counts.clicks += 1
        else:
            self.counts.impressions += 1


class Hours:
    """Books every hit under its outcome. Not thread-safe; one event loop writes it."""

    def __init__(self, run: str) -> None:
        self.run = run
        self.before: dict[int, Counts] = {}
        self._acknowledged: dict[int, _Hour] = {}
        self._unknown: dict[int, _Hour] = {}

    def acknowledge(self, payload: Hit, received: Reception, *, copy: bool = False) -> None:
        """The collector has said that the hit is stored."""
        _of(self._acknowledged, payload).add(payload)

    def lose(self, payload: Hit, received: Reception, *, copy: bool = False) -> None:
        """The hit was sent, and whether it is stored will not be known."""
        _of(self._unknown, payload).add(payload)

    def entry(self, hour_ms: int) -> HourEntry:
        """What is known about an hour. A lost hit may have made a user visible only where no acknowledged one has."""
        told, lost = self._acknowledged.get(hour_ms, _Hour()), self._unknown.get(hour_ms, _Hour())
        return HourEntry(
            hour_ms,
            Counts(len(told.users), told.counts.clicks, told.counts.impressions),
            Counts(len(lost.users - told.users), lost.counts.clicks, lost.counts.impressions),
            self.before.get(hour_ms, Counts()),
        )

    def saved(self) -> SavedHours:
        """The ledger as it stands. Hours that were only looked at before the run are left out."""
        return SavedHours(self.run, [self.entry(hour) for hour in sorted(self._acknowledged | self._unknown)])


def _of(hours: dict[int, _Hour], hit: Hit) -> _Hour:
    hour = hours.get(hit.hour_ms)
    if hour is None:
        hour = hours[hit.hour_ms] = _Hour()
    return hour


def compare(ledger: SavedHours, found: Mapping[int, Counts]) -> Verdict:
    """Pure. Each number must be what was there before plus what was acknowledged, and at most the unknown on top."""
    differences: list[Difference] = []
    for entry in ledger.hours:
        counts = found.get(entry.hour_ms, Counts())
        for name in FIELDS:
            expected = getattr(entry.before, name) + getattr(entry.acknowledged, name)
            row = (hour_text(entry.hour_ms),)
            differences += outside(row, name, expected, getattr(entry.unknown, name), getattr(counts, name))
    acknowledged, unknown = (
        sum(counts.clicks + counts.impressions for counts in side)
        for side in ([e.acknowledged for e in ledger.hours], [e.unknown for e in ledger.hours])
    )
    agrees = f"analytics agrees with {acknowledged:,} acknowledged hits, {len(ledger.hours)} hours"
    return Verdict("analytics", agrees, ("hour",), len(ledger.hours), acknowledged, unknown, differences)


def hour_text(hour_ms: int) -> str:
    """`2026-01-01 14:00 UTC`."""
    return f"{datetime.fromtimestamp(hour_ms / 1000, UTC):%Y-%m-%d %H:%M} UTC"
