"""Load for the tests of faults: clients that do as the contract tells them after a cut, and note what they were told.

Four kinds of clients, each for any endpoint: single messages without a key, which are never sent again; with a key,
sent again until they are acknowledged; streams with a key, resumed until they are complete; and streams without one.
"""

import asyncio
import itertools
import random
from collections.abc import AsyncIterator, Sequence
from typing import Any

import aiohttp
import msgspec
import yarl

from tests.harness.client import JSON, NDJSON
from tests.harness.ledger import Ledger
from tests.harness.messages import STATS, Kind

CUT = (aiohttp.ClientError, OSError, TimeoutError)
PAUSE_S = 0.02
"""Before a client tries again: short, because a round waits for it."""
CHUNK_LINES = 60
WINDOW_LINES = 3_000
"""Lines of a stream without a receipt at most: the test's processor is the collector's, too."""
ANSWER_S = 60.0
NOT_STORED = "not stored"


class Again(Exception):
    """The collector asks to try again."""


class Load:
    """Clients against one collector, from `run` until `finish`."""

    def __init__(
        self,
        urls: list[str],
        ledger: Ledger,
        choices: random.Random,
        kinds: Sequence[Kind] = (STATS,),
        *,
        keep_connections: bool = True,
    ) -> None:
        self.ledger = ledger
        self.failures = 0
        """Requests that were cut, or answered 503."""
        self.cuts = 0
        """Single messages that had no answer."""
        self._urls = urls
        self._kinds = kinds
        self._keep_connections = keep_connections
        self._choices = choices
        self._finishing = asyncio.Event()
        self._progress = asyncio.Condition()
        self._http: aiohttp.ClientSession
        self._count = 0

    async def run(self, *, unkeyed: int = 6, keyed: int = 6, streams: int = 2, silent: int = 1, loose: int = 1) -> None:
        """Run so many clients of each kind, to their end; endpoints are shared out among them. Raises AssertionError
        where an answer cannot be true.
        """
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=5, sock_read=ANSWER_S)
        connector = aiohttp.TCPConnector(limit=0, force_close=not self._keep_connections)
        async with (
            aiohttp.ClientSession(connector=connector, timeout=timeout) as self._http,
            asyncio.TaskGroup() as clients,
        ):
            next_kind = itertools.cycle(self._choices.sample(self._kinds, len(self._kinds)))
            for number in range(unkeyed):
                clients.create_task(self._unkeyed(f"u{number}", next(next_kind)))
            for number in range(keyed):
                clients.create_task(self._keyed(f"k{number}", next(next_kind)))
            for number in range(streams + silent):
                clients.create_task(self._stream(f"s{number}", next(next_kind), receipts=number < streams))
            for number in range(loose):
                clients.create_task(self._loose(f"o{number}", next(next_kind)))

    def finish(self) -> None:
        """Begin nothing new; what has been begun is seen through."""
        self._finishing.set()

    async def acknowledged(self, more: int, timeout_s: float = 30.0) -> None:
        """Wait until so many more lines are acknowledged. Raises TimeoutError."""
        target = len(self.ledger.acknowledged) + more
        async with asyncio.timeout(timeout_s), self._progress:
            await self._progress.wait_for(lambda: len(self.ledger.acknowledged) >= target)

    async def met_failure(self, timeout_s: float = 30.0) -> None:
        """Wait until a client has been cut or turned away once more."""
        seen = self.failures
        async with asyncio.timeout(timeout_s), self._progress:
            await self._progress.wait_for(lambda: self.failures > seen)

    # Single messages

    async def _unkeyed(self, name: str, kind: Kind) -> None:
        number = 0
        while not self._finishing.is_set():
            identity = self.identity(name, number)
            number += 1
            try:
                await self._single(identity, kind, {})
            except (*CUT, Again) as exc:
                await self._failed(exc)

    async def _keyed(self, name: str, kind: Kind) -> None:
        number = 0
        while not self._finishing.is_set():
            identity = self.identity(name, number)
            number += 1
            while True:
                try:
                    await self._single(identity, kind, {"Idempotency-Key": f"{self.ledger.customer} {identity}"})
                except (*CUT, Again) as exc:
                    await self._failed(exc)
                else:
                    break

    async def _single(self, identity: str, kind: Kind, headers: dict[str, str]) -> None:
        self.ledger.sent.add(identity)
        target, body = kind.single(self.ledger.customer, identity)
        url = yarl.URL(self._url() + target, encoded=True)
        async with self._http.post(url, data=body, headers={"Content-Type": JSON, **headers}) as answer:
            body = await answer.read()
            if answer.status == 503:
                assert answer.headers["Retry-After"].isdigit(), answer.headers
                if not headers and NOT_STORED in msgspec.json.decode(body)["detail"]:
                    self.ledger.denied.add(identity)
                raise Again
            assert answer.status == kind.status, f"{identity}: {answer.status} {body!r}"
        await self._tell([identity])

    # Streams

    async def _stream(self, name: str, kind: Kind, *, receipts: bool) -> None:
        """One stream under one key, resumed until it is complete."""
        stream = Stream(self, name, kind, receipts=receipts)
        first = True
        while True:
            try:
                if first or not await self._position(stream):
                    first = False
                    await self._send_stream(stream)
                if stream.complete:
                    return
            except (*CUT, Again):
                await self._failed()

    async def _position(self, stream: "Stream") -> bool:
        """Learn how far the stream is committed; True where it is complete."""
        url = f"{self._url()}/streams/{stream.key}?endpoint={stream.kind.path}"
        async with self._http.get(url) as answer:
            if answer.status == 503:
                raise Again
            if answer.status == 404:
                assert not stream.committed, f"{stream.key}: {stream.committed} lines were acknowledged, now unknown"
                return False
            assert answer.status == 200, await answer.text()
            found = await answer.json()
        await stream.told(found)
        if found["complete"]:
            assert stream.ended, f"{stream.key} is complete, and its end was never sent"
            assert found["committed"] == len(stream.identities), f"{stream.key}: {found} of {len(stream.identities)}"
            stream.complete = True
        return stream.complete

    async def _send_stream(self, stream: "Stream") -> None:
        """One request: from where the collector stands, or from somewhere before it."""
        offset = self._choices.choice([stream.committed, stream.committed, 0, stream.committed // 2])
        headers = {"Content-Type": NDJSON, "Idempotency-Key": stream.key}
        if stream.receipts:
            headers["Accept"] = NDJSON
        if offset:
            headers["Stream-Offset"] = str(offset)
        answer = await self._http.post(self._url() + stream.kind.path, data=stream.body(offset), headers=headers)
        try:
            if stream.receipts and answer.status in (200, 202):
                async for line in answer.content:
                    await stream.told(msgspec.json.decode(line))
            else:
                await stream.told(msgspec.json.decode(await answer.read()))
        finally:
            stream.requests += 1
            answer.close()  # the body may be half sent, and nobody is to wait for the rest

    async def _loose(self, name: str, kind: Kind) -> None:
        """Streams without a key, one after another: what has no receipt when one is cut is sent by nobody again."""
        number = 0
        while not self._finishing.is_set():
            stream = Stream(
                self, f"{name}.{number}", kind, receipts=True, lines_at_most=self._choices.randint(1, 2_000)
            )
            number += 1
            try:
                headers = {"Content-Type": NDJSON, "Accept": NDJSON}
                answer = await self._http.post(self._url() + kind.path, data=stream.body(0), headers=headers)
                try:
                    if answer.status == 503:
                        raise Again
                    async for line in answer.content:
                        await stream.told(msgspec.json.decode(line))
                finally:
                    stream.requests += 1
                    answer.close()
            except (*CUT, Again):
                await self._failed()

    # Shared

    def _url(self) -> str:
        return self._choices.choice(self._urls)

    def identity(self, name: str, number: int) -> str:
        """Of a message, as `tests.harness.messages` has it."""
        return f"{self.ledger.customer}/{name}:{number}"

    async def _tell(self, identities: list[str]) -> None:
        self.ledger.acknowledge(identities)
        async with self._progress:
            self._progress.notify_all()

    async def _failed(self, single: Exception | None = None) -> None:
        self.failures += 1
        self.cuts += single is not None and not isinstance(single, Again)
        async with self._progress:
            self._progress.notify_all()
        await asyncio.sleep(PAUSE_S * self._choices.uniform(0.5, 1.5))


class Stream:
    """The lines of one stream, those it has been told are committed, and its body from any line on."""

    def __init__(self, load: Load, name: str, kind: Kind, *, receipts: bool, lines_at_most: int | None = None) -> None:
        self.key = f"{load.ledger.customer}-{name}"
        self.kind = kind
        self.receipts = receipts
        self.identities: list[str] = []
        self.committed = 0
        self.ended = False
        """The end of the body was sent, so that there are no more lines than these."""
        self.complete = False
        self.requests = 0
        self._load = load
        self._name = name
        self._lines_at_most = lines_at_most
        self._lines: list[bytes] = []
        self._room = asyncio.Event()

    async def told(self, answer: dict[str, Any]) -> None:
        """A receipt, a summary, a position or a problem. Raises Again, AssertionError where it cannot be true."""
        if "accepted" in answer and "status" not in answer:
            assert answer["rejected"] == 0, f"{self.key}: {answer}"
            assert self.ended and answer["accepted"] == len(self.identities), (
                f"{self.key}: {answer} of {len(self.identities)}"
            )
            await self._acknowledged(len(self.identities))
            self.complete = True
            return
        if "committed" in answer:
            committed = answer["committed"]
            assert self.committed <= committed <= len(self.identities), f"{self.key}: {answer} after {self.committed}"
            assert answer.get("rejected", 0) == 0, f"{self.key}: {answer}"
            await self._acknowledged(committed)
        if answer.get("status") == 503:
            raise Again
        assert "status" not in answer, f"{self.key}: {answer}"

    async def body(self, offset: int) -> AsyncIterator[bytes]:
        """The lines from `offset` on: first those that were sent before, then new ones, until the load is to end."""
        request = self.requests
        at = offset
        while self.requests == request:
            if at < len(self._lines):
                stop = min(at + self._load._choices.randint(1, CHUNK_LINES * 10), len(self._lines))
                yield b"\n".join([*self._lines[at:stop], b""])
                at = stop
                continue
            if self._over():
                self.ended = True
                return
            if len(self._lines) - self.committed >= WINDOW_LINES and self.receipts:
                self._room.clear()
                await self._room.wait()
                continue
            await asyncio.sleep(0.005)  # its pace, 10,000 lines a second or so
            if self.requests == request:
                self._more()

    def _over(self) -> bool:
        if self.ended or self._load._finishing.is_set():
            return True
        return self._lines_at_most is not None and len(self._lines) >= self._lines_at_most

    def _more(self) -> None:
        for _ in range(self._load._choices.randint(1, CHUNK_LINES)):
            identity = self._load.identity(self._name, len(self._lines))
            self._load.ledger.sent.add(identity)
            self.identities.append(identity)
            self._lines.append(self.kind.line(self._load.ledger.customer, identity))

    async def _acknowledged(self, committed: int) -> None:
        if committed > self.committed:
            fresh = self.identities[self.committed : committed]
            self.committed = committed
            self._room.set()
            await self._load._tell(fresh)
