"""What the operating system knows about a process."""

import contextlib
import ctypes
import os
import select
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

# Only where the kernel offers no event to wait for.
POLL_S = 0.02
PROC = Path("/proc")
PR_SET_PDEATHSIG = 1
"""As <linux/prctl.h> has it."""


def alive(pid: int) -> bool:
    """Whether the process runs; one that has ended and waits for its parent to notice does not."""
    # In a container the caller may be process 1, to which PostgreSQL falls when its launcher ends, and must bury it.
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    try:
        state = (PROC / str(pid) / "stat").read_bytes().rpartition(b") ")[2][:1]
    except OSError:
        return not PROC.joinpath("self").exists()
    return state not in b"ZX"


def command_line(pid: int) -> list[str] | None:
    """The words of a process's command line, which PostgreSQL's children rewrite; None where it cannot be told."""
    try:
        return (PROC / str(pid) / "cmdline").read_text(errors="surrogateescape").rstrip("\0").split("\0")
    except OSError:
        return None


def owner(pid: int) -> int | None:
    """The user a process runs as; None where it cannot be told."""
    try:
        return (PROC / str(pid)).stat().st_uid
    except OSError:
        return None


def every_pid() -> Iterator[int]:
    """All processes that can be seen; none without /proc."""
    with contextlib.suppress(OSError):
        for entry in PROC.iterdir():
            if entry.name.isdigit():
                yield int(entry.name)


def send(pid: int, number: signal.Signals) -> None:
    """Signals a process, unless it has ended."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def await_end(pid: int, timeout_s: float) -> bool:
    """Waits for a process, not necessarily a child, to end; False when time is up first."""
    deadline = time.monotonic() + timeout_s
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    except (AttributeError, OSError):
        return poll_until(lambda: not alive(pid), deadline)
    try:
        waiter = select.poll()
        waiter.register(handle, select.POLLIN)
        ended = bool(waiter.poll(max(0.0, timeout_s) * 1000))
    finally:
        os.close(handle)
    return ended or not alive(pid)


def poll_until(condition: Callable[[], bool], deadline: float) -> bool:
    """Asks again and again until `condition` holds, or until `deadline` on the monotonic clock: then False."""
    while not condition():
        if time.monotonic() >= deadline:
            return False
        time.sleep(POLL_S)
    return True


def ends_with_parent() -> Callable[[], None] | None:
    """What a child calls to get SIGTERM from the kernel at its parent's death, so that it is not left over; None where
    there is no such thing. Made before a fork, it may be called after it.
    """
    if sys.platform != "linux":
        return None
    libc = ctypes.CDLL(None)
    return lambda: libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
