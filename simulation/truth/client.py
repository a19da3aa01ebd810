"""The collector as seen by its clients: reaching it, and reading back what it shows."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Mapping
from datetime import datetime
from typing import Any, TypeVar
from urllib.parse import quote

import aiohttp
import msgspec
from msgspec import Struct
from yarl import URL

from simulation.load.problem import told
from simulation.load.retry import RETRIED_STATUS
from simulation.truth.diaries import Found, checksum
from simulation.truth.hours import Counts

READ_S = 60.0  # for a page of GET /stats
REACH_S = 5.0  # for the first answer
PAGE_ROWS = 10_000  # the most that GET /stats gives at once
TRIES = 5  # of a read that meets 503 or a cut; a second apart
QUEUE_METRIC = "collector_queue_waiting"  # by partition, or of the embedded queue
BEARER = "Authorization: Bearer ck_…"  # how a key is sent
REFUSED_STATUS = (401, 403)  # for want of a key, or of another one
LINE_BYTES = 1 << 20  # a line of the answer: 100 spelled-out errors fit well

# A client in a hurry opens as many connections as it is told to; the number of senders is the limit.
_NO_LIMIT = 0


class UnreachableError(Exception):
    """The collector cannot be reached."""


class ReadError(Exception):
    """The collector answers, but not with what was asked for."""


class KeyNeededError(ReadError):
    """The collector asks for an API key, or for another one."""

    def __init__(self, doing: str, scope: str, option: str, body: bytes) -> None:
        super().__init__(f"{doing} needs an API key with the scope {scope}, {option} '{BEARER}': {told(body)}")


class StatsRow(Struct):
    """A row of GET /stats: `time` is the end of the window, RFC 3339, UTC; `sessions` those started in it."""

    time: str
    customer: str
    content: str
    cdn: int
    p2p: int
    sessions: int

    @property
    def window(self) -> int:
        """The end of the window, epoch milliseconds."""
        return round(datetime.fromisoformat(self.time).timestamp() * 1000)


class _Page(Struct):
    rows: list[StatsRow]
    next: str | None = None


class _Row(Struct):
    """A row of GET /sessions/{session}."""

    time: datetime
    seq: int | None = None
    version: str | None = None
    cpu: float | None = None
    event: str | None = None
    phase: str | None = None
    properties: dict[str, Any] | None = None

    @property
    def found(self) -> Found:
        """What is compared of it."""
        said = checksum(self.version, self.cpu, self.event, self.phase, self.properties)
        return Found(self.seq, int(self.time.timestamp() * 1000 + 0.5), said)


_HOUR = re.compile(rb"unique_users,(\d+)\nclicks,(\d+)\nimpressions,(\d+)\n")
_SAMPLE = re.compile(r"^(\w+)(?:\{.*\})? (\S+)$", re.M)
T = TypeVar("T")


def connect(*headers: Mapping[str, str]) -> aiohttp.ClientSession:
    """A client session without a limit of connections, that sends these headers along; of those that have one name the
    last. Close it (`async with`).
    """
    sent = {name.lower(): value for some in headers for name, value in some.items()}
    connector = aiohttp.TCPConnector(limit=_NO_LIMIT, keepalive_timeout=30)
    return aiohttp.ClientSession(connector=connector, headers=sent, read_bufsize=LINE_BYTES)


async def reach(http: aiohttp.ClientSession, url: str) -> None:
    """Any answer will do; UnreachableError where none comes."""
    try:
        async with http.get(f"{url}/health/live", timeout=aiohttp.ClientTimeout(total=REACH_S)):
            return
    except (aiohttp.ClientError, TimeoutError, OSError) as exc:
        reason = str(exc) or type(exc).__name__
        raise UnreachableError(f"cannot reach a collector at {url}: {reason}") from exc


async def may_send(http: aiohttp.ClientSession, url: str) -> None:
    """KeyNeededError where what is sent would be turned away: the state of a stream is for those who may send."""
    try:
        timeout = aiohttp.ClientTimeout(total=REACH_S)
        async with http.get(f"{url}/streams/simulate", params={"endpoint": "/stats"}, timeout=timeout) as response:
            if response.status in REFUSED_STATUS:
                raise KeyNeededError("sending", "ingest", "--header", await response.read())
    except (aiohttp.ClientError, TimeoutError, OSError):
        return  # sending tries again, and tells


async def may_read(http: aiohttp.ClientSession, url: str) -> None:
    """KeyNeededError where nothing can be compared."""
    await _page(http, f"{url}/stats", {"limit": "1"})


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


async def hour_counts(http: aiohttp.ClientSession, url: str, hour_ms: int) -> Counts:
    """GET /analytics of the hour that begins at `hour_ms`."""
    where = f"{url}/analytics"
    body, _ = await _get(http, where, {"timestamp": str(hour_ms)}, "text/plain")
    match = _HOUR.fullmatch(body)
    if match is None:
        raise ReadError(f"GET {where} answered something else than counts: {body[:200].decode(errors='replace')}")
    return Counts(*(int(number) for number in match.groups()))


async def session_messages(http: aiohttp.ClientSession, url: str, session: str) -> AsyncIterator[Found]:
    """All messages of GET /sessions/{session}, oldest first, page by page; none where it is unknown."""
    where: str | URL = URL(f"{url}/sessions/{quote(session, safe='')}?limit={PAGE_ROWS}", encoded=True)
    while True:
        body, links = await _get(http, where, {}, "application/x-ndjson", missing=b"")
        for row in _decoded(where, body, _Row, lines=True):
            yield row.found
        if "next" not in links:
            return
        where = links["next"]


async def metrics(http: aiohttp.ClientSession, url: str) -> dict[str, list[float]]:
    """Each metric of /metrics, with its values for whatever labels it has."""
    body, _ = await _get(http, f"{url}/metrics", {}, "text/plain")
    found: dict[str, list[float]] = {}
    for name, value in _SAMPLE.findall(body.decode(errors="replace")):
        found.setdefault(name, []).append(float(value))
    return found


async def queue_waiting(http: aiohttp.ClientSession, url: str) -> float | None:
    """How many payloads the queue holds that are not applied; None where the collector does not say."""
    values = (await metrics(http, url)).get(QUEUE_METRIC)
    return None if values is None else sum(values)


async def _page(http: aiohttp.ClientSession, url: str, query: Mapping[str, str]) -> _Page:
    body, _ = await _get(http, url, query, "application/json")
    [page] = _decoded(url, body, _Page)
    return page


async def _get(
    http: aiohttp.ClientSession,
    url: str | URL,
    query: Mapping[str, str],
    accept: str,
    missing: bytes | None = None,
) -> tuple[bytes, dict[str, URL]]:
    """The body and where its Link header points to. `missing` stands for a 404, unless None."""
    for left in reversed(range(TRIES)):
        try:
            timeout = aiohttp.ClientTimeout(total=READ_S)
            async with http.get(url, params=query, timeout=timeout, headers={"Accept": accept}) as response:
                body = await response.read()
                status = response.status
                links = {name: URL(link["url"]) for name, link in response.links.items()}
        except (aiohttp.ClientError, TimeoutError, OSError) as exc:
            if not left:
                raise UnreachableError(f"cannot read {url}: {str(exc) or type(exc).__name__}") from exc
        else:
            if status == 200:
                return body, links
            if status == 404 and missing is not None:
                return missing, {}
            if status in REFUSED_STATUS:
                raise KeyNeededError("reading", "read", "--read-header", body)
            if status not in RETRIED_STATUS or not left:
                raise ReadError(f"GET {url} answered {status}: {told(body)}")
        await asyncio.sleep(1)
    raise AssertionError("unreachable")


def _decoded(url: str | URL, body: bytes, row: type[T], lines: bool = False) -> list[T]:
    decoder = msgspec.json.Decoder(row)
    try:
        return decoder.decode_lines(body) if lines else [decoder.decode(body)]
    except (msgspec.DecodeError, UnicodeDecodeError) as exc:
        raise ReadError(f"GET {url} answered something else than rows: {exc}") from exc
