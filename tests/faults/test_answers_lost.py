"""Every answer is lost on its way, and everything is sent again with its keys, to another collector: it counts as if it
had been sent once.
"""

import asyncio
import itertools

import aiohttp
import msgspec
import pytest
import yarl

from tests.conftest import Serve
from tests.faults.books import balanced
from tests.faults.rounds import tally
from tests.harness.client import JSON, NDJSON
from tests.harness.ledger import Ledger
from tests.harness.link import Fate, Link
from tests.harness.messages import KINDS, Kind
from tests.harness.server import ServerProcess

SINGLES = 40
STREAMS = 4
LINES = 300


class Batch:
    """What one endpoint gets: keyed singles and keyed streams, the same each time that it is sent."""

    def __init__(self, kind: Kind, ledger: Ledger) -> None:
        self._kind = kind
        self._ledger = ledger
        self._name = kind.path.strip("/").replace("/", "-")
        self._requests = [*map(self._single, range(SINGLES)), *map(self._stream, range(STREAMS))]
        for identities, _, _, _ in self._requests:
            ledger.sent.update(identities)

    def _single(self, number: int) -> tuple[list[str], str, bytes, str]:
        identity = f"{self._ledger.customer}/{self._name} single:{number}"
        target, body = self._kind.single(self._ledger.customer, identity)
        return [identity], target, body, JSON

    def _stream(self, number: int) -> tuple[list[str], str, bytes, str]:
        identities = [f"{self._ledger.customer}/{self._name} stream {number}:{line}" for line in range(LINES)]
        lines = [self._kind.line(self._ledger.customer, identity) for identity in identities]
        return identities, self._kind.path, b"\n".join(lines), NDJSON

    async def send(self, http: aiohttp.ClientSession, url: str, *, heard: bool) -> None:
        await asyncio.gather(
            *(
                self._send(http, url, f"{self._name} {number}", *one, heard=heard)
                for number, one in enumerate(self._requests)
            )
        )

    async def _send(
        self,
        http: aiohttp.ClientSession,
        url: str,
        key: str,
        identities: list[str],
        target: str,
        body: bytes,
        media_type: str,
        *,
        heard: bool,
    ) -> None:
        headers = {"Content-Type": media_type, "Idempotency-Key": key}
        try:
            async with http.post(yarl.URL(url + target, encoded=True), data=body, headers=headers) as answer:
                text = await answer.text()
        except (aiohttp.ClientError, OSError):
            assert not heard
            return
        assert heard, "an answer came through"
        assert answer.status in (200, 202, 204), text
        assert answer.headers["Idempotent-Replayed"] == "true"
        if media_type == NDJSON:
            assert msgspec.json.decode(text) == {"accepted": LINES, "rejected": 0, "errors": []}
        self._ledger.acknowledge(identities)


async def twice(servers: list[ServerProcess], ledger: Ledger) -> int:
    """Everything to one collector, whose answers are lost, and again to the other. Returns how many were lost."""
    async with (
        Link(servers[0].client.address, lambda: Fate(deaf=True)).listening() as link,
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0, force_close=True)) as http,
    ):
        batches = [Batch(kind, ledger) for kind in KINDS]
        await asyncio.gather(*(batch.send(http, link.url, heard=False) for batch in batches))
        await asyncio.gather(*(batch.send(http, servers[1].url, heard=True) for batch in batches))
        return link.dropped


@pytest.mark.parametrize("collectors", [1, 2], ids=["the same collector", "another collector"])
def test_answers_that_are_lost_count_once(serve: Serve, database_url: str, collectors: int) -> None:
    made = [serve(database_url) for _ in range(collectors)]
    servers = list(itertools.islice(itertools.cycle(made), 2))
    ledger = Ledger("lost")
    dropped = asyncio.run(twice(servers, ledger))
    assert dropped == len(KINDS) * (SINGLES + STREAMS)
    assert ledger.acknowledged == ledger.sent
    tally("answers lost", ledger.check(database_url, at_end=True))
    for name in ("stored", "repeated"):
        for kind in KINDS:
            counts = [server.client.metrics().total(f"collector_{name}_total", endpoint=kind.path) for server in made]
            assert sum(counts) == SINGLES + STREAMS * LINES, (name, kind.path)
    for server in made:
        balanced(server.client)
