"""Whether `stats` shows what the ledger of payloads has, window by window. Pure.

What was received in one window for certain must be there, to the byte. What was under way at a window's end is in one
of two, so that each of them may have it; but all windows together must. What is unknown may come on top of everything.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime

from simulation.truth.ledger import Entry, Saved, Sums, Title, Window
from simulation.truth.verdict import Difference, Verdict, outside

FIELDS = ("cdn", "p2p", "sessions")
COLUMNS = ("window", "customer", "content")
Found = Mapping[Title, Mapping[Window, Sums]]


def compare(ledger: Saved, found: Found) -> Verdict:
    """Each window of each customer and content, and where these say nothing, their sums."""
    entries = {(entry.customer, entry.content): entry for entry in ledger.entries}
    differences: list[Difference] = []
    rows = 0
    for title in sorted(entries.keys() | found.keys()):
        entry, windows = entries.get(title) or Entry(*title, [], []), found.get(title, {})
        before = {each.window: each.sums for each in entry.before}
        certain = {part.first for part in entry.parts if part.first == part.last}
        looked_at = before.keys() | certain | windows.keys()
        rows += len(looked_at)
        wrong: set[str] = set()
        for window in sorted(looked_at):
            start = before.get(window, Sums())
            differences += _of_window(entry, window, start, windows.get(window, Sums()), wrong)
        differences += _of_all(entry, windows.values(), wrong)
    parts = [part for entry in ledger.entries for part in entry.parts]
    acknowledged = sum(part.acknowledged.payloads for part in parts)
    under_way = sum(part.acknowledged.payloads for part in parts if part.first != part.last)
    agrees = f"stats agrees to the byte with {acknowledged:,} acknowledged payloads, {rows} windows by content"
    if under_way:
        agrees += f" ({under_way:,} payloads were under way when a window ended)"
    unknown = sum(part.unknown.payloads for part in parts)
    return Verdict("stats", agrees, COLUMNS, rows, acknowledged, unknown, differences)


def _of_window(entry: Entry, window: Window, before: Sums, found: Sums, wrong: set[str]) -> Iterable[Difference]:
    here = [part for part in entry.parts if part.first <= window <= part.last]
    certain = [part.acknowledged for part in here if part.first == part.last]
    perhaps = [part.acknowledged for part in here if part.first != part.last] + [part.unknown for part in here]
    row = (window_text(window), entry.customer, entry.content)
    for field in FIELDS:
        low = getattr(before, field) + _sum(certain, field)
        for difference in outside(row, field, low, _sum(perhaps, field), getattr(found, field)):
            wrong.add(field)
            yield difference


def _of_all(entry: Entry, found: Iterable[Sums], wrong: set[str]) -> Iterable[Difference]:
    """All windows together, for numbers of which none was wrong by itself."""
    sums = list(found)
    for field in FIELDS:
        if field in wrong:
            continue
        low = _sum([before.sums for before in entry.before], field)
        low += _sum([part.acknowledged for part in entry.parts], field)
        unknown = _sum([part.unknown for part in entry.parts], field)
        yield from outside(("all", entry.customer, entry.content), field, low, unknown, _sum(sums, field))


def _sum(sums: Iterable[Sums], field: str) -> int:
    total: int = sum(getattr(each, field) for each in sums)
    return total


def window_text(window: Window) -> str:
    """`2026-01-01 12:05 UTC`, its end."""
    return f"{datetime.fromtimestamp(window / 1000, UTC):%Y-%m-%d %H:%M} UTC"
