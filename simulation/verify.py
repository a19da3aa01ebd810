"""Compares the ledger of truth with what `stats` shows, to the byte."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import aiohttp
from msgspec import Struct

from simulation.client import stats_rows
from simulation.ledger import Entry, Saved, Sums, Title

FIELDS = ("cdn", "p2p", "sessions")


class Difference(Struct):
    """A number that is not what it has to be. `unknown`: what may come on top, sent and never acknowledged."""

    customer: str
    content: str
    field: str
    expected: int
    unknown: int
    found: int


class Verdict(Struct):
    """What `verify` found: how many customer and content pairs were compared, and every number that differs."""

    compared: int
    acknowledged: int
    unknown: int
    differences: list[Difference]


async def found_sums(http: aiohttp.ClientSession, url: str, customers: Iterable[str]) -> dict[Title, Sums]:
    """What the database shows for these customers, over all windows. `payloads` stays 0: stats doesn't tell."""
    found: dict[Title, Sums] = {}
    for customer in customers:
        async for row in stats_rows(http, url, customer=customer):
            sums = found.setdefault((row.customer, row.content), Sums())
            sums.cdn += row.cdn
            sums.p2p += row.p2p
            sums.sessions += row.sessions
    return found


def compare(ledger: Saved, found: Mapping[Title, Sums]) -> Verdict:
    """Pure. Each number must be what was there before plus what was acknowledged, and at most the unknown on top."""
    entries = {(entry.customer, entry.content): entry for entry in ledger.entries}
    differences: list[Difference] = []
    titles = sorted(entries.keys() | found.keys())
    for title in titles:
        entry = entries.get(title) or Entry(*title, Sums())
        sums = found.get(title, Sums())
        for field in FIELDS:
            expected = getattr(entry.before, field) + getattr(entry.acknowledged, field)
            unknown = getattr(entry.unknown, field)
            value = getattr(sums, field)
            if not expected <= value <= expected + unknown:
                differences.append(Difference(*title, field, expected, unknown, value))
    return Verdict(
        compared=len(titles),
        acknowledged=sum(entry.acknowledged.payloads for entry in ledger.entries),
        unknown=sum(entry.unknown.payloads for entry in ledger.entries),
        differences=differences,
    )


async def verify(http: aiohttp.ClientSession, url: str, ledger: Saved) -> Verdict:
    """Read `stats` and compare. UnreachableError or ReadError where it cannot be read."""
    return compare(ledger, await found_sums(http, url, ledger.customers))
