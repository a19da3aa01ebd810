"""One POST with its answer, over as many attempts as it takes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from random import Random

import aiohttp
from msgspec import Struct
from yarl import URL

from simulation.load.books import Books
from simulation.load.retry import CUT, RETRIED_STATUS, Again, kind_of, pause_s, retry_after_s

REQUEST_S = 30.0  # an answer that takes longer is given up, and the request repeated under its key


class Reply(Struct):
    """An answer that another attempt would not change."""

    status: int
    replayed: bool
    text: str


async def deliver(
    http: aiohttp.ClientSession,
    url: str,
    body: Callable[[], bytes],
    headers: Mapping[str, str],
    books: Books,
    random: Random,
) -> Reply:
    """Post until there is an answer. `headers` have an Idempotency-Key: trying again is safe. Retries are booked.

    `body` is asked for each attempt: one that tells what time it is has changed.
    """
    failures = 0
    while True:
        try:
            return await _post(http, url, body(), headers)
        except (*CUT, Again) as error:
            books.retry(kind_of(error))
            after_s = error.after_s if isinstance(error, Again) else None
            await asyncio.sleep(pause_s(random, failures, after_s))
            failures += 1


async def _post(http: aiohttp.ClientSession, url: str, body: bytes, headers: Mapping[str, str]) -> Reply:
    """One attempt. Raises Again, or what aiohttp raises, where another one may follow."""
    timeout = aiohttp.ClientTimeout(total=REQUEST_S)
    # The URL is ready to be sent: aiohttp is not to quote a query once more.
    async with http.post(URL(url, encoded=True), data=body or None, headers=headers, timeout=timeout) as response:
        if response.status in RETRIED_STATUS:
            raise Again(str(response.status), retry_after_s(response))
        text = await response.text(errors="replace")
        return Reply(response.status, "Idempotent-Replayed" in response.headers, text)
