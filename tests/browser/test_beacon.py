"""Pages of another origin in a real browser: what the recipe shows arrives, and what is not allowed is not seen."""

import http.server
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest
from playwright.sync_api import Browser, Error, Page

from collector import processes
from tests.conftest import Serve
from tests.documents import ROOT, blocks
from tests.harness.server import ServerProcess

ARRIVES_S = 60.0
RECIPES = ROOT / "docs" / "recipes.md"
HTML = b"<!doctype html><title>A shop</title><p>A page of another origin"


@pytest.fixture(scope="module")
def shop() -> Iterator[str]:
    """The origin of a site of its own."""

    class Site(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.send_header("Content-Length", str(len(HTML)))
            self.end_headers()
            self.wfile.write(HTML)

        def log_message(self, *_: Any) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Site) as site:
        thread = threading.Thread(target=site.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{site.server_port}"
        finally:
            site.shutdown()
            thread.join()


class Visit:
    """A page of the shop that has the recipe's script, and the collector it sends to."""

    def __init__(self, page: Page, server: ServerProcess, shop: str) -> None:
        self.page = page
        self.server = server
        (script,) = [block.text for block in blocks(RECIPES) if block.language == "js"]
        assert "http://127.0.0.1:8080" in script
        page.goto(shop)
        page.add_script_tag(content=script.replace("http://127.0.0.1:8080", server.url))

    def run(self, script: str) -> Any:
        """Evaluate it; a promise is awaited. Raises playwright's Error."""
        return self.page.evaluate(script)

    def stored(self, token: str) -> int:
        """Payloads with this token."""
        with psycopg.connect(self.server.database_url) as connection:
            row = connection.execute("SELECT count(*) FROM payload WHERE token = %s", (token,)).fetchone()
        assert row is not None
        return int(row[0])

    def arrives(self, token: str) -> None:
        """Wait for it; nobody is told when a beacon is there."""
        eventually(lambda: self.stored(token) == 1, f"{token} did not arrive")


def eventually(condition: Callable[[], bool], what: str) -> None:
    assert processes.poll_until(condition, time.monotonic() + ARRIVES_S), what


Visiting = Callable[..., Visit]


@pytest.fixture
def visiting(chromium: Browser, shop: str, serve: Serve, best_database_url: str) -> Iterator[Visiting]:
    """`visiting("https://…")`: a collector that is open to these origins (`shop`: the shop's), and a page."""
    context = chromium.new_context()

    def visit(origins: str | None) -> Visit:
        setting = {} if origins is None else {"COLLECTOR_CORS_ORIGINS": origins.replace("SHOP", shop)}
        return Visit(context.new_page(), serve(best_database_url, **setting), shop)

    yield visit
    context.close()


def payload(token: str) -> str:
    return (
        f'{{token: "{token}", customer: "shop", content: "film7", timespan: 30000, p2p: 1, cdn: 2, sessionDuration: 1}}'
    )


def blob(server: ServerProcess, token: str) -> str:
    """A beacon with a type of its own."""
    return (
        f'navigator.sendBeacon("{server.url}/stats", '
        f'new Blob([JSON.stringify({payload(token)})], {{type: "application/json"}}))'
    )


def test_the_recipe(visiting: Visiting) -> None:
    visit = visiting("https://other.example,SHOP")
    visit.run('click("Ann & Ben")')
    visit.run(f"measured({payload('string')})")
    visit.run(f"stored({payload('fetched')}, 'key-1')")
    assert visit.stored("fetched") == 1
    visit.run(f"stored({payload('fetched')}, 'key-1')")  # again, under its key
    assert visit.stored("fetched") == 1
    visit.run(blob(visit.server, "blob"))
    for token in ("string", "blob"):
        visit.arrives(token)
    now_ms = int(visit.run("Date.now()"))
    eventually(
        lambda: b"clicks,1" in visit.server.client.get("/analytics", timestamp=now_ms).body, "the click did not arrive"
    )
    with psycopg.connect(visit.server.database_url) as connection:
        assert connection.execute('SELECT "user", kind FROM hit').fetchall() == [("Ann & Ben", "click")]


def test_a_refusal_is_seen_by_an_allowed_page(visiting: Visiting) -> None:
    with pytest.raises(Error, match="token"):
        visiting("SHOP").run("stored({customer: 'shop'}, 'key-2')")


def test_the_last_word_of_a_page_that_is_left(visiting: Visiting) -> None:
    visit = visiting("SHOP")
    visit.run(f"last = {payload('left')}")
    visit.page.goto("about:blank")
    visit.arrives("left")


def test_the_last_word_of_a_page_that_is_closed(visiting: Visiting) -> None:
    visit = visiting("SHOP")
    visit.run(f"last = {payload('closed')}")
    visit.page.close(run_before_unload=True)
    visit.arrives("closed")


@pytest.mark.parametrize("origins", [None, "https://other.example"])
def test_a_page_that_is_not_allowed(visiting: Visiting, origins: str | None) -> None:
    visit = visiting(origins)
    with pytest.raises(Error, match="Failed to fetch"):
        visit.run(f"stored({payload('fetched')}, 'key-1')")
    visit.run(blob(visit.server, "blob"))
    visit.run(f"measured({payload('string')})")
    with pytest.raises(Error, match="Failed to fetch"):
        visit.run(f"fetch('{visit.server.url}/stats')")
    # Beacons go out in their order, and the click, which is like a form's, is the last.
    visit.run('click("stranger")')
    eventually(lambda: "stranger" in _users(visit.server), "the click did not arrive")
    assert [visit.stored(token) for token in ("fetched", "blob", "string")] == [0, 0, 0]


def test_any_page_may_send_strings_and_fetch(visiting: Visiting) -> None:
    visit = visiting("*")
    visit.run(f"stored({payload('fetched')}, 'key-1')")
    visit.run(f"measured({payload('string')})")
    visit.run(blob(visit.server, "blob"))
    visit.run('click("anybody")')
    visit.arrives("string")
    eventually(lambda: "anybody" in _users(visit.server), "the click did not arrive")
    assert [visit.stored(token) for token in ("fetched", "blob")] == [1, 0]


def test_what_may_post_may_not_read(visiting: Visiting) -> None:
    visit = visiting("SHOP")
    for path in ("/stats", "/metrics", "/health/ready"):
        with pytest.raises(Error, match="Failed to fetch"):
            visit.run(f"fetch('{visit.server.url}{path}')")


def _users(server: ServerProcess) -> list[str]:
    with psycopg.connect(server.database_url) as connection:
        return [user for (user,) in connection.execute('SELECT "user" FROM hit').fetchall()]
