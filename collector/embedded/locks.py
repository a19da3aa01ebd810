"""Two locks between processes: one at a time starts or stops the server, and everybody who uses it is counted.

Both are flock(2): the kernel lets go when a process ends, however it ends, and a forked child goes on holding.
"""

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path

from collector.embedded.errors import EmbeddedError
from collector.processes import POLL_S


def open_lock(path: Path) -> int:
    """Opens a lock file, making it where there is none; the descriptor is not inherited by programs started."""
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)


@contextlib.contextmanager
def mutex(path: Path, timeout_s: float) -> Iterator[None]:
    """Holds the lock alone. Raises EmbeddedError when another process keeps it for longer than `timeout_s`."""
    fd = open_lock(path)
    try:
        deadline = time.monotonic() + timeout_s
        # Not a blocking flock: it knows no time limit.
        while not _try(fd, fcntl.LOCK_EX):
            if time.monotonic() >= deadline:
                raise EmbeddedError(f"another process has held {path} for over {timeout_s:.0f} s")
            time.sleep(POLL_S)
        yield
    finally:
        os.close(fd)


def share(path: Path) -> int:
    """Counts the caller in, and returns the descriptor that, with all its copies closed, counts it out."""
    fd = open_lock(path)
    # Nobody holds it exclusively but for a moment inside the mutex, which the caller holds.
    fcntl.flock(fd, fcntl.LOCK_SH)
    return fd


def unused(path: Path) -> bool:
    """Whether nobody is counted in; the caller holds the mutex and has closed its own descriptor."""
    # A descriptor of its own: converting a shared lock would succeed although a forked child holds it too.
    fd = open_lock(path)
    try:
        return _try(fd, fcntl.LOCK_EX)
    finally:
        os.close(fd)


def _try(fd: int, operation: int) -> bool:
    try:
        fcntl.flock(fd, operation | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
