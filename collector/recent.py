"""Something that takes long to make, made once for all who ask, and again when it is old."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Recent(Generic[T]):
    """Keeps what `make` gave for `keep_s`. While a new one is made, the old one is given; who finds none waits for
    `wait_s` at most, for nobody should wait for a page because of a part of it.
    """

    def __init__(
        self,
        make: Callable[[], Awaitable[T]],
        *,
        keep_s: float,
        wait_s: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._make = make
        self._keep_s = keep_s
        self._wait_s = wait_s
        self._clock = clock
        self._kept: T | None = None
        self._made_at_s = 0.0
        self._making: asyncio.Task[None] | None = None

    async def get(self) -> T | None:
        """The newest there is; None where there is none yet. Raises what `make` raised, where that leaves nothing."""
        if self._kept is not None and self._clock() - self._made_at_s < self._keep_s:
            return self._kept
        making = self._making
        if making is None:
            making = self._making = asyncio.create_task(self._renew())
            making.add_done_callback(self._ended)
        if self._kept is None:
            await asyncio.wait([making], timeout=self._wait_s)
            if making.done():
                making.result()
        return self._kept

    def stop(self) -> None:
        """Whatever is being made is not waited for."""
        if self._making is not None:
            self._making.cancel()

    async def _renew(self) -> None:
        self._kept = await self._make()
        self._made_at_s = self._clock()

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._making = None
        if not task.cancelled():
            task.exception()  # nobody need be waiting for it; the next who asks tries again
