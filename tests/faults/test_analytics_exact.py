"""Two collectors and four writers on the same hours and users, half of the posts sent again with their keys: whenever
an hour is read, of either collector, it has what was acknowledged; exactly, whenever nothing is under way.
"""

import asyncio
import random
from collections import Counter
from urllib.parse import quote

import aiohttp
import msgspec

from collector.messages.hit import HOUR_MS, Hit
from tests.conftest import Serve
from tests.faults.books import balanced
from tests.faults.rounds import ROUNDS, random_of
from tests.harness.client import NDJSON

WRITERS = 4
POSTS = 12
"""Of a writer in a round; every third one is lines."""
LINES = 30
USERS = 40
HOURS = [number * HOUR_MS for number in (0, 490_896, 490_897)]
"""One of them long ago."""


class Truth:
    """By hour, what was sent: users, clicks and impressions."""

    def __init__(self) -> None:
        self._users: dict[int, set[str]] = {hour: set() for hour in HOURS}
        self._kinds: Counter[tuple[int, str]] = Counter()

    def add(self, hits: list[Hit]) -> None:
        for hit in hits:
            hour = hit.timestamp // HOUR_MS * HOUR_MS
            self._users[hour].add(hit.user)
            self._kinds[hour, hit.kind] += 1

    def of(self, hour: int) -> tuple[int, int, int]:
        return len(self._users[hour]), self._kinds[hour, "click"], self._kinds[hour, "impression"]


class Round:
    """Writers at once, and a reader of both collectors after every acknowledgement."""

    def __init__(
        self, http: aiohttp.ClientSession, urls: list[str], name: str, choices: random.Random, sent: Truth, told: Truth
    ) -> None:
        self._http = http
        self._urls = urls
        self._name = name
        self._choices = choices
        self._sent = sent
        self._told = told
        self.reads = 0

    async def run(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            for writer in range(WRITERS):
                tasks.create_task(self._write(writer))
        for hour in HOURS:
            for url in self._urls:
                assert await self._read(url, hour) == self._told.of(hour) == self._sent.of(hour)

    async def _write(self, writer: int) -> None:
        for number in range(POSTS):
            key = f"{self._name}-{writer}-{number}" if self._choices.random() < 0.5 else None
            hits = [self._hit() for _ in range(LINES if number % 3 == 2 else 1)]
            first, second = self._choices.sample(self._urls, 2)
            send = self._single if len(hits) == 1 else self._lines
            self._sent.add(hits)
            if key is None:
                assert not await send(first, hits, key)
            elif len(hits) == 1 and self._choices.random() < 0.5:
                assert sorted(await asyncio.gather(send(first, hits, key), send(second, hits, key))) == [False, True]
            else:
                assert not await send(first, hits, key)
                assert await send(second, hits, key)
            self._told.add(hits)
            await self._check(self._choices.choice(self._urls), self._choices.choice(HOURS))

    async def _check(self, url: str, hour: int) -> None:
        """While others write: at least what was acknowledged when it was asked, at most what was sent until now."""
        least = self._told.of(hour)
        found = await self._read(url, hour)
        most = self._sent.of(hour)
        assert all(low <= value <= high for low, value, high in zip(least, found, most, strict=True)), (
            f"{found} is not between {least} and {most}"
        )

    def _hit(self) -> Hit:
        moment = self._choices.choice(HOURS) + self._choices.randrange(HOUR_MS)
        user = f"user {self._choices.randrange(USERS)} of {self._name}"
        return Hit(moment, user, "click" if self._choices.random() < 0.5 else "impression")

    async def _single(self, url: str, hits: list[Hit], key: str | None) -> bool:
        """Whether it was a repeat."""
        (hit,) = hits
        target = f"{url}/analytics?timestamp={hit.timestamp}&user={quote(hit.user)}&{hit.kind}"
        headers = {} if key is None else {"Idempotency-Key": key}
        async with self._http.post(target, headers=headers) as answer:
            assert answer.status == 204, await answer.text()
            return "Idempotent-Replayed" in answer.headers

    async def _lines(self, url: str, hits: list[Hit], key: str | None) -> bool:
        headers = {"Content-Type": NDJSON} | ({} if key is None else {"Idempotency-Key": key})
        data = msgspec.json.Encoder().encode_lines(hits)
        async with self._http.post(f"{url}/analytics", data=data, headers=headers) as answer:
            assert await answer.json() == {"accepted": len(hits), "rejected": 0, "errors": []}
            return "Idempotent-Replayed" in answer.headers

    async def _read(self, url: str, hour: int) -> tuple[int, ...]:
        self.reads += 1
        async with self._http.get(f"{url}/analytics?timestamp={hour + self._choices.randrange(HOUR_MS)}") as answer:
            text = await answer.text()
            assert answer.status == 200, text
            names, values = zip(*(line.split(",") for line in text.splitlines()), strict=True)
            assert names == ("unique_users", "clicks", "impressions")
            return tuple(map(int, values))


async def rounds(urls: list[str]) -> int:
    sent, told = Truth(), Truth()
    reads = 0
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as http:
        for number in range(ROUNDS):
            round_ = Round(http, urls, f"round {number}", random_of("analytics", number), sent, told)
            await round_.run()
            reads += round_.reads
    return reads


def test_hours_are_exact_with_two_collectors_at_once(serve: Serve, database_url: str) -> None:
    servers = [serve(database_url, workers=2) for _ in range(2)]
    assert asyncio.run(rounds([server.url for server in servers])) >= ROUNDS * WRITERS * POSTS
    for server in servers:
        balanced(server.client)
