"""Faults on purpose, of the kinds that devices and networks have: cut connections, repeats with and without keys,
broken lines among good ones, stalls. Only the choices are made here; lanes carry them out, and the books take account
of them.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Coroutine, Mapping
from random import Random
from typing import Any, TypeVar

from simulation.load.retry import Again

T = TypeVar("T")

CUT, REPEAT, UNKEYED, BROKEN, STALL = "cuts", "repeats with a key", "repeats without a key", "broken", "stalls"
OF_SINGLES = {CUT: 0.03, REPEAT: 0.03, UNKEYED: 0.02, BROKEN: 0.02, STALL: 0.005}  # of so many requests
OF_LINES = {BROKEN: 0.01}
OF_CHUNKS = {STALL: 0.01}
OF_STREAMS = {CUT: 0.5, REPEAT: 0.3, UNKEYED: 0.5}
OF_UPLOADS = {CUT: 0.2, REPEAT: 0.2, UNKEYED: 0.2, BROKEN: 0.2}
CUT_S = 0.03  # a single request is cut within this, …
STREAM_S = 10.0  # … and a stream's
STALL_S = (0.3, 2.0)
AGAIN_LINES = 50  # of a stream, at most, that are sent again without a key


class OnPurpose(Again):
    """Cut by ourselves."""


class Chaos:
    """The choices of one lane. What was done is counted in `done`."""

    def __init__(self, random: Random, done: Counter[str]) -> None:
        self.random = random
        self.done = done

    def strikes(self, what: str, odds: Mapping[str, float]) -> bool:
        """Whether it is done now; then it is counted."""
        struck = self.random.random() < odds.get(what, 0.0)
        self.done[what] += struck
        return struck

    async def cut(self, request: Coroutine[Any, Any, T], odds: Mapping[str, float], within_s: float) -> T:
        """The request; at times cut at some moment within that time, unless it is faster. Raises OnPurpose."""
        if self.random.random() >= odds[CUT]:
            return await request
        task = asyncio.ensure_future(request)
        try:
            await asyncio.wait([task], timeout=self.random.random() ** 3 * within_s)  # rather soon
            if task.done():
                return task.result()
        finally:
            if not task.done():
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
        self.done[CUT] += 1
        raise OnPurpose(CUT)

    async def stall(self) -> None:
        """Be silent for a while."""
        await asyncio.sleep(self.random.uniform(*STALL_S))

    async def slowly(self, body: bytes) -> AsyncIterator[bytes]:
        """A body in two parts, with silence in between."""
        at = self.random.randrange(len(body) + 1)
        yield body[:at]
        await self.stall()
        yield body[at:]
