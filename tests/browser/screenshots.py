"""`make screenshots`: the pictures of README.md, of a private collector with simulated traffic.

They look as they do there where the font Inter is installed (Debian: fonts-inter).
"""

import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Literal

from playwright.sync_api import Browser

from tests.browser.history import fill
from tests.documents import ROOT
from tests.harness.browser import browser
from tests.harness.engines import Engines
from tests.harness.server import ServerProcess, environment

WIDTH = 1200
MAX_BYTES = 300_000
HOURS = 26
LIVE_S = 45
"""Of traffic while the page is open, for the curve of what comes in."""
REPORT_MS = 4000
PICTURES = {"page": ("/", 1440), "report": ("/reports/cpu", 1180)}
"""By name: a page, and how much of its height is shown."""


def main() -> None:
    engines = Engines()
    engine = engines.best()
    if engine is None:
        sys.exit("screenshots: no PostgreSQL")
    try:
        with engine.database() as url, tempfile.TemporaryDirectory() as folder, browser() as chromium:
            fill(url, time.time(), HOURS)
            with ServerProcess(url, Path(folder) / "collector.log") as server:
                _live(server)
                _take(chromium, server, "light")
                _take(chromium, server, "dark")
    finally:
        engines.close()


def _live(server: ServerProcess) -> None:
    """Clients at their own pace: what they send in a minute does not stand out of the day."""
    command = [sys.executable, "-m", "simulation.cli", "sessions", "--url", server.url, "--quiet"]
    options = ["--rate", "90", "--clients", "40", "--duration", f"{LIVE_S}s", "--seed", "4"]
    subprocess.run([*command, *options], check=True, cwd=ROOT, env=environment({}))


def _take(chromium: Browser, server: ServerProcess, scheme: Literal["light", "dark"]) -> None:
    for name, (path, height) in PICTURES.items():
        page = chromium.new_page(
            viewport={"width": WIDTH, "height": height},
            color_scheme=scheme,
            locale="en-GB",
        )
        # The first look may be at a page whose report is still being made.
        for _ in range(2):
            page.goto(server.url + path)
            page.wait_for_load_state("networkidle")
            page.wait_for_timeout(REPORT_MS)
        target = ROOT / "docs" / (f"{name}.png" if scheme == "light" else f"{name}-{scheme}.png")
        page.screenshot(path=target)
        size = target.stat().st_size
        print(f"{target.relative_to(ROOT)}: {size:,} bytes")
        if size > MAX_BYTES:
            sys.exit(f"screenshots: {target.name} is larger than {MAX_BYTES:,} bytes")
        page.close()


if __name__ == "__main__":
    main()
