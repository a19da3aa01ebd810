"""Logs: an event is a line, whatever is in its fields, by whatever library, and secrets are in none."""

import json
import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.logs import printable

REPOSITORY = Path(__file__).resolve().parent.parent
NASTY = "a\r\nlevel=critical event=forged\n\x1b[2J\x00\x85\u2028b"
SECRET = "hunter2-in-the-password"
PROGRAM = f"""
import logging, sys, structlog
from collector import logs
from collector.settings import load
logs.configure(load({{}}, log_level="debug"))
log = structlog.get_logger()
nasty = {NASTY!r}
log.warning("nasty", why=nasty, **{{"path": "/" + nasty}})
logging.getLogger("asyncio").error("from elsewhere %s", nasty)
def fail(password):
    raise ValueError("told " + nasty)
try:
    fail({SECRET!r})
except ValueError:
    log.exception("failed", source=nasty)
    logging.getLogger("other").exception("failed elsewhere")
log.info("last")
"""


def run(*, terminal: bool) -> str:
    """What the program logs."""
    command = [sys.executable, "-c", PROGRAM]
    if not terminal:
        done = subprocess.run(command, capture_output=True, check=True, cwd=REPOSITORY)
        assert not done.stdout
        return done.stderr.decode()
    ours, theirs = pty.openpty()
    with subprocess.Popen(command, stderr=theirs, cwd=REPOSITORY) as process:
        os.close(theirs)
        parts = []
        while True:
            try:
                data = os.read(ours, 65_536)
            except OSError:
                break
            if not data:
                break
            parts.append(data)
        assert process.wait(30) == 0
    os.close(ours)
    return b"".join(parts).decode().replace("\r\n", "\n")


def test_elsewhere_an_event_is_a_line_of_json() -> None:
    events = [json.loads(line) for line in run(terminal=False).splitlines()]
    assert [event["event"].split()[0] for event in events] == ["nasty", "from", "failed", "failed", "last"]
    assert [event["level"] for event in events] == ["warning", "error", "error", "error", "info"]
    assert r"\r\nlevel=critical" in events[0]["why"]
    assert "Traceback" in events[2]["exception"]
    assert "Traceback" in events[3]["exception"]


def test_on_a_terminal_an_event_is_a_line_and_moves_no_cursor() -> None:
    text = re.sub(r"\x1b\[[0-9;]*m", "", run(terminal=True))  # its colours
    assert "\x1b" not in text
    assert "\r" not in text
    lines = text.splitlines()
    assert "nasty" in lines[0]
    assert "from elsewhere" in lines[1]
    assert not any(line.startswith("level=critical") for line in lines[:2])
    assert "last" in lines[-1]
    assert "Traceback (most recent call last):" in text


@pytest.mark.parametrize("terminal", [True, False])
def test_a_traceback_does_not_show_what_variables_hold(terminal: bool) -> None:
    assert SECRET not in run(terminal=terminal)


@given(st.text())
def test_every_text_is_printable(text: str) -> None:
    event = printable(None, "", {"event": "x", "why": text, "count": 1})
    assert event["why"].isprintable()
    assert event["why"] == text or not text.isprintable()
