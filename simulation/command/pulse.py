"""How the collector itself is doing meanwhile, by its /metrics: what it holds that is not committed, and how far behind
the queue is.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import aiohttp

from simulation.truth.client import QUEUE_METRIC, KeyNeededError, ReadError, UnreachableError, metrics

POLL_S = 1.0
BACKLOG_METRIC = "collector_backlog_rows"
OLDEST_METRIC = "collector_queue_oldest_seconds"


class Pulse:
    """Asks again and again while `watching`; nothing is known where the collector does not say."""

    def __init__(self, http: aiohttp.ClientSession, url: str) -> None:
        self._http = http
        self._url = url
        self._found: dict[str, list[float]] = {}
        self.trouble = ""

    async def watch(self) -> None:
        """Until cancelled."""
        while True:
            await self.look()
            await asyncio.sleep(POLL_S)

    async def look(self) -> None:
        """Ask once."""
        try:
            self._found, self.trouble = await metrics(self._http, self._url), ""
        except KeyNeededError:  # who only sends has none, and need not be told again and again
            self._found, self.trouble = {}, ""
        except (ReadError, UnreachableError) as exc:
            self._found, self.trouble = {}, str(exc)

    @property
    def queue_waiting(self) -> float | None:
        """Payloads in the queue that are not applied."""
        return self._over_labels(sum, QUEUE_METRIC)

    @property
    def backlog(self) -> str:
        """What the collector has taken in and not committed or not applied yet."""
        rows, waiting = self._over_labels(sum, BACKLOG_METRIC), self.queue_waiting
        if rows is None:
            return self.trouble or "not told"
        return f"{rows:,.0f} rows" + ("" if waiting is None else f", {waiting:,.0f} payloads in the queue")

    @property
    def lag(self) -> str:
        """For how long the oldest of the queue has been waiting."""
        oldest_s = self._over_labels(max, OLDEST_METRIC)
        if oldest_s is None:
            return "not told"
        return f"{oldest_s:,.1f} s, the oldest in the queue" if oldest_s else "none"

    def _over_labels(self, combined: Callable[[list[float]], float], name: str) -> float | None:
        values = self._found.get(name)
        return combined(values) if values else None
