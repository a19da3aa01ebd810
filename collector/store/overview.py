"""What the built-in page reads of `stats`: sums of a range in several cuts, few rows however many there are."""

from datetime import datetime, timedelta

import msgspec

from collector.store.pool import Pool, fetch

TOP = 10
"""Customers and contents that are listed by name: as many as one looks at."""
PARTS = 5
"""Parts of a stack that have a colour of their own: as many as can be told apart, also by who sees fewer colours."""


class OverviewQuery(msgspec.Struct, frozen=True):
    """Which windows, as GET /stats has them: those that end after `since` and not after `until`; added up by `step`."""

    since: datetime
    until: datetime
    step: timedelta
    customer: str | None = None
    content: str | None = None


class Sums(msgspec.Struct, frozen=True):
    """What windows come to; `windows` is how many rows of `stats` they are. Integers, for they can pass 64 bits."""

    cdn: int = 0
    p2p: int = 0
    sessions: int = 0
    windows: int = 0

    @property
    def bytes(self) -> int:
        """By either way."""
        return self.cdn + self.p2p

    @property
    def p2p_share(self) -> float | None:
        """The part that came from peers; None where nothing came."""
        return self.p2p / self.bytes if self.bytes else None

    def __add__(self, other: "Sums") -> "Sums":
        return Sums(
            self.cdn + other.cdn, self.p2p + other.p2p, self.sessions + other.sessions, self.windows + other.windows
        )


class Named(msgspec.Struct, frozen=True):
    """A customer or a content with its sums; all others together where `customer` is None, and how many that are."""

    customer: str | None
    content: str | None
    sums: Sums
    names: int = 1


class Part(msgspec.Struct, frozen=True):
    """A part of the sessions: a customer, or a content, or (None) all others, by the begin of each step."""

    name: str | None
    at: dict[datetime, Sums]


class Overview(msgspec.Struct, frozen=True):
    """A range: by the begin of each step that has something, and the customers, contents and parts with the most."""

    at: dict[datetime, Sums]
    customers: list[Named]
    contents: list[Named]
    parts: list[Part]

    @property
    def total(self) -> Sums:
        """Of the whole range."""
        return sum(self.at.values(), Sums())


async def read(pool: Pool, query: OverviewQuery) -> Overview:
    """Raises StoreDown."""
    parameters = {
        "from": query.since,
        "to": query.until,
        "step": query.step,
        "customer": query.customer,
        "content": query.content,
        "by_content": query.customer is not None,
        "top": TOP,
        "parts": PARTS,
    }
    found = Overview({}, [], [], [])
    parts: dict[str | None, Part] = {}
    for cut, at, customer, content, cdn, p2p, sessions, windows, names, _ in await fetch(pool, "overview", parameters):
        sums = Sums(int(cdn), int(p2p), sessions, windows)
        if cut == "time":
            found.at[at] = sums
        elif cut == "part":
            parts.setdefault(customer, Part(customer, {})).at[at] = sums
        else:
            (found.customers if cut == "customer" else found.contents).append(Named(customer, content, sums, names))
    found.parts.extend(parts.values())
    return found


async def anything_stored(pool: Pool) -> bool:
    """Whether anything was ever stored. Raises StoreDown."""
    ((stored,),) = await fetch(pool, "anything_stored", {})
    return bool(stored)


async def computed_until(pool: Pool) -> datetime | None:
    """Up to when `stats` is computed ahead; None where nothing is, as always without TimescaleDB. Raises StoreDown."""
    ((engine,),) = await fetch(pool, "schema_engine", {})
    if engine != "timescaledb":
        return None
    rows = await fetch(pool, "stats_computed_until", {})
    until: datetime | None = rows[0][0] if rows else None
    return until
