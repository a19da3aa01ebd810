"""One browser for all tests here."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser

from tests.harness.browser import browser


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    with browser() as found:
        yield found
