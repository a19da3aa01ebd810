"""Receipts: an answer that grows while the request is still being read, a line after each commit at most.

They are sent by a task of their own, always the newest; so a client that never reads them slows nobody.
"""

import asyncio

import msgspec

from collector.http.responses import Send
from collector.segment import Source

LAST_WAIT_S = 5.0
"""How long the last line may take to leave: a client that does not read it by then does not get it."""


class Receipts:
    """The answer of a request of lines, as `application/x-ndjson`; the status is 200 from the beginning."""

    def __init__(self, send: Send, source: Source, *, replayed: bool) -> None:
        self._send = send
        self._source = source
        self._replayed = replayed
        self._wake = asyncio.Event()
        self._finished = False
        self._last: dict[str, object] | None = None
        self._task = asyncio.create_task(self._run())

    def wake(self) -> None:
        """Something was committed."""
        self._wake.set()

    async def finish(self, last: dict[str, object] | None) -> None:
        """End the answer, with the summary or a problem, or (None) with a receipt."""
        self._finished, self._last = True, last
        self._wake.set()
        done, _ = await asyncio.wait([self._task], timeout=LAST_WAIT_S)
        if not done:
            self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    def _receipt(self) -> dict[str, object]:
        return {"committed": self._source.committed, "rejected": self._source.rejected}

    async def _run(self) -> None:
        headers = [
            (b"content-type", b"application/x-ndjson"),
            (b"cache-control", b"no-store"),
            (b"x-accel-buffering", b"no"),
        ]
        if self._replayed:
            headers.append((b"idempotent-replayed", b"true"))
        await self._send({"type": "http.response.start", "status": 200, "headers": headers})
        told = -1
        while not self._finished:
            await self._wake.wait()
            self._wake.clear()
            if not self._finished and self._source.committed > told:
                told = self._source.committed
                await self._line(self._receipt(), more=True)
        await self._line(self._receipt() if self._last is None else self._last, more=False)

    async def _line(self, document: dict[str, object], *, more: bool) -> None:
        await self._send(
            {"type": "http.response.body", "body": msgspec.json.encode(document) + b"\n", "more_body": more}
        )
