"""How long a request may wait for its client. One that sends a byte now and then would otherwise keep its place among
the requests that a worker serves at once for as long as it likes.

Deadlines are looked at twice a second, so that a request pays for its own with an assignment, not with a timer.
"""

import asyncio
import time
from collections.abc import Awaitable
from typing import Any

from collector.errors import Problem, TooSlow, Unavailable
from collector.writer import SHUTTING_DOWN

LOOK_EVERY_S = 0.5
DRAIN_BODY_S = 1.0
"""At the process's end a body that is on its way may take so much longer."""


class Patience:
    """The bodies of single messages that are not there yet. `limit_s` is for each of them."""

    def __init__(self, limit_s: float) -> None:
        self._limit_s = limit_s
        self._draining = False
        self._bodies: dict[asyncio.Task[Any], float] = {}
        """Since when each is read, by the task that does."""
        self._ended: dict[asyncio.Task[Any], Problem] = {}

    async def body(self, content: Awaitable[bytes]) -> bytes:
        """The content, once it is there. Raises TooSlow, or Unavailable at the process's end."""
        task = asyncio.current_task()
        assert task is not None
        self._bodies[task] = time.monotonic()
        try:
            return await content
        except asyncio.CancelledError:
            if task not in self._ended:
                raise
            task.uncancel()
        finally:
            del self._bodies[task]
        # Here, and by no name: an exception in a cycle would hold on to the request, and with it to the connection.
        raise self._ended.pop(task)

    def look(self, now: float) -> None:
        """End those that have taken too long, on the clock of `time.monotonic`."""
        if not self._bodies:
            return
        limit_s = min(self._limit_s, DRAIN_BODY_S) if self._draining else self._limit_s
        for task, began_at in list(self._bodies.items()):
            if now - began_at >= limit_s and task not in self._ended:
                self._ended[task] = self._problem()
                task.cancel()

    def drain(self) -> None:
        """Be less patient."""
        self._draining = True

    async def gone(self) -> None:
        """Wait for the end of the requests whose bodies are not there yet."""
        if self._bodies:
            await asyncio.wait(self._bodies)

    def _problem(self) -> Problem:
        if self._draining:
            return Unavailable(SHUTTING_DOWN, retry_after_s=1)
        return TooSlow(f"the body was not complete within {self._limit_s:g} s")
