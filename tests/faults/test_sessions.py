"""Several collectors at once, the same tokens to all of them: sums and sessions are exactly right."""

import asyncio
import random
from collections import Counter

import aiohttp
import psycopg
import pytest

from tests.conftest import Serve
from tests.faults.books import balanced
from tests.faults.rounds import random_of, seed_line
from tests.harness.client import JSON, NDJSON, Client
from tests.harness.wire import line_of

CLIENTS = 200
TOKENS = 60
SINGLES = 25
"""Payloads of a client that posts them one by one; every fourth client sends the same number as a stream."""
CONTENTS = ("film", "series")


class Truth:
    """Sums by content, and tokens that have started a session by content of the payloads that may have started it."""

    def __init__(self) -> None:
        self.cdn: Counter[str] = Counter()
        self.p2p: Counter[str] = Counter()
        self.starting: set[str] = set()

    def payload(self, choices: random.Random) -> bytes:
        """A payload of any of the shared tokens, counted."""
        number = choices.randrange(TOKENS)
        token, content = f"shared {number}", CONTENTS[number % len(CONTENTS)]
        duration_ms = choices.choice([0, 60_000, 299_999, 300_000, 900_000])
        cdn, p2p = choices.randrange(2**40), choices.randrange(2**40)
        self.cdn[content] += cdn
        self.p2p[content] += p2p
        if duration_ms < 300_000:
            self.starting.add(token)
        return line_of("acme", token, content=content, cdn=cdn, p2p=p2p, sessionDuration=duration_ms)


async def send_all(urls: list[str], truth: Truth, choices: random.Random) -> None:
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as http:

        async def one_by_one(payloads: list[tuple[str, bytes]]) -> None:
            for url, payload in payloads:
                async with http.post(f"{url}/stats", data=payload, headers={"Content-Type": JSON}) as answer:
                    assert answer.status == 204, await answer.text()

        async def as_stream(url: str, lines: list[bytes]) -> None:
            async with http.post(f"{url}/stats", data=b"".join(lines), headers={"Content-Type": NDJSON}) as answer:
                assert await answer.json() == {"accepted": len(lines), "rejected": 0, "errors": []}

        async with asyncio.TaskGroup() as clients:
            for number in range(CLIENTS):
                payloads = [truth.payload(choices) for _ in range(SINGLES)]
                if number % 4:
                    clients.create_task(one_by_one([(choices.choice(urls), payload) for payload in payloads]))
                else:
                    clients.create_task(as_stream(choices.choice(urls), payloads))


def agrees(client: Client, truth: Truth) -> None:
    rows = client.get("/stats").json()["rows"]
    for content in CONTENTS:
        mine = [row for row in rows if row["content"] == content]
        assert sum(row["cdn"] for row in mine) == truth.cdn[content]
        assert sum(row["p2p"] for row in mine) == truth.p2p[content]
        started = [token for token in truth.starting if CONTENTS[int(token.split()[1]) % len(CONTENTS)] == content]
        assert sum(row["sessions"] for row in mine) == len(started)


@pytest.mark.parametrize(("collectors", "workers"), [(4, 1), (2, 2)])
def test_sessions_are_exact_with_collectors_at_once(
    serve: Serve, database_url: str, collectors: int, workers: int
) -> None:
    print(seed_line())
    choices = random_of("sessions", collectors, workers)
    servers = [serve(database_url, workers=workers) for _ in range(collectors)]
    truth = Truth()
    asyncio.run(send_all([server.url for server in servers], truth, choices))
    for server in servers:
        agrees(server.client, truth)
    with psycopg.connect(database_url) as connection:
        starts = connection.execute(
            "SELECT token, min(received_at) FROM payload WHERE session_duration < 300000 GROUP BY token"
        ).fetchall()
        flagged = connection.execute("SELECT token, received_at FROM payload WHERE started").fetchall()
    assert len(flagged) == len({token for token, _ in flagged}) == len(starts) == len(truth.starting)
    received = sum(balanced(server.client)["received"] for server in servers)
    assert received == CLIENTS * SINGLES
