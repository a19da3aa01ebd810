"""A balancer in front of collectors, as nginx, HAProxy or a Kubernetes Service is: each new connection goes to the next
collector that takes it. Connections are passed on as bytes; collectors come and go.
"""

import asyncio
import contextlib
import itertools
import threading
from typing import Self

READ_BYTES = 64 * 1024


class Balancer:
    """Listens on a port of the loopback, in a thread of its own."""

    def __init__(self) -> None:
        self._backends: list[int] = []
        self._turns = itertools.count()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._port = 0
        self.passed: dict[int, int] = {}
        """How many connections each port has had."""

    @property
    def url(self) -> str:
        """For clients."""
        return f"http://127.0.0.1:{self._port}"

    def add(self, port: int) -> None:
        """A collector that connections may go to."""
        self._backends = [*self._backends, port]

    def remove(self, port: int) -> None:
        """New connections do not go there any more."""
        self._backends = [each for each in self._backends if each != port]

    def __enter__(self) -> Self:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result(10)
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        self._port = self._server.sockets[0].getsockname()[1]

    async def _close(self) -> None:
        self._server.close()
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        backend = await self._backend()
        try:
            if backend is not None:
                await asyncio.gather(_pass(reader, backend[1]), _pass(backend[0], writer))
        finally:
            writer.close()
            if backend is not None:
                backend[1].close()

    async def _backend(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter] | None:
        """A connection to the first that takes it, beginning with the one whose turn it is."""
        backends = self._backends
        first = next(self._turns)
        for number in range(len(backends)):
            port = backends[(first + number) % len(backends)]
            with contextlib.suppress(OSError):
                opened = await asyncio.open_connection("127.0.0.1", port)
                self.passed[port] = self.passed.get(port, 0) + 1
                return opened
        return None


async def _pass(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Everything, to its end; a cut on one side is one on the other."""
    try:
        while data := await reader.read(READ_BYTES):
            writer.write(data)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()
    except OSError:
        writer.transport.abort()
