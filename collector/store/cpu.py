"""session_cpu and its neighbours: brought up to date with session_message, and read for the report.

Whatever stores messages notes their sessions in its own transaction (a trigger does), so a refresh finds all that was
committed before it began. It goes on step by step, some sessions at a time, each step a transaction of its own: a
session's rows from the bucket on that changed first are made again.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Any

from collector.report.bands import BRACKET, Happened
from collector.report.measurements import InsideColumns, Known, Measurements, PartColumns, Sought, Window
from collector.report.model import Condition
from collector.report.moments import first_moment
from collector.report.question import BUCKET
from collector.report.values import text_of
from collector.store.pool import Pool, fetch
from collector.store.queries import QUERIES
from collector.store.transaction import Connection, as_json
from collector.store.translate import translating

STEP_SESSIONS = (64, 4096)
"""Of a step, at least and at most: as many as take about a second."""
STEP_S = 1.0
CONDITIONS = 4
"""On what an event said, that a query takes."""

EVENTS = 20_000
"""That are looked at for the moment of a session's highest sample."""

# Plans for tables that were made a moment ago rest on guesses, and a nested loop over such a guess can take for ever.
_SETTINGS = b"SET LOCAL work_mem = '64MB'; SET LOCAL jit = off; SET LOCAL max_parallel_workers_per_gather = 0"
_UNLIMITED = b"SET LOCAL timescaledb.max_tuples_decompressed_per_dml_transaction = 0"
_REPORT_SETTINGS = b"SET LOCAL work_mem = '64MB'; SET LOCAL jit = off"
_NO_NESTED_LOOPS = b"SET LOCAL enable_nestloop = off"


