"""Compares a ledger of truth with what the collector shows: stats by window and to the byte, analytics to the user,
sessions to the message.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from time import monotonic

import aiohttp

from simulation.truth import diaries, hours
from simulation.truth.client import hour_counts, queue_waiting, session_messages, stats_rows
from simulation.truth.diaries import SavedDiaries
from simulation.truth.hours import SavedHours
from simulation.truth.ledger import Queued, Saved, Sums, Title, Window
from simulation.truth.saved import AnySaved, One, parts
from simulation.truth.verdict import Difference, Verdict
from simulation.truth.windows import compare

QUEUE_S = 60.0  # how long the queue may take to be consumed, after its last payload was acknowledged
OTHERS_S = 5.0  # how long a queue may hold something though nothing of ours is missing: it may be of others
LOOK_S = 0.5  # between two looks at it
SAY_AFTER_S = 2.0  # a person who waits longer is told what for


async def found_sums(
    http: aiohttp.ClientSession, url: str, customers: Iterable[str]
) -> dict[Title, dict[Window, Sums]]:
    """What the database shows for these customers, by window. `payloads` stays 0: stats doesn't tell."""
    found: dict[Title, dict[Window, Sums]] = {}
    for customer in customers:
        async for row in stats_rows(http, url, customer=customer):
            windows = found.setdefault((row.customer, row.content), {})
            windows.setdefault(row.window, Sums()).add(Sums(row.cdn, row.p2p, 0, row.sessions))
    return found


async def verify(
    http: aiohttp.ClientSession, url: str, ledger: AnySaved, say: Callable[[str], None] | None = None
) -> list[Verdict]:
    """Read and compare, one verdict a part. UnreachableError or ReadError where it cannot be read.

    What the queue has taken is given time to arrive; `say` is told of it.
    """
    return [await _verify(http, url, part, say or (lambda _: None)) for part in parts(ledger)]


async def _verify(http: aiohttp.ClientSession, url: str, ledger: One, say: Callable[[str], None]) -> Verdict:
    if isinstance(ledger, SavedHours):
        return hours.compare(ledger, {e.hour_ms: await hour_counts(http, url, e.hour_ms) for e in ledger.hours})
    if isinstance(ledger, SavedDiaries):
        differences: list[Difference] = []
        for diary in ledger.sessions:
            found = [message async for message in session_messages(http, url, diary.session)]
            differences += diaries.compare_session(diary, found)
        return diaries.verdict(ledger, differences)
    if isinstance(ledger, Queued):
        return await _consumed(http, url, ledger, say)
    return compare(ledger, await found_sums(http, url, ledger.customers))


async def _consumed(http: aiohttp.ClientSession, url: str, ledger: Saved, say: Callable[[str], None]) -> Verdict:
    """Compare once nothing is missing and the queue is empty, or the time for that has passed.

    Too much of something never goes away. An empty queue counts, because what it applies twice is not missed.
    """
    began_s, said = monotonic(), False
    while True:
        waiting = await queue_waiting(http, url)  # asked first: what is empty now shows in the sums that are read next
        verdict = compare(ledger, await found_sums(http, url, ledger.customers))
        waited_s = monotonic() - began_s
        missing = [item for item in verdict.differences if item.found < item.expected]
        if len(missing) < len(verdict.differences) or not (missing or waiting):
            return verdict
        if waited_s >= (QUEUE_S if missing else OTHERS_S):
            return verdict
        if missing and not said and waited_s >= SAY_AFTER_S:
            said = True
            say(f"waiting up to {QUEUE_S:g} s until the queue is consumed: {len(missing)} sums are not complete yet")
        await asyncio.sleep(LOOK_S)
