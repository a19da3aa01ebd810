"""A real browser: Debian's Chromium, driven by Playwright. Where one is missing, tests skip and say so."""

import contextlib
import os
import shutil
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

REQUIRED = "COLLECTOR_TEST_CHROMIUM_REQUIRED"
"""Set where a test that cannot run is a failure."""
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
        if os.environ.get(REQUIRED):
            pytest.fail(HOW_TO_GET)
        pytest.skip(HOW_TO_GET)
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=program, args=ARGUMENTS)
        try:
            yield started
        finally:
            started.close()


class Watch:
    """What goes wrong in a page while nobody looks: errors, refused content, requests to other hosts."""

    def __init__(self, page: Page, url: str) -> None:
        self.trouble: list[str] = []
        self._host = urlsplit(url).netloc
        page.on("console", lambda message: self._said(message.type, message.text))
        page.on("pageerror", lambda error: self.trouble.append(str(error)))
        page.on("request", lambda request: self._asked(request.url))

    def _said(self, kind: str, text: str) -> None:
        if kind in ("error", "warning"):
            self.trouble.append(text)

    def _asked(self, url: str) -> None:
        if not url.startswith(("data:", "blob:")) and urlsplit(url).netloc != self._host:
            self.trouble.append(f"a request to {url}")
