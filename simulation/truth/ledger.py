"""The truth about stats payloads: what the collector has acknowledged, by customer and content.

A payload with `sessionDuration` under 300 000 ms starts a session if its token was never seen in such a payload; each
token counts once, ever (the contract, "Tables and views"). What was sent and never acknowledged is `unknown`: it may be
stored or not, and widens what `simulation.truth.verify` takes as agreement, by exactly its size.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import msgspec
from msgspec import Struct, field

from simulation.traffic.payloads import StatsPayload

START_LIMIT_MS = 300_000  # from the contract: a session starts in a payload with sessionDuration under this

Title = tuple[str, str]  # customer, content


class Sums(Struct):
    """What is known about a customer's content. Bytes for `cdn` and `p2p`, counts for the others."""

    cdn: int = 0
    p2p: int = 0
    payloads: int = 0
    sessions: int = 0

    def add(self, payload: StatsPayload) -> None:
        """Add a payload; sessions are counted apart."""
        self.cdn += payload.cdn
        self.p2p += payload.p2p
        self.payloads += 1


class Entry(Struct):
    """A line of the saved ledger. `before`: what the database showed when the run began."""

    customer: str
    content: str
    acknowledged: Sums
    unknown: Sums = field(default_factory=Sums)
    before: Sums = field(default_factory=Sums)


class Saved(Struct, tag_field="kind", tag="stats"):
    """The ledger as it is kept. `customers` may show no other content than the entries'."""

    run: str
    customers: list[str]
    entries: list[Entry]
    format: Literal[1] = 1


class Queued(Saved, tag="payloads"):
    """The same where all or a part was acknowledged by the queue, and shows in `stats` only after a while."""


class Ledger:
    """Books every payload under its outcome. Not thread-safe; one event loop writes it."""

    def __init__(self, run: str, customers: Iterable[str], *, queued: bool = False) -> None:
        self.run = run
        self.queued = queued
        self.customers = sorted(customers)
        self.acknowledged: dict[Title, Sums] = {}
        self.unknown: dict[Title, Sums] = {}
        self.before: dict[Title, Sums] = {}
        self._started: set[str] = set()
        self._perhaps_started: dict[str, Title] = {}

    def acknowledge(self, payload: StatsPayload) -> None:
        """The collector has said that the payload is stored."""
        title = (payload.customer, payload.content)
        sums = self.acknowledged.get(title)
        if sums is None:
            sums = self.acknowledged[title] = Sums()
        sums.add(payload)
        if payload.session_duration < START_LIMIT_MS and payload.token not in self._started:
            self._started.add(payload.token)
            sums.sessions += 1

    def lose(self, payload: StatsPayload) -> None:
        """The payload was sent, and whether it is stored will not be known."""
        title = (payload.customer, payload.content)
        self.unknown.setdefault(title, Sums()).add(payload)
        if payload.session_duration < START_LIMIT_MS:
            self._perhaps_started.setdefault(payload.token, title)

    def entries(self) -> list[Entry]:
        """One entry a customer and content, sorted. A lost payload may have started the session of its token only where
        no acknowledged one has."""
        unknown = {title: msgspec.structs.replace(sums, sessions=0) for title, sums in self.unknown.items()}
        for token, title in self._perhaps_started.items():
            if token not in self._started:
                unknown[title].sessions += 1
        titles = sorted(self.acknowledged.keys() | unknown.keys() | self.before.keys())
        return [
            Entry(
                customer=customer,
                content=content,
                acknowledged=msgspec.structs.replace(self.acknowledged.get((customer, content), Sums())),
                unknown=unknown.get((customer, content), Sums()),
                before=self.before.get((customer, content), Sums()),
            )
            for customer, content in titles
        ]

    def saved(self) -> Saved:
        """The ledger as it stands, for a file or for `verify`."""
        return (Queued if self.queued else Saved)(run=self.run, customers=self.customers, entries=self.entries())
