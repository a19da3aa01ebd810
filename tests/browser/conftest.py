"""One browser for all tests here."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser

from tests.harness.browser import browser


@pytest.fixture(scope="package")
def chromium() -> Iterator[Browser]:
    """Playwright keeps an event loop running in this thread; tests elsewhere run their own, so it ends with ours."""
    with browser() as found:
        yield found
