"""One browser for all tests here, a collector with a past, and pages that are watched."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from tests.browser.history import fill
from tests.harness.browser import Watch, browser
from tests.harness.engines import Engine
from tests.harness.server import ServerProcess

WAIT_MS = 60_000
"""For whatever a page does: far more than it takes."""
HOURS = 3

Open = Callable[..., Page]


@pytest.fixture(scope="package")
def chromium() -> Iterator[Browser]:
    """Not for longer than the tests here: while Playwright runs, this thread's event loop is its own."""
    with browser() as found:
        yield found


@pytest.fixture(scope="package")
def past(chromium: Browser, best_engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A collector with some hours of simulated traffic; nobody else writes into it but with names of their own."""
    log: Path = tmp_path_factory.mktemp("past") / "collector.log"
    with best_engine.database() as url:
        fill(url, time.time(), HOURS, clients=60)
        with ServerProcess(url, log) as server:
            yield server


@pytest.fixture
def look(chromium: Browser) -> Iterator[Open]:
    """Open pages: `look(url, width=…, color_scheme=…)`; at the end none of them had any trouble."""
    watches: list[Watch] = []
    contexts = []

    def open_page(url: str, *, width: int = 1200, height: int = 900, watched: bool = True, **options: Any) -> Page:
        context = chromium.new_context(viewport={"width": width, "height": height}, **options)
        contexts.append(context)
        context.set_default_timeout(WAIT_MS)
        page = context.new_page()
        watch = Watch(page, url)
        if watched:
            watches.append(watch)
        page.goto(url)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert [trouble for watch in watches for trouble in watch.trouble] == []
