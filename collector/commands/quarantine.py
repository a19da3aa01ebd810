"""`collector rejected`: looks at lines that could not be accepted, and sends them again the way that they came.

A line that is replayed is decoded as it would be today and has the moment at which it was received. It goes to the
writer with a key of its own, is taken out of the quarantine once it is committed, and stays there if it still cannot be
accepted. So whatever is cut, killed or done twice, no line is stored twice.
"""

import asyncio
import base64
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from collector import metrics
from collector.database.chosen import database_of
from collector.database.retention import KEPT, MARGIN, Kept
from collector.database.upkeep import refresh_old
from collector.endpoints import ENDPOINTS, PAYLOADS, STATS, Endpoint
from collector.errors import BadRequest, CollectorError, Unavailable
from collector.messages.session import LogMessage, Message
from collector.migrate import check
from collector.progress import Digest
from collector.segment import Claim
from collector.service import Service
from collector.settings import Settings
from collector.store.admin import connected
from collector.store.quarantine import Chosen, RejectedLine
from collector.store.reading import Store

PAGE_LINES = 500
"""Replayed at once: what a transaction takes without much ado."""
SHOWN_ERRORS = 20
"""Lines that stay whose reasons are spelled out."""

Advance = Callable[[int], None]
"""Told how many more lines are done."""


class Replayed(msgspec.Struct):
    """What became of the lines."""

    accepted: int = 0
    """Stored, by this replay or one before, and taken out of the quarantine."""
    rejected: int = 0
    """Still not acceptable; they stay."""
    errors: list[dict[str, Any]] = []
    """Why, of the first that stay: `id` and `detail`."""
    refreshed: list[str] = []
    """Aggregates that were computed anew for lines that came long ago."""
    dry_run: bool = False
    """Nothing was stored: `accepted` is what would be."""


def list_rejected(settings: Settings, chosen: Chosen, limit: int) -> list[RejectedLine]:
    """The newest lines that are chosen. Raises CollectorError."""

    async def ask(url: str) -> list[RejectedLine]:
        store = Store(url)
        await store.open()
        try:
            return await store.quarantine.newest(chosen, limit)
        finally:
            await store.close()

    with database_of(settings) as database:
        check(database.url)
        return asyncio.run(ask(database.url))


def as_document(line: RejectedLine) -> dict[str, Any]:
    """The line for programs; bytes that are not UTF-8 come as base64."""
    document = msgspec.structs.asdict(line)
    try:
        document["raw"] = line.raw.decode()
    except UnicodeDecodeError:
        document["raw"] = None
        document["raw_base64"] = base64.b64encode(line.raw).decode()
    return document


def replay(
    settings: Settings, chosen: Chosen, *, dry_run: bool, begin: Callable[[int], Advance], now: float | None = None
) -> Replayed:
    """Send the chosen lines again. `begin` is told how many there are. Raises CollectorError."""
    with database_of(settings) as database:
        check(database.url)
        own = msgspec.structs.replace(settings, consume=False)
        return asyncio.run(_Replay(lambda: Service(own, database.url), chosen, dry_run, now or time.time()).run(begin))


