"""The table `rejected`: lines that could not be accepted, read and taken out."""

from datetime import datetime

import msgspec

from collector.store.pool import Pool, fetch


class Chosen(msgspec.Struct, frozen=True, kw_only=True):
    """Which lines: those that fit all that is given."""

    source: str | None = None
    """How the source begins."""
    reason: str | None = None
    """The first word of the reason."""
    since: datetime | None = None
    until: datetime | None = None
    ids: list[int] | None = None


class RejectedLine(msgspec.Struct, frozen=True):
    """A row of `rejected`; `raw` is the line's bytes, the first 64 KiB of them."""

    id: int
    received_at: datetime
    source: str
    line: int
    reason: str
    raw: bytes
    skew_ms: int | None
    """What a session's times were corrected by, because of the client's clock."""


class Quarantine:
    """Methods raise StoreDown while the database is away."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def newest(self, chosen: Chosen, limit: int) -> list[RejectedLine]:
        """Newest first."""
        rows = await fetch(self._pool, "rejected_newest", {**msgspec.structs.asdict(chosen), "limit": limit})
        return [RejectedLine(*row) for row in rows]

    async def after(self, chosen: Chosen, number: int, limit: int) -> list[RejectedLine]:
        """In the order in which they were put aside, those whose `id` is over a number."""
        parameters = {**msgspec.structs.asdict(chosen), "after": number, "limit": limit}
        return [RejectedLine(*row) for row in await fetch(self._pool, "rejected_after", parameters)]

    async def count(self, chosen: Chosen) -> int:
        """How many there are."""
        ((count,),) = await fetch(self._pool, "count_rejected", msgspec.structs.asdict(chosen))
        return int(count)

    async def remove(self, ids: list[int]) -> None:
        """These are stored now."""
        await fetch(self._pool, "remove_rejected", {"ids": ids})
