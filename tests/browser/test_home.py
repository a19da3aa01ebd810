"""The built-in page in a real browser: drawn, right; usable without a mouse or a script, on a phone and at night."""

import json
import re
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import Page, expect

from collector.messages.payload import Payload
from tests.browser.conftest import WAIT_MS, Open
from tests.browser.seen import CONTRASTS, contrasts, drawn, focused, numbers, sideways
from tests.harness.server import ServerProcess
from tests.strategies import encoded
from tests.web.examples import HOSTILE

expect.set_options(timeout=WAIT_MS)
SECTIONS = ["traffic", "sessions", "customers", "contents", "cpu", "audience", "ingest"]
LONG = "a-customer-with-a-very-long-name-" * 7


def send(
    server: ServerProcess, customer: str, content: str = "film", cdn: int = 1000, token: str | None = None
) -> None:
    payload = Payload(token or f"{customer}/{content}"[:256], customer, content, 30_000, 10, cdn, 60_000)
    assert server.client.post(encoded(payload)).status == 204


def rows(server: ServerProcess, page: Page) -> list[dict[str, int | str]]:
    """What GET /stats has for the page's range and filters."""
    href = page.locator("#traffic .more a").get_attribute("href")
    assert href is not None
    found: list[dict[str, int | str]] = json.loads(server.client.get(href.replace("format=csv", "format=json")).body)[
        "rows"
    ]
    return found


@pytest.mark.parametrize("hours", [1, 24])
def test_charts_are_drawn_and_numbers_are_the_endpoints(past: ServerProcess, look: Open, hours: int) -> None:
    # Of a range that has ended, for more may come in meanwhile.
    begin = look(f"{past.url}/?hours={hours}").locator("#traffic .more a").get_attribute("href")
    query = parse_qs(urlsplit(begin or "").query)
    page = look(f"{past.url}/?from={query['from'][0]}&to={query['to'][0]}")
    for section in SECTIONS:
        expect(page.locator(f"#{section} h2")).to_be_visible()
    for chart in ("traffic", "sessions", "audience"):
        assert drawn(page, f"#{chart} .plot path") > 0, chart
    windows = rows(past, page)
    cdn, p2p, sessions = (sum(int(row[name]) for row in windows) for name in ("cdn", "p2p", "sessions"))
    assert sessions > 0
    assert numbers(page, "#tiles data")[:3] == [cdn + p2p, p2p, sessions]
    page.locator("#windows summary").click()
    table = numbers(page, "#windows tbody data")
    assert [sum(table[column::3]) for column in range(3)] == [cdn, p2p, sessions]
    page.locator("#sessions-table summary").click()
    assert sum(numbers(page, "#sessions-table tbody data")) == sessions
    for ranking in ("customers", "contents"):
        found = numbers(page, f"#{ranking} tbody data")
        assert [sum(found[0::2]), sum(found[1::2])] == [cdn + p2p, sessions]
    exported = past.client.get(page.locator("#traffic .more a").get_attribute("href") or "")
    assert exported.headers["content-disposition"] == 'attachment; filename="stats.csv"'
    assert exported.body.count(b"\r\n") == len(windows) + 1


def test_this_hour_is_the_endpoints(past: ServerProcess, look: Open) -> None:
    page = look(past.url)
    now = page.locator("#range time").get_attribute("datetime")
    hour = past.client.get("/analytics/range", from_=now, to=now).json()["rows"][0]
    found = numbers(page, "#audience .figures data")
    assert found[0::2] == [hour["unique_users"], hour["clicks"], hour["impressions"]]


def test_filters_by_form_and_by_link(past: ServerProcess, look: Open) -> None:
    send(past, "filter-me", "one")
    send(past, "filter-me", "two", 5000)
    page = look(past.url)
    page.get_by_label("Customer", exact=True).fill("filter-me")
    page.get_by_role("button", name="Show").click()
    expect(page.locator("#customers tbody tr")).to_have_count(1)
    assert parse_qs(urlsplit(page.url).query)["customer"] == ["filter-me"]
    assert numbers(page, "#tiles data")[0] == 6020
    page.locator("#contents").get_by_role("link", name="two").click()
    expect(page.get_by_label("Content", exact=True)).to_have_value("two")
    assert numbers(page, "#tiles data")[0] == 5010
    page.get_by_role("link", name="The last 6 hours").click()
    expect(page.get_by_label("Content", exact=True)).to_have_value("two")
    page.get_by_role("link", name="Clear").click()
    expect(page.get_by_label("Customer", exact=True)).to_have_value("")


@pytest.mark.parametrize("name", [HOSTILE, "שלום <b>", "🎬" * 60, LONG, "100% & more?x=1#y"])
def test_any_name_is_text(past: ServerProcess, look: Open, name: str) -> None:
    send(past, name, name, token=f"token {len(name)}")
    page = look(past.url, width=390)
    page.get_by_label("Customer", exact=True).fill(name)
    page.get_by_role("button", name="Show").click()
    link = page.locator("#customers tbody a")
    expect(link).to_have_text(name)
    assert sideways(page) == 0
    link.click()
    expect(page.get_by_label("Customer", exact=True)).to_have_value(name)
    assert page.evaluate("document.querySelectorAll('b, i').length") == 0