class _Replay:
    def __init__(self, make_service: Callable[[], Service], chosen: Chosen, dry_run: bool, now: float) -> None:
        self._make_service = make_service
        self._chosen = chosen
        self._now_ms = int(now * 1000)
        self._now = datetime.fromtimestamp(now, UTC)
        self._done = Replayed(dry_run=dry_run)
        self._ages: dict[str, timedelta | None] = {}
        self._old: dict[str, tuple[datetime, datetime]] = {}
        """By aggregate: from when to when lines came that no refresh looks for by itself."""

    async def run(self, begin: Callable[[int], Advance]) -> Replayed:
        service = self._make_service()
        with connected(service.url) as admin:
            self._ages = {name: keep for name, keep, *_ in admin.query("kept")}
        await service.start()
        try:
            quarantine = service.store.quarantine
            advance = begin(await quarantine.count(self._chosen))
            number = 0
            while page := await quarantine.after(self._chosen, number, PAGE_LINES):
                number = page[-1].id
                await self._page(service, page)
                advance(len(page))
        finally:
            await service.stop()
        self._refresh(service)
        return self._done

    async def _page(self, service: Service, page: list[RejectedLine]) -> None:
        outcomes = await asyncio.gather(*(self._line(service, line) for line in page), return_exceptions=True)
        stored = []
        failure: BaseException | None = None
        for line, outcome in zip(page, outcomes, strict=True):
            if isinstance(outcome, BadRequest):
                self._done.rejected += 1
                if len(self._done.errors) < SHOWN_ERRORS:
                    self._done.errors.append({"id": line.id, "detail": outcome.detail})
            elif isinstance(outcome, BaseException):
                failure = outcome
            else:
                stored.append(line.id)
        self._done.accepted += len(stored)
        if stored and not self._done.dry_run:
            await service.store.quarantine.remove(stored)
        if isinstance(failure, Unavailable):
            raise CollectorError(f"{failure.detail} (run it again to go on)") from failure
        if failure is not None:
            raise failure

    async def _line(self, service: Service, line: RejectedLine) -> None:
        """Store a line. Raises BadRequest where it still cannot be accepted."""
        endpoint = endpoint_of(line.source)
        received_ms = round(line.received_at.timestamp() * 1000)
        if line.reason.startswith("too_long"):
            raise BadRequest(f"only its first {len(line.raw):,} bytes were kept")
        row = self._decoded(endpoint, service.settings, line, received_ms)
        old = self._too_old_for_refresh(endpoint, line.received_at, row)
        if self._done.dry_run:
            return
        digest = Digest()
        digest.update(line.raw)
        claim = Claim(f"rejected {line.id}", digest.seal(), "replays")
        metrics.of(metrics.RECEIVED, endpoint.path).inc()
        await service.singles[endpoint.path].put_claimed(row, len(line.raw), endpoint, received_ms, claim)
        for kept, moment in old:
            first, last = self._old.get(kept.table, (moment, moment))
            self._old[kept.table] = min(first, moment), max(last, moment)

    def _decoded(self, endpoint: Endpoint, settings: Settings, line: RejectedLine, received_ms: int) -> msgspec.Struct:
        for at_ms in (self._now_ms, received_ms):  # what is too old by now is not taken any more
            reader = endpoint.reader(settings)
            if line.skew_ms:  # as the first line of its request told it
                reader.preamble(b'{"sentAt": %d}' % (at_ms - line.skew_ms), at_ms)
            row = reader.single(line.raw, at_ms)
        if isinstance(row, Message) and not isinstance(row, LogMessage) and row.seq is not None:
            # As a log's, so that it is not stored beside one that has its number.
            row = LogMessage(**msgspec.structs.asdict(row))
        return row

    def _too_old_for_refresh(
        self, endpoint: Endpoint, received_at: datetime, row: msgspec.Struct
    ) -> list[tuple[Kept, datetime]]:
        """The aggregates whose refreshes will not see the row by themselves, and its moment. Raises BadRequest where it
        is so old that none may look for it.
        """
        table = STATS.table if endpoint is PAYLOADS else endpoint.table
        moment = getattr(row, "time", None) or received_at
        found = []
        for kept in KEPT:
            if kept.refresh is not None and kept.refresh.source == table:
                keep = self._ages.get(table)
                if keep is not None and moment < self._now - keep + MARGIN:
                    raise BadRequest(
                        f"came at {moment:%Y-%m-%dT%H:%M:%SZ}: rows of {table} are kept no longer than that"
                    )
                found.append((kept, moment))
        return found

    def _refresh(self, service: Service) -> None:
        """Compute anew what old lines have come into: policies look back for a time only."""
        with connected(service.url) as admin:
            for table, (first, last) in self._old.items():
                if refresh_old(admin, table, first, last, self._now):
                    self._done.refreshed.append(table)


def endpoint_of(source: str) -> Endpoint:
    """Where a line goes, by the source it had. Raises BadRequest."""
    head = source.partition(" ")[0].partition("@")[0]  # of a name that `source_name` made, with an API key or without
    if head in ("kafka", "payload_queue"):  # out of the queue, on its way to where /stats puts rows at once
        return STATS
    for endpoint in ENDPOINTS:
        if endpoint.path == head:
            return endpoint
    raise BadRequest(f"came from {source[:60]!r}, which is no endpoint of this version")
