"""The socket that all workers listen on, so that one of them can leave without a request being lost.

granian gives each worker on Linux a socket of its own on the same port. The kernel deals connections out among them,
and those that wait at a worker which ends are reset. Here the parent listens, the workers inherit the socket, and one
that leaves takes no more from it: the others do.
"""

import contextlib
import os
import socket
import stat
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from granian.server import MPServer

_OPEN_FILES = Path("/proc/self/fd")


class SharedServer(MPServer):
    """granian, with one socket for all workers on Linux too, as it has elsewhere."""

    def _init_shared_socket(self) -> None:
        super()._init_shared_socket()  # type: ignore[no-untyped-call]
        server: Any = self
        if sys.platform == "linux" and server._ssp is not None:
            server._shd = server._ssp.build()
            server._sfd = server._shd.get_fd()
            server._ssp = None
            server._sso = socket.socket(fileno=server._sfd)
            server._sso.set_inheritable(True)


class Connections:
    """A worker's connections to the port, for what the server cannot be told to do with them. Linux only; elsewhere
    nothing happens, and the server does without.
    """

    def __init__(self, port: int) -> None:
        self._port = port

    def stop_accepting(self) -> None:
        """Take no more; those that are open go on. In the place of the socket that the server listens on it gets
        another, at which nobody calls.
        """
        with socket.create_server(("127.0.0.1", 0), backlog=1) as nobody:
            nobody.setblocking(False)
            for number, found in self._sockets():
                if _listens(found) and number != nobody.fileno():
                    os.dup2(nobody.fileno(), number)

    def stop_reading(self) -> None:
        """From those that are open: what a client has begun to send, and does not end, is not waited for. Answers still
        go out.
        """
        for _, found in self._sockets():
            if not _listens(found):
                with contextlib.suppress(OSError):
                    found.shutdown(socket.SHUT_RD)

    def count(self) -> int:
        """How many there are. At thousands of them it takes some ten milliseconds: not for the event loop."""
        return sum(not _listens(found) for _, found in self._sockets())

    def _sockets(self) -> Iterator[tuple[int, socket.socket]]:
        """The number of each open file that is a socket of the port, and a copy of it."""
        if sys.platform != "linux":
            return
        for entry in list(_OPEN_FILES.iterdir()):
            number = int(entry.name)
            with contextlib.suppress(OSError):  # closed meanwhile
                if not stat.S_ISSOCK(os.fstat(number).st_mode):
                    continue
                with socket.socket(fileno=os.dup(number)) as found:
                    inet = found.family in (socket.AF_INET, socket.AF_INET6)
                    if inet and found.getsockname()[1] == self._port:
                        yield number, found


def _listens(found: socket.socket) -> bool:
    return bool(found.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))