class Refresh:
    """Brings session_cpu up to date. Methods raise StoreDown while the database is away."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._turn = asyncio.Lock()
        self._sessions = STEP_SESSIONS[0]

    async def catch_up(self, until: float) -> int:
        """Everything that was committed before this was called, until `time.monotonic()` is `until`; returns how many
        sessions are left then.
        """
        async with self._turn:
            await self._take()
            while await self._step():
                if time.monotonic() > until:
                    return int((await fetch(self._pool, "dirty_sessions", {}))[0][0])
        return 0

    async def keep_up(self) -> None:
        """The same without haste: between steps others have their turn, for as long as the last step took."""
        async with self._turn:
            await self._take()
        more = True
        while more:
            async with self._turn:
                began_at = time.monotonic()
                more = await self._step()
            await asyncio.sleep(time.monotonic() - began_at)

    async def _take(self) -> None:
        """Note the sessions that have changed."""
        with translating():
            async with self._pool.connection() as connection, connection.transaction():
                await connection.execute(QUERIES["one_refresh"])
                await connection.execute(QUERIES["take_dirty_sessions"])

    async def _step(self) -> bool:
        """Make the rows of some sessions again; returns whether there were any."""
        began_at = time.monotonic()
        with translating():
            async with self._pool.connection() as connection, connection.transaction():
                count = await self._refresh(connection)
        took_s = time.monotonic() - began_at
        least, most = STEP_SESSIONS
        if count == self._sessions and took_s < STEP_S / 2:
            self._sessions = min(most, self._sessions * 2)
        elif took_s > 2 * STEP_S:
            self._sessions = max(least, self._sessions // 2)
        return count > 0

    async def _refresh(self, connection: Connection) -> int:
        await connection.execute(QUERIES["one_refresh"])
        await connection.execute(_SETTINGS)
        await connection.execute(_UNLIMITED)
        cursor = await connection.execute(QUERIES["choose_dirty_sessions"], {"limit": self._sessions})
        row = await cursor.fetchone()
        assert row is not None
        ids, reads, begins = row
        if not ids:
            return 0
        parameters = {"ids": ids, "reads": reads, "begins": begins}
        await connection.execute(QUERIES["outdate_sessions"], parameters)
        await connection.execute(QUERIES["gather_messages"], parameters)
        await connection.execute(_NO_NESTED_LOOPS)
        await connection.execute(QUERIES["name_events"])
        await connection.execute(QUERIES["refresh_sessions"], parameters)
        return len(ids)


class CpuReader:
    """Reads session_cpu. Methods raise StoreDown while the database is away, or when it takes too long."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def window(self, window: Window, choose: Callable[[PartColumns], list[int] | None]) -> Measurements:
        """All that was measured; `choose` says which sessions are to be looked into."""
        parameters = window.parameters()
        with translating():
            async with self._pool.connection() as connection, connection.transaction():
                await connection.execute(b"SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
                await connection.execute(QUERIES["one_report"])
                await connection.execute(_REPORT_SETTINGS)
                parts = _columns(await _rows(connection, "cpu_parts", parameters))
                looked_into = choose(parts)
                parameters["ids"] = looked_into
                spans = await _rows(connection, "cpu_spans", parameters) if looked_into != [] else []
                parameters["ids"] = list(set(parts.session))
                facts = await _rows(connection, "cpu_facts", parameters)
                events = await _rows(connection, "cpu_events", {"ids": list(set(parts.event))})
        return Measurements(
            parts,
            dict(events),
            {session: (version, properties) for session, version, properties in facts},
            looked_into,
            spans,
        )

    async def inside(
        self, window: Window, event: int | None, conditions: list[tuple[Condition, list[int]]]
    ) -> InsideColumns:
        """What was measured while an event (its number; None: any) was in force that said what fulfils the conditions,
        CONDITIONS of them at most; each also holds in sessions, by their numbers, that say so themselves.
        """
        parameters = {**window.parameters(), "event": event}
        for slot in range(CONDITIONS):
            condition, own = conditions[slot] if slot < len(conditions) else (None, [])
            parameters[f"own_{slot + 1}"] = own
            parameters[f"key_{slot + 1}"] = condition and condition.dimension
            parameters[f"op_{slot + 1}"] = condition and condition.op
            parameters[f"value_{slot + 1}"] = condition and text_of(condition.value)
        with translating():
            async with self._pool.connection() as connection, connection.transaction():
                await connection.execute(QUERIES["one_report"])
                await connection.execute(_REPORT_SETTINGS)
                rows = await _rows(connection, "cpu_inside", parameters)
        session, samples, total, highest, *over = [column or [] for column in rows[0]]
        return InsideColumns(session, samples, total, highest, over)

    async def p95(self, window: Window, sought: list[Sought]) -> dict[int, float]:
        """95th percentiles, by the number with which they are sought."""
        return dict(await self._sought("cpu_p95", window, sought))

    async def moments(self, window: Window, sought: list[Sought]) -> dict[int, Known]:
        """What is known of sessions, by the number with which they are sought."""
        found = {}
        for number, session, moment, times, bucket in await self._sought("cpu_moments", window, sought):
            one = sought[number]
            if times is not None and len(times) > 1 and (one.event is not None or one.told):
                reach = {
                    "session": session,
                    "first": bucket - BRACKET,
                    "last": bucket + BRACKET + BUCKET,
                    "limit": EVENTS,
                }
                happened = [Happened(*row) for row in await fetch(self._pool, "session_events", reach)]
                moment = first_moment(times, happened, one) or moment
            found[number] = Known(session, moment)
        return found

    async def _sought(self, query: str, window: Window, sought: list[Sought]) -> list[tuple[Any, ...]]:
        if not sought:
            return []
        listed = [
            {
                "number": number,
                "session": each.session,
                "event": each.event,
                "cpu": each.cpu,
                "told": [{"key": told.dimension, "op": told.op, "value": text_of(told.value)} for told in each.told],
            }
            for number, each in enumerate(sought)
        ]
        return await fetch(self._pool, query, {**window.parameters(), "sought": as_json(listed)})


async def _rows(connection: Connection, name: str, parameters: dict[str, Any]) -> list[tuple[Any, ...]]:
    cursor = await connection.execute(QUERIES[name], parameters, binary=True)
    return await cursor.fetchall()


def _columns(rows: list[tuple[Any, ...]]) -> PartColumns:
    """The arrays are null where there is nothing."""
    session, event, layer, samples, total, highest, pieces, *over = [column or [] for column in rows[0]]
    return PartColumns(session, event, layer, samples, total, highest, pieces, over)
