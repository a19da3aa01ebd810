"""The report's page in a real browser: sentence, icicle, tree; by keyboard, without a script, on a phone."""

from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, Route, expect

from collector.web import report
from tests.browser.conftest import Open
from tests.browser.seen import contrasts, drawn, focused, sideways
from tests.harness.server import ServerProcess
from tests.web.examples import node, worst
from tests.web.examples import report as example

Show = Callable[..., Page]


@pytest.fixture
def show(look: Open, past: ServerProcess) -> Show:
    """A report of known numbers, at the collector's address and under the policy of its pages."""

    def open_report(**options: object) -> Page:
        page = look("about:blank", watched=False, **options)
        trouble: list[str] = []
        page.on("console", lambda message: trouble.append(message.text))
        headers = {"Content-Type": "text/html; charset=utf-8", "Content-Security-Policy": report.look().policy}

        def answer(route: Route) -> None:
            route.fulfill(body=report.render(example()), headers=headers)

        page.route("**/reports/cpu*", answer)
        page.goto(f"{past.url}/reports/cpu")
        assert trouble == []
        return page

    return open_report


def test_the_sentence_the_icicle_the_tree_and_the_table(show: Show) -> None:
    page = show()
    expect(page.locator(".sentence")).to_have_text(example().sentence)
    assert drawn(page, ".icicle .cell") == 6
    widths = page.locator(".icicle .cell").evaluate_all("all => all.map(each => each.getBoundingClientRect().width)")
    assert widths[1] / widths[0] == pytest.approx(0.81, abs=0.01)
    expect(page.locator("#tree > .nodes > .node").first).to_have_attribute("open", "")
    expect(page.locator(".said", has_text=example().tree[0].children[0].sentence)).to_be_visible()
    page.locator(".said", has_text=example().tree[0].children[1].sentence).click()
    expect(page.get_by_role("link", name="Continue from here")).to_have_count(4)
    expect(page.locator("#table tbody tr")).to_have_count(6)


def test_cells_lead_on(show: Show) -> None:
    page = show()
    page.locator(".icicle a").nth(1).click()
    assert page.url.endswith("version=6.04")


def test_by_keyboard(show: Show) -> None:
    page = show()
    page.locator(".filters button").focus()
    for _ in range(3):  # the icicle's place may be one that scrolls
        page.keyboard.press("Tab")
        if example().sentence in focused(page):
            break
    with page.expect_navigation():
        page.keyboard.press("Enter")
    assert page.url.endswith(example().href)


def test_without_a_script(show: Show) -> None:
    page = show(java_script_enabled=False)
    assert page.locator(".icicle").is_visible()
    page.locator(".said", has_text=example().tree[1].sentence).click()
    expect(page.locator("#n-2 .facts")).to_be_visible()


@pytest.mark.parametrize("width", [320, 390])
def test_on_a_phone(show: Show, width: int) -> None:
    page = show(width=width)
    for summary in page.locator("details:not([open]) > summary").all():
        if summary.is_visible():
            summary.click()
    assert sideways(page) == 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_by_day_and_by_night(show: Show, scheme: str) -> None:
    page = show(color_scheme=scheme)
    wanted = {".sentence": 4.5, ".finding": 4.5, ".said": 4.5, ".times": 3, ".icicle .hot": 3}
    for selector, (least, ratio) in contrasts(page, wanted).items():
        assert ratio >= least, (scheme, selector, ratio)


def test_a_file_opens_by_itself(look: Open, tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    path.write_text(report.render_file(example(tree=[node(worst=[worst("a<b>")])])))
    page = look(path.as_uri())
    assert drawn(page, ".icicle .cell") == 2
    assert page.get_by_role("link").count() == 1, "the skip link"
    assert sideways(page) == 0
