"""Makes reports: brings the sums up to date, reads a window's, drills down, and says what was found.

One report at a time in a process: those who ask the same while they wait share the next one, never one that has begun,
for it may not have what was acknowledged since.
"""

import asyncio
import time
from collections.abc import Callable
from datetime import UTC, datetime

import numpy as np

from collector.errors import Unavailable
from collector.report.build import Seen, report, views_of, worst_by, worst_of
from collector.report.drilldown import Found, drill_down
from collector.report.exact import exact, wanted
from collector.report.loading import looked_into, table_of
from collector.report.measurements import Known, Measurements, Sought, Window
from collector.report.model import Condition, CpuReport
from collector.report.question import Question
from collector.store.cpu import CONDITIONS, CpuReader, Refresh

CATCH_UP_S = 20.0
"""For so long a report waits for the sums, if much has come in; then it is answered 503, and the next one goes on."""
WAITING = 32
"""Different reports that wait for their turn."""
HIGHER = (50.0, 80.0, 100.0, 200.0, 400.0, 800.0)
"""Thresholds over the one that was asked for: what an event takes may show at a higher one only."""
THRESHOLDS = 3


def thresholds_of(threshold: float) -> tuple[float, ...]:
    """The one that was asked for and the next higher ones."""
    return (threshold, *[higher for higher in HIGHER if higher > threshold][: THRESHOLDS - 1])


class Reports:
    """Makes reports. `clock`: epoch seconds."""

    def __init__(self, refresh: Refresh, reader: CpuReader, clock: Callable[[], float]) -> None:
        self._refresh = refresh
        self._reader = reader
        self._clock = clock
        self._turn = asyncio.Lock()
        self._waiting: dict[Question, asyncio.Task[CpuReport]] = {}

    async def cpu(self, question: Question) -> CpuReport:
        """The report. Raises Unavailable, StoreError."""
        task = self._waiting.get(question)
        if task is None:
            if len(self._waiting) >= WAITING:
                raise Unavailable("too many reports are being made", retry_after_s=10)
            task = self._waiting[question] = asyncio.create_task(self._cpu(question))
        return await asyncio.shield(task)

    async def _cpu(self, question: Question) -> CpuReport:
        async with self._turn:
            del self._waiting[question]
            left = await self._refresh.catch_up(time.monotonic() + CATCH_UP_S)
            if left:
                detail = f"much has come in: {left:,} sessions are still to be added up"
                raise Unavailable(detail, retry_after_s=10)
            since, until = question.window(datetime.fromtimestamp(self._clock(), UTC))
            thresholds = thresholds_of(question.threshold)
            window = Window(since, until, _padded(thresholds))
            measured = await self._reader.window(window, looked_into)
            found, ids = await asyncio.to_thread(_drill_down, measured, question, thresholds)
            found = await self._counted(window, found, ids, question, measured.events)
            p95, known = await self._known(window, found, ids, measured.events)
            return report(found, question, since, until, p95, known)

    async def _counted(
        self, window: Window, found: Found, ids: list[int], question: Question, events: dict[int, str]
    ) -> Found:
        """What was found among some sessions, counted in all of them."""
        numbers = {name: number for number, name in events.items()}
        sums = {}
        for path in wanted(found, question.conditions):
            said = [condition for condition in path if condition.dimension != "event"]
            during = [numbers[str(condition.value)] for condition in path if condition.dimension == "event"]
            if len(said) <= CONDITIONS:
                own = [(condition, _saying(found, ids, condition)) for condition in said]
                sums[path] = await self._reader.inside(window, during[0] if during else None, own)
        return exact(found, ids, question.conditions, sums)

    async def _known(
        self, window: Window, found: Found, ids: list[int], events: dict[int, str]
    ) -> tuple[dict[Seen, float], dict[Seen, Known]]:
        """What is to be known of the sessions that are listed: 95th percentiles, where that is the statistic, and the
        moments.
        """
        numbers = {name: number for number, name in events.items()}

        def sought(seen: Seen) -> Sought:
            event = None if seen.event is None else numbers.get(seen.event)
            return Sought(ids[seen.row], seen.highest, event, seen.event, seen.told)

        listed = [worst_of(view) for view in views_of(found)]
        p95: dict[Seen, float] = {}
        if found.view.table.statistic == "p95":
            every = list(dict.fromkeys(seen for each in listed for seen in each))
            of_every = await self._reader.p95(window, [sought(seen) for seen in every])
            p95 = {every[number]: cpu for number, cpu in of_every.items()}
        seen = list(dict.fromkeys(one for each in listed for one, _ in worst_by(each, p95)))
        moments = await self._reader.moments(window, [sought(one) for one in seen])
        return p95, {seen[number]: known for number, known in moments.items()}


def _padded(thresholds: tuple[float, ...]) -> tuple[float, float, float]:
    first, second, third = (*thresholds, *[float("inf")] * (THRESHOLDS - len(thresholds)))
    return first, second, third


def _saying(found: Found, ids: list[int], condition: Condition) -> list[int]:
    """The sessions, by their numbers, that fulfil it by their own word."""
    every = np.arange(len(ids))
    return [ids[row] for row in every[found.view.table.columns.fulfilling_of(condition, every)].tolist()]


def _drill_down(measured: Measurements, question: Question, thresholds: tuple[float, ...]) -> tuple[Found, list[int]]:
    table, ids = table_of(measured, question.statistic, thresholds)
    found = drill_down(table, question.conditions, min_support=question.min_support, depth=question.depth)
    return found, ids
