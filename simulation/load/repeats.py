"""A stream that is complete, sent once more on purpose: all of it under its key, which changes nothing; and its last
lines without one, which are then stored twice.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence

import aiohttp
import msgspec

from simulation.load.books import Books, Scheduled
from simulation.load.chaos import AGAIN_LINES, OF_STREAMS, REPEAT, UNKEYED, Chaos
from simulation.load.junk import Junk
from simulation.load.posting import Reply, post
from simulation.load.receipts import Answer
from simulation.load.retry import CUTS, Again

LINES = {"Content-Type": "application/x-ndjson"}


class Repeats:
    """Keeps the lines of a lane's open stream. `preamble` makes the first line of a request. `counts` tells whether a
    line that is sent again without a key is stored again.
    """

    def __init__(
        self,
        http: aiohttp.ClientSession,
        url: str,
        books: Books,
        chaos: Chaos,
        preamble: Callable[[], bytes] | None,
        counts: Callable[[], bool],
    ) -> None:
        self._http = http
        self._url = url
        self._books = books
        self._chaos = chaos
        self._preamble = preamble or (lambda: b"")
        self._counts = counts
        self._bodies: list[bytes] = []
        self._last: deque[Scheduled] = deque(maxlen=AGAIN_LINES)

    def clear(self) -> None:
        """A new stream begins."""
        self._bodies.clear()
        self._last.clear()

    def keep(self, lines: Sequence[Scheduled | Junk]) -> None:
        """These are sent with the stream."""
        self._bodies += [line.body for line in lines]
        self._last += [line for line in lines if isinstance(line, Scheduled)]

    async def some(self, key: str) -> None:
        """The stream with this key is complete; repeat it, or some of it, or nothing."""
        if self._chaos.strikes(REPEAT, OF_STREAMS):
            reply = await self._post(self._bodies, {**LINES, "Idempotency-Key": key})
            if reply is not None and not reply.replayed:
                self._books.meter.error("repeat", f"a stream repeated under its key was answered {reply.text[:200]}")
        if self._last and self._counts() and self._chaos.strikes(UNKEYED, OF_STREAMS):
            sent_s, stored = self._books.clock(), False
            try:
                reply = await self._post([item.body for item in self._last], LINES)
                stored = reply is not None and reply.status < 300 and _accepted(reply) == len(self._last)
            finally:
                for item in self._last:
                    self._books.once_more(item, sent_s, stored=stored)

    async def _post(self, bodies: Sequence[bytes], headers: dict[str, str]) -> Reply | None:
        """One attempt; None where it has no answer that counts."""
        body = self._preamble() + b"\n".join([*bodies, b""])
        try:
            return await post(self._http, self._url, body, headers, self._books)
        except (*CUTS, Again):
            return None


def _accepted(reply: Reply) -> int | None:
    """How many lines a summary says are stored; None where it is none."""
    try:
        return msgspec.json.decode(reply.text, type=Answer).accepted
    except msgspec.DecodeError:
        return None
