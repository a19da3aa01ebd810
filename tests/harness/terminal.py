"""A terminal for programs: what they show to people."""

import contextlib
import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from collections.abc import Mapping, Sequence

from tests.harness.server import REPOSITORY, environment

LINES = 24
_CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\r")


def on_a_terminal(
    arguments: Sequence[str], variables: Mapping[str, str], *, columns: int = 60, statuses: Sequence[int] = (0, 1)
) -> str:
    """What `python -m` of these shows on a terminal, with its control sequences."""
    controller, terminal = pty.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, columns, 0, 0))
    with subprocess.Popen(
        [sys.executable, "-m", *arguments],
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
        cwd=REPOSITORY,
        env=environment({"TERM": "xterm-256color", **variables}),
    ) as process:
        os.close(terminal)
        shown = b""
        with contextlib.suppress(OSError):  # what a terminal says at its end
            while data := os.read(controller, 65_536):
                shown += data
        assert process.wait(60) in statuses
    os.close(controller)
    return shown.decode()


def plain(shown: str) -> list[str]:
    """Its lines, without control sequences."""
    return _CONTROL.sub("", shown).splitlines()
