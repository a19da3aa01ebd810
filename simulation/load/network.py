"""The network of a device, which comes and goes."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class OfflineError(Exception):
    """The device has lost its network; what was under way is cut."""


class Network:
    """Up at first."""

    def __init__(self) -> None:
        self._online, self._offline = asyncio.Event(), asyncio.Event()
        self._online.set()

    def turn(self, online: bool) -> None:
        """It comes or goes."""
        (self._online if online else self._offline).set()
        (self._offline if online else self._online).clear()

    async def up(self) -> None:
        """Wait until there is a network."""
        await self._online.wait()

    async def during(self, request: Coroutine[Any, Any, T]) -> T:
        """What the request returns or raises. OfflineError where the network goes away before that."""
        requesting, gone = asyncio.create_task(request), asyncio.create_task(self._offline.wait())
        try:
            await asyncio.wait([requesting, gone], return_when=asyncio.FIRST_COMPLETED)
            if not requesting.done():
                raise OfflineError
            return requesting.result()
        finally:
            requesting.cancel()
            gone.cancel()
            await asyncio.gather(requesting, gone, return_exceptions=True)
