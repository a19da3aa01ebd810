"""A wire between clients and a collector that delays, cuts and drops: a small TCP proxy. Each connection has a fate of
its own.
"""

import asyncio
import contextlib
import socket
import struct
from collections.abc import AsyncIterator, Callable
from typing import Any

import msgspec

READ_BYTES = 16 * 1024


class Fate(msgspec.Struct, frozen=True):
    """What becomes of a connection: `delay_s` before each piece of it; cut after so many bytes from the client (`up`)
    or to it (`down`), with a reset or, without `reset`, an ordinary end. `deaf`: answers come to the link and no
    further, and the connection ends when the first has begun.
    """

    delay_s: float = 0.0
    up_bytes: int | None = None
    down_bytes: int | None = None
    reset: bool = True
    deaf: bool = False


class Link:
    """Listens on a port of the loopback and passes on to `address`; `fate` is asked for each new connection."""

    def __init__(self, address: tuple[str, int], fate: Callable[[], Fate] = Fate) -> None:
        self.fate = fate
        self.cuts = 0
        """Connections that the link has ended."""
        self.dropped = 0
        """Answers that did not come through."""
        self._address = address
        self._port = 0
        self._tasks: set[asyncio.Task[Any]] = set()

    @property
    def url(self) -> str:
        """The collector by way of the link."""
        return f"http://127.0.0.1:{self._port}"

    @contextlib.asynccontextmanager
    async def listening(self) -> AsyncIterator["Link"]:
        """Run it."""
        server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        self._port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            for task in list(self._tasks):
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _connected(self, from_client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        fate = self.fate()
        try:
            from_server, to_server = await asyncio.open_connection(*self._address)
        except OSError:
            to_client.transport.abort()
            return
        finally:
            self._tasks.discard(task)
        up = asyncio.create_task(self._pass(from_client, to_server, fate.up_bytes, fate.delay_s))
        down = asyncio.create_task(
            self._drop(from_server) if fate.deaf else self._pass(from_server, to_client, fate.down_bytes, fate.delay_s)
        )
        self._tasks |= {up, down}
        with contextlib.suppress(asyncio.CancelledError):
            # The client may end its half; the server's end is the end.
            await asyncio.wait([up, down], return_when=asyncio.FIRST_COMPLETED)
            if not (up.done() and up.result()):
                await asyncio.wait([down] if not fate.deaf else [up, down], return_when=asyncio.FIRST_COMPLETED)
        was_cut = any(one.done() and not one.cancelled() and one.result() for one in (up, down))
        self.cuts += was_cut
        for one in (up, down):
            one.cancel()
        await asyncio.gather(up, down, return_exceptions=True)
        self._tasks -= {up, down}
        for writer in (to_client, to_server):
            _close(writer, reset=was_cut and fate.reset)

    async def _pass(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, limit_bytes: int | None, delay_s: float
    ) -> bool:
        """Pass on until the end, or the limit; whether it was the limit."""
        passed = 0
        with contextlib.suppress(OSError):
            while data := await reader.read(READ_BYTES):
                if delay_s:
                    await asyncio.sleep(delay_s)
                if limit_bytes is not None and passed + len(data) >= limit_bytes:
                    writer.write(data[: limit_bytes - passed])
                    await writer.drain()
                    return True
                passed += len(data)
                writer.write(data)
                await writer.drain()
            if writer.can_write_eof():
                writer.write_eof()
        return False

    async def _drop(self, reader: asyncio.StreamReader) -> bool:
        """Wait for an answer, and for its end if it comes soon; the client gets none of it."""
        with contextlib.suppress(OSError):
            if await reader.read(READ_BYTES):
                self.dropped += 1
                return True
        return False


def _close(writer: asyncio.StreamWriter, *, reset: bool) -> None:
    """End a connection; by a reset, the other side is told that what is on its way is lost."""
    if reset:
        sock = writer.get_extra_info("socket")
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.close()
