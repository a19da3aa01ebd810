"""One POST with its answer, over as many attempts as it takes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from random import Random

import aiohttp
from msgspec import Struct
from yarl import URL

from simulation.load.books import Books
from simulation.load.chaos import CUT_S, OF_SINGLES, Chaos, OnPurpose
from simulation.load.retry import (
    CUTS,
    RETRIED_STATUS,
    TAKEN_OVER,
    Again,
    is_taken_over,
    kind_of,
    pause_s,
    retry_after_s,
)

REQUEST_S = 30.0  # an answer that takes longer is given up, and the request repeated under its key

Body = bytes | AsyncIterator[bytes] | None


class Reply(Struct):
    """An answer that another attempt would not change."""

    status: int
    replayed: bool
    text: str


async def deliver(
    http: aiohttp.ClientSession,
    url: str,
    body: Callable[[], Body],
    headers: Mapping[str, str],
    books: Books,
    random: Random,
    chaos: Chaos | None = None,
    odds: Mapping[str, float] = OF_SINGLES,
) -> Reply:
    """Post until there is an answer. `headers` have an Idempotency-Key: trying again is safe. Retries are booked.

    `body` is asked for each attempt: one that tells what time it is has changed. With `chaos` an attempt may be cut,
    with these `odds`.
    """
    failures, cut = 0, False
    while True:
        try:
            attempt = post(http, url, body(), headers, books)
            return await (attempt if chaos is None else chaos.cut(attempt, odds, CUT_S))
        except OnPurpose:
            books.retry()
            cut = True
        except (*CUTS, Again) as error:
            books.retry(None if cut and is_taken_over(error) else kind_of(error))
            cut = cut or not isinstance(error, Again)
            after_s = error.after_s if isinstance(error, Again) else None
            await asyncio.sleep(pause_s(random, failures, after_s))
            failures += 1


async def post(http: aiohttp.ClientSession, url: str, body: Body, headers: Mapping[str, str], books: Books) -> Reply:
    """One attempt. Raises Again, or what aiohttp raises, where another one may follow."""
    timeout = aiohttp.ClientTimeout(total=REQUEST_S)
    asked_s = books.clock()
    # The URL is ready to be sent: aiohttp is not to quote a query once more.
    async with http.post(URL(url, encoded=True), data=body or None, headers=headers, timeout=timeout) as response:
        books.server.observe(response.headers.get("Date"), asked_s, books.clock())
        if response.status in RETRIED_STATUS or response.status == TAKEN_OVER:
            raise Again(str(response.status), retry_after_s(response))
        text = await response.text(errors="replace")
        return Reply(response.status, "Idempotent-Replayed" in response.headers, text)
