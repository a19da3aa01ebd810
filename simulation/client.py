"""The collector as seen by its clients: reaching it, and reading `stats` back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping

import aiohttp
import msgspec
from msgspec import Struct

from simulation.retry import RETRIED_STATUS

READ_S = 60.0  # for a page of GET /stats
REACH_S = 5.0  # for the first answer
PAGE_ROWS = 10_000  # the most that GET /stats gives at once
TRIES = 5  # of a read that meets 503 or a cut; a second apart
LINE_BYTES = 1 << 20  # a line of the answer: 100 spelled-out errors fit well

# A client in a hurry opens as many connections as it is told to; the number of senders is the limit.
_NO_LIMIT = 0


class UnreachableError(Exception):
    """The collector cannot be reached."""


class ReadError(Exception):
    """The collector answers, but not with what was asked for."""


class StatsRow(Struct):
    """A row of GET /stats: `time` is the end of the window, RFC 3339, UTC; `sessions` those started in it."""

    time: str
    customer: str
    content: str
    cdn: int
    p2p: int
    sessions: int


class _Page(Struct):
    rows: list[StatsRow]
    next: str | None = None


def connect(headers: Mapping[str, str] | None = None) -> aiohttp.ClientSession:
    """A client session without a limit of connections. Close it (`async with`)."""
    connector = aiohttp.TCPConnector(limit=_NO_LIMIT, keepalive_timeout=30)
    return aiohttp.ClientSession(connector=connector, headers=headers, read_bufsize=LINE_BYTES)


async def reach(http: aiohttp.ClientSession, url: str) -> None:
    """Any answer will do; UnreachableError where none comes."""
    try:
        async with http.get(f"{url}/health/live", timeout=aiohttp.ClientTimeout(total=REACH_S)):
            return
    except (aiohttp.ClientError, TimeoutError, OSError) as exc:
        reason = str(exc) or type(exc).__name__
        raise UnreachableError(f"cannot reach a collector at {url}: {reason}") from exc


async def stats_rows(http: aiohttp.ClientSession, url: str, **params: str) -> AsyncIterator[StatsRow]:
    """All rows of GET /stats for `params` (customer, content, from, to), newest first, page by page."""
    query = {"limit": str(PAGE_ROWS), **params}
    while True:
        page = await _page(http, f"{url}/stats", query)
        for row in page.rows:
            yield row
        if page.next is None:
            return
        query["next"] = page.next


async def newest_rows(http: aiohttp.ClientSession, url: str, limit: int) -> list[StatsRow]:
    """The first `limit` rows of GET /stats."""
    return (await _page(http, f"{url}/stats", {"limit": str(limit)})).rows


async def _page(http: aiohttp.ClientSession, url: str, query: Mapping[str, str]) -> _Page:
    for left in reversed(range(TRIES)):
        try:
            timeout = aiohttp.ClientTimeout(total=READ_S)
            async with http.get(url, params=query, timeout=timeout, headers={"Accept": "application/json"}) as response:
                body = await response.read()
                status = response.status
        except (aiohttp.ClientError, TimeoutError, OSError) as exc:
            if not left:
                raise UnreachableError(f"cannot read {url}: {str(exc) or type(exc).__name__}") from exc
        else:
            if status == 200:
                return _decoded(url, body)
            if status not in RETRIED_STATUS or not left:
                raise ReadError(f"GET {url} answered {status}: {body[:200].decode(errors='replace')}")
        await asyncio.sleep(1)
    raise AssertionError("unreachable")


def _decoded(url: str, body: bytes) -> _Page:
    try:
        return msgspec.json.decode(body, type=_Page)
    except (msgspec.DecodeError, UnicodeDecodeError) as exc:
        raise ReadError(f"GET {url} answered something else than rows of stats: {exc}") from exc
