"""A real browser: Debian's Chromium, driven by Playwright. Where one is missing, tests skip and say so."""

import contextlib
import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, sync_playwright

HOW_TO_GET = "no Chromium: apt-get install chromium"
ARGUMENTS = [
    "--no-sandbox",  # which root may not use
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@contextlib.contextmanager
def browser() -> Iterator[Browser]:
    """A browser with nothing in it, that talks to the loopback only."""
    program = shutil.which("chromium")
    if program is None:
        pytest.skip(HOW_TO_GET)
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=program, args=ARGUMENTS)
        try:
            yield started
        finally:
            started.close()