def test_it_renews_itself_and_keeps_what_is_open(past: ServerProcess, look: Open) -> None:
    send(past, "renewed", cdn=1000)
    page = look("about:blank", watched=False)
    page.clock.install()
    page.goto(f"{past.url}/?customer=renewed")
    page.locator("#windows summary").click()
    page.locator("#customers tbody a").focus()
    page.get_by_label("Content", exact=True).evaluate("field => { field.value = 'half typed'; }")
    send(past, "renewed", cdn=2000)
    with page.expect_response(lambda response: "customer=renewed" in response.url):
        page.clock.run_for(11_000)
    page.clock.resume()
    expect(page.locator("#tiles data").first).to_have_attribute("value", "3020")
    expect(page.locator("#windows")).to_have_attribute("open", "")
    assert focused(page) == "renewed"
    expect(page.get_by_label("Content", exact=True)).to_have_value("half typed")


def test_it_can_be_paused(past: ServerProcess, look: Open) -> None:
    send(past, "paused", cdn=1000)
    page = look("about:blank", watched=False)
    page.clock.install()
    page.goto(f"{past.url}/?customer=paused")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.get_by_role("button", name="Pause").click()
    page.clock.run_for(60_000)
    assert asked == []
    with page.expect_response(lambda response: "customer=paused" in response.url):
        page.get_by_role("button", name="Go on").click()
        page.clock.run_for(11_000)


def test_it_says_when_the_collector_is_gone(
    chromium: object, best_database_url: str, serve: object, look: Open
) -> None:
    assert callable(serve)
    server: ServerProcess = serve(best_database_url)
    send(server, "gone")
    page = look("about:blank", watched=False)
    page.clock.install()
    page.goto(server.url)
    server.kill()
    page.clock.run_for(11_000)
    page.clock.resume()
    expect(page.get_by_role("alert")).to_have_text("The collector does not answer")
    expect(page.locator("#customers")).to_contain_text("gone")


def test_it_works_by_keyboard(past: ServerProcess, look: Open) -> None:
    send(past, "by-keyboard")
    page = look(past.url)
    page.keyboard.press("Tab")
    assert focused(page) == "Skip to the content"
    page.keyboard.press("Enter")
    assert page.url.endswith("#main")
    visited = []
    for _ in range(40):
        page.keyboard.press("Tab")
        visited.append(focused(page))
        assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") != "none", visited[-1]
        if visited[-1] == "Customer":
            break
    assert {"1\u202fh", "30\u202fd"} <= set(visited)
    page.keyboard.type("by-keyboard")
    page.keyboard.press("Enter")
    expect(page.locator("#customers tbody tr")).to_have_count(1)
    page.locator("#windows summary").focus()
    page.keyboard.press("Enter")
    expect(page.locator("#windows table")).to_be_visible()


def test_it_works_without_a_script(past: ServerProcess, look: Open) -> None:
    send(past, "no-script")
    page = look(past.url, java_script_enabled=False)
    expect(page.locator("#traffic .plot").first).to_be_visible()
    expect(page.get_by_role("link", name="Reload")).to_be_visible()
    page.get_by_label("Customer", exact=True).fill("no-script")
    page.get_by_role("button", name="Show").click()
    expect(page.locator("#customers tbody tr")).to_have_count(1)
    page.locator("#windows summary").click()
    expect(page.locator("#windows table")).to_be_visible()


def test_pointing_tells_and_dragging_zooms(past: ServerProcess, look: Open) -> None:
    page = look(past.url)
    box = page.locator("#traffic .plot").first.bounding_box()
    assert box is not None
    y = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + box["width"] - 30, y)
    expect(page.locator(".told")).to_contain_text("CDN")
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] - 200, y, steps=4)
    expect(page.locator(".brush")).to_be_visible()
    with page.expect_navigation():
        page.mouse.up()
    query = parse_qs(urlsplit(page.url).query)
    assert {"from", "to"} == query.keys()
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d[05]:00Z", times[0]) for times in query.values())
    expect(page.locator("#traffic .plot").first).to_be_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_can_be_read_by_day_and_by_night(past: ServerProcess, look: Open, scheme: str) -> None:
    page = look(past.url, color_scheme=scheme)
    for selector, (least, ratio) in contrasts(page, CONTRASTS).items():
        assert ratio >= least, (scheme, selector, ratio)
    light = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, re.findall(r"\d+", light))) > 384) == (scheme == "light")


@pytest.mark.parametrize("path", ["/", "/?hours=1", "/docs", "/nowhere", "/?customer=nobody"])
@pytest.mark.parametrize("width", [320, 390, 768])
def test_nothing_is_wider_than_the_screen(past: ServerProcess, look: Open, path: str, width: int) -> None:
    page = look(f"{past.url}{path}", width=width, watched=path != "/nowhere")  # a browser logs a 404 as an error
    for summary in page.locator("main details.fold > summary").all():
        summary.click()
    assert sideways(page) == 0


@pytest.mark.parametrize("path", ["/", "/docs"])
def test_signing_out(past: ServerProcess, look: Open, path: str) -> None:
    """The policy lets the form go, and the cookie is gone afterwards."""
    page = look(f"{past.url}{path}", width=390)
    button = page.get_by_role("button", name="Sign out")
    expect(button).to_have_count(0)
    page.context.add_cookies([{"name": "collector_key", "value": "ck_a", "url": past.url, "httpOnly": True}])
    page.reload()
    assert sideways(page) == 0
    with page.expect_navigation():
        button.click()
    assert urlsplit(page.url).path == "/", "no keys are asked for here: past the form"
    expect(button).to_have_count(0)
    assert page.context.cookies() == []
