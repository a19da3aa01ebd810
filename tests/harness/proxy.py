"""A wire to the database that can be cut at the worst moment: when COMMIT has been sent and its answer has not come.

It understands as much of PostgreSQL's protocol as it takes to see a COMMIT (PostgreSQL's documentation, Message
Formats): after the start-up message every message of a client is a type, a length and a body.
"""

import asyncio
import contextlib
import struct
from collections.abc import AsyncIterator, Iterator
from enum import Enum
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

READ_BYTES = 64 * 1024
HELD_S = 30.0


class Cut(Enum):
    """Where a connection is cut, around a COMMIT."""

    BEFORE = "COMMIT never reaches the server"
    HALF = "half of COMMIT reaches the server"
    BLIND = "COMMIT is forwarded and the connection cut at once"
    AFTER = "COMMIT is done, its answer is swallowed"
    HELD_THEN_COMMIT = "the client is cut, and COMMIT reaches the server some time later"
    HELD_THEN_GONE = "the client is cut, and the server learns some time later, without a COMMIT"


class Proxy:
    """Listens on a port of the loopback, and passes everything on to the server behind `database_url`."""

    def __init__(self, database_url: str) -> None:
        parts = urlsplit(database_url)
        query = parse_qs(parts.query)
        self._socket = Path(query["host"][0]) / f".s.PGSQL.{query['port'][0]}"
        self._path = parts.path
        self._user = parts.username
        self._port = 0
        self._links: set[_Link] = set()
        self._armed: Cut | None = None
        self._was_cut = asyncio.Event()
        self._release = asyncio.Event()
        self.open = True
        """Whether new connections are taken."""

    @property
    def url(self) -> str:
        """The database's URL by way of the proxy."""
        return f"postgresql://{self._user}@127.0.0.1:{self._port}{self._path}?sslmode=disable&gssencmode=disable"

    @contextlib.asynccontextmanager
    async def listening(self) -> AsyncIterator["Proxy"]:
        """Run it."""
        server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        self._port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            self.cut_all()

    def arm(self, cut: Cut) -> None:
        """Cut the connection on which the next COMMIT is seen."""
        self._was_cut.clear()
        self._release.clear()
        self._armed = cut

    async def was_cut(self, timeout_s: float = 30.0) -> None:
        """Wait until the armed cut has happened. Raises TimeoutError."""
        async with asyncio.timeout(timeout_s):
            await self._was_cut.wait()

    def release(self) -> None:
        """Let go of what is held."""
        self._release.set()

    def cut_all(self) -> None:
        """Cut every connection that is open."""
        for link in list(self._links):
            link.abort()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not self.open:
            writer.transport.abort()
            return
        try:
            from_server, to_server = await asyncio.open_unix_connection(self._socket)
        except OSError:
            writer.transport.abort()
            return
        link = _Link(self, reader, writer, from_server, to_server)
        self._links.add(link)
        with contextlib.suppress(asyncio.CancelledError):  # the loop ends; asyncio would log it
            await link.run()
        self._links.discard(link)

    async def _commit(self, link: "_Link", message: bytes) -> bool:
        """A COMMIT came; False where that was the end of the connection."""
        cut, self._armed = self._armed, None
        if cut is None:
            link.to_server.write(message)
            await link.to_server.drain()
            return True
        link.muted = True
        if cut is Cut.HALF:
            link.to_server.write(message[: len(message) // 2])
        elif cut in (Cut.BLIND, Cut.AFTER):
            link.to_server.write(message)
        if cut is Cut.AFTER:
            await link.answered.wait()
        # Not abort for the server: what was written is to arrive.
        link.to_client.transport.abort()
        self._was_cut.set()
        if cut in (Cut.HELD_THEN_COMMIT, Cut.HELD_THEN_GONE):
            async with asyncio.timeout(HELD_S):
                await self._release.wait()
        if cut is Cut.HELD_THEN_COMMIT:
            link.to_server.write(message)
            await link.answered.wait()
        link.to_server.close()
        return False


class _Link:
    """One connection through the proxy."""

    def __init__(
        self,
        proxy: Proxy,
        from_client: asyncio.StreamReader,
        to_client: asyncio.StreamWriter,
        from_server: asyncio.StreamReader,
        to_server: asyncio.StreamWriter,
    ) -> None:
        self.to_client = to_client
        self.to_server = to_server
        self.muted = False
        """The client is not to see what the server says."""
        self.answered = asyncio.Event()
        """The server has said something since the client was muted, or is gone."""
        self._proxy = proxy
        self._from_client = from_client
        self._from_server = from_server

    async def run(self) -> None:
        """Pass on until either side ends."""
        upstream = asyncio.create_task(self._upstream())
        downstream = asyncio.create_task(self._downstream())
        try:
            await asyncio.wait([upstream, downstream], return_when=asyncio.FIRST_COMPLETED)
            if self.muted:
                await upstream
        finally:
            for task in (upstream, downstream):
                task.cancel()
            await asyncio.gather(upstream, downstream, return_exceptions=True)
            self.to_client.close()
            self.to_server.close()

    def abort(self) -> None:
        """Cut both sides."""
        self.to_client.transport.abort()
        self.to_server.transport.abort()

    async def _downstream(self) -> None:
        with contextlib.suppress(OSError):
            while data := await self._from_server.read(READ_BYTES):
                if self.muted:
                    self.answered.set()
                    continue
                self.to_client.write(data)
                await self.to_client.drain()
        self.answered.set()

    async def _upstream(self) -> None:
        messages = Messages()
        with contextlib.suppress(OSError):
            while data := await self._from_client.read(READ_BYTES):
                for message, commits in messages.feed(data):
                    if commits:
                        if not await self._proxy._commit(self, message):
                            return
                    else:
                        self.to_server.write(message)
                await self.to_server.drain()


class Messages:
    """Cuts what a client sends into whole messages; those that execute a COMMIT stay together, up to their Sync.

    The driver sends a statement's text with every execution, or, once it is used often, prepares it: so a COMMIT is
    known by the statement that Bind names.
    """

    def __init__(self) -> None:
        self._buffer = b""
        self._started = False
        self._commits: set[bytes] = set()
        """Names of prepared statements that are a COMMIT; the one without a name among them."""
        self._request = b""

    def feed(self, data: bytes) -> Iterator[tuple[bytes, bool]]:
        """Messages in order, and whether they execute a COMMIT."""
        self._buffer += data
        while (size := self._size()) is not None and len(self._buffer) >= size:
            message, self._buffer = self._buffer[:size], self._buffer[size:]
            kind = message[:1] if self._started else b""
            self._started = True
            if self._request:
                self._request += message
                if kind == b"S":
                    yield self._request, True
                    self._request = b""
            elif kind == b"Q" and _is_commit(message[5:]):
                yield message, True
            elif kind == b"B" and message[5:].split(b"\0", 2)[1] in self._commits:
                self._request = message
            else:
                if kind == b"P":
                    self._note(message)
                yield message, False

    def _note(self, parse: bytes) -> None:
        name, text = parse[5:].split(b"\0", 2)[:2]
        if _is_commit(text):
            self._commits.add(name)
        else:
            self._commits.discard(name)

    def _size(self) -> int | None:
        """Of the next message; None while too little of it is there."""
        head = 1 if self._started else 0
        if len(self._buffer) < head + 4:
            return None
        (length,) = struct.unpack_from("!i", self._buffer, head)
        return head + int(length)


SINGLES = tuple(f"INSERT INTO {table} ".encode() for table in ("payload", "payload_queue", "hit"))


def _is_commit(text: bytes) -> bool:
    """COMMIT itself, or a statement that writes single messages as a transaction of its own."""
    return text.strip(b"\0 ;").upper() == b"COMMIT" or any(insert in text for insert in SINGLES)
