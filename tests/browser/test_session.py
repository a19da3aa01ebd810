"""A session's page in a real browser: the line, the bands, the numbers of the endpoint, the way back."""

import time
from collections.abc import Callable
from urllib.parse import parse_qs, urlsplit

import msgspec
import pytest
from playwright.sync_api import expect

from tests.browser.conftest import Open
from tests.browser.seen import drawn, sideways
from tests.harness.server import ServerProcess
from tests.web.examples import HOSTILE


@pytest.fixture
def client(past: ServerProcess) -> Callable[[str], int]:
    """Send a session of a few minutes; returns when it began, epoch milliseconds."""

    def send(name: str) -> int:
        begin = int(time.time() * 1000) - 600_000
        lines = [
            {
                "session": name,
                "seq": place,
                "time": begin + place * 5000,
                "cpu": 20 + 40 * (place % 3),
                "version": "6.04",
            }
            for place in range(1, 60)
        ]
        bracket = {"session": name, "event": "indexing"}
        lines.insert(0, {**bracket, "seq": 0, "time": begin, "phase": "begin", "properties": {"files": HOSTILE}})
        lines.append({**bracket, "seq": 60, "time": begin + 300_000, "phase": "end"})
        body = b"".join(msgspec.json.encode(line) + b"\n" for line in lines)
        assert past.client.post_lines(body, path="/sessions").json()["accepted"] == len(lines)
        return begin

    return send


def test_it_shows_what_the_endpoint_has(past: ServerProcess, look: Open, client: Callable[[str], int]) -> None:
    client("shown-session")
    page = look(f"{past.url}/sessions/shown-session")
    assert drawn(page, ".plot path.line") == 2, "the line, and what of it is over the threshold"
    assert drawn(page, ".plot .band") == 1
    page.locator("#samples summary").click()
    cpus = page.locator("#samples tbody data").evaluate_all("all => all.map(each => Number(each.value))")
    rows = past.client.get("/sessions/shown-session").json()["rows"]
    assert cpus == [row["cpu"] for row in rows if row["cpu"] is not None]
    page.locator(".plot .band").hover()
    expect(page.locator(".told")).to_contain_text(f"files: {HOSTILE}")
    expect(page.get_by_role("heading", level=1)).to_have_text("shown-session")


def test_dragging_zooms_and_a_link_leads_back(past: ServerProcess, look: Open, client: Callable[[str], int]) -> None:
    begin = client("zoomed-session")
    page = look(f"{past.url}/sessions/zoomed-session?threshold=50")
    box = page.locator(".plot").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + 60)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.75, box["y"] + 60, steps=4)
    with page.expect_navigation():
        page.mouse.up()
    query = parse_qs(urlsplit(page.url).query)
    assert query["threshold"] == ["50"]
    rows = past.client.get("/sessions/zoomed-session", from_=query["from"][0], to=query["to"][0]).json()["rows"]
    page.locator("#samples summary").click()
    expect(page.locator("#samples tbody tr")).to_have_count(sum(row["cpu"] is not None for row in rows))
    assert 5 < len(rows) < 30
    report = page.get_by_role("link", name="CPU report").last.get_attribute("href") or ""
    assert parse_qs(urlsplit(report).query) == {**query}
    page.get_by_role("link", name="The whole session").click()
    page.locator("#samples summary").click()
    expect(page.locator("#samples tbody tr")).to_have_count(59)
    assert begin


@pytest.mark.parametrize("width", [320, 390])
def test_it_fits_a_phone(past: ServerProcess, look: Open, client: Callable[[str], int], width: int) -> None:
    client("a-session-with-a-rather-long-name-" * 4)
    page = look(f"{past.url}/sessions/{'a-session-with-a-rather-long-name-' * 4}", width=width, color_scheme="dark")
    for summary in page.locator("details > summary").all():
        summary.click()
    assert sideways(page) == 0


def test_it_needs_no_script(past: ServerProcess, look: Open, client: Callable[[str], int]) -> None:
    client("plain-session")
    page = look(f"{past.url}/sessions/plain-session", java_script_enabled=False)
    expect(page.locator(".plot")).to_be_visible()
    page.locator("#events summary").click()
    expect(page.locator("#events")).to_contain_text("indexing")
