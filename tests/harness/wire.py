"""HTTP on a bare socket, where it matters which bytes go out when, and which are not read."""

import contextlib
import select
import socket
import time
from collections.abc import Mapping
from typing import Any, Self

import msgspec

from tests.harness.client import NDJSON

TIMEOUT_S = 30.0


class Wire:
    """A POST whose body goes out piece by piece, and whose answer is read when asked for, or never."""

    def __init__(
        self,
        address: tuple[str, int],
        headers: Mapping[str, str] | None = None,
        *,
        path: str = "/stats",
        receive_bytes: int | None = None,
        send_bytes: int | None = None,
    ) -> None:
        self._socket = socket.socket()
        if send_bytes is not None:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, send_bytes)
        if receive_bytes is not None:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        self._socket.settimeout(TIMEOUT_S)
        self._socket.connect(address)
        self._buffer = b""
        self.status: int | None = None
        """Of the answer, once its head was read."""
        self.headers: dict[str, str] = {}
        sent = {"Host": "test", "Content-Type": NDJSON, "Transfer-Encoding": "chunked", **(headers or {})}
        head = "".join(f"{name}: {value}\r\n" for name, value in sent.items())
        self._socket.sendall(f"POST {path} HTTP/1.1\r\n{head}\r\n".encode())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def fileno(self) -> int:
        """For selectors."""
        return self._socket.fileno()

    def send(self, data: bytes) -> None:
        """A chunk of the body."""
        self._socket.sendall(b"%x\r\n%b\r\n" % (len(data), data))

    def send_some(self, data: bytes, timeout_s: float) -> int:
        """What of the raw bytes the collector and the kernels take within a time; returns how many."""
        sent = 0
        deadline = time.monotonic() + timeout_s
        self._socket.setblocking(False)
        try:
            while sent < len(data):
                left_s = max(0.0, deadline - time.monotonic())
                writable = select.poll()
                writable.register(self._socket, select.POLLOUT)
                if not writable.poll(left_s * 1000):
                    break
                with contextlib.suppress(BlockingIOError):
                    sent += self._socket.send(memoryview(data)[sent:])
        finally:
            self._socket.settimeout(TIMEOUT_S)
        return sent

    def end(self) -> None:
        """The end of the body."""
        self._socket.sendall(b"0\r\n\r\n")

    def raw(self, data: bytes) -> None:
        """Bytes as they are."""
        self._socket.sendall(data)

    def line(self) -> Any:
        """The next document of the answer; None at its end. Raises TimeoutError, ConnectionError."""
        if self.status is None:
            self._head()
        if self.headers.get("transfer-encoding") != "chunked":
            body = self._exactly(int(self.headers.get("content-length", "0")))
            self.headers["content-length"] = "0"
            return msgspec.json.decode(body) if body else None
        size = int(self._until(b"\r\n"), 16)
        data = self._exactly(size)
        self._until(b"\r\n")
        return msgspec.json.decode(data) if size else None

    def rest(self) -> list[Any]:
        """All documents of the answer up to its end."""
        documents = []
        while (document := self.line()) is not None:
            documents.append(document)
        return documents

    def close(self) -> None:
        """Cut the connection."""
        self._socket.close()

    def _head(self) -> None:
        first, *lines = self._until(b"\r\n\r\n").decode("latin-1").split("\r\n")
        self.headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        self.status = int(first.split()[1])

    def _until(self, end: bytes) -> bytes:
        while end not in self._buffer:
            self._more()
        found, _, self._buffer = self._buffer.partition(end)
        return found

    def _exactly(self, size: int) -> bytes:
        while len(self._buffer) < size:
            self._more()
        found, self._buffer = self._buffer[:size], self._buffer[size:]
        return found

    def _more(self) -> None:
        data = self._socket.recv(64 * 1024)
        if not data:
            raise ConnectionError("the collector closed the connection")
        self._buffer += data


def lines_of(customer: str, name: str, start: int, stop: int) -> bytes:
    """JSON lines number `start` to `stop` (exclusive) of a stream, each with a token of its own."""
    return b"".join(line_of(customer, f"{name}:{number}") for number in range(start, stop))


def line_of(customer: str, token: str, **fields: object) -> bytes:
    """One JSON line, with its newline."""
    document = {
        "token": token,
        "customer": customer,
        "content": "film",
        "timespan": 30_000,
        "p2p": 1,
        "cdn": 2,
        "sessionDuration": 60_000,
    }
    return msgspec.json.encode(document | fields) + b"\n"
