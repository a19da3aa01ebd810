"""GET /reports/cpu for browsers: the numbers of its JSON, empty fields, and the built-in page's first sentence."""

from typing import Any
from urllib.parse import urlsplit

import msgspec
import pytest

from collector.report.question import Question
from collector.web import report
from tests.contract.driver import NDJSON, App, Clock, unique
from tests.harness.html import Page

HTML = "text/html"


@pytest.fixture(scope="module")
def hot(app: App) -> App:
    """Forty sessions of which those of one version run hot, but for a few."""
    at = int(app.clock.now * 1000)
    lines: list[dict[str, Any]] = []
    for number in range(40):
        bad = number % 4 == 0
        name = unique("hot")
        for seq in range(4):
            cpu = 80.0 if bad or number == 7 else 5.0
            lines.append(
                {"session": name, "seq": seq, "time": at + seq, "cpu": cpu, "version": "6.04" if bad else "6.03"}
            )
    body = b"".join(msgspec.json.encode(line) + b"\n" for line in lines)
    assert app.post(body, NDJSON, path="/sessions").summary()[0] == len(lines)
    app.clock.advance(60)
    return app


def shown(app: App, **parameters: Any) -> tuple[Page, dict[str, Any]]:
    answer = app.get("/reports/cpu", HTML, **parameters)
    assert (answer.status, answer.media_type) == (200, HTML), answer.body
    page = Page(answer.body.decode())
    page.check_alone(report.look())
    given = {name: value for name, value in parameters.items() if value != ""}
    document: dict[str, Any] = app.get("/reports/cpu", **given).json()
    return page, document


def test_its_numbers_are_those_of_its_json(hot: App) -> None:
    page, document = shown(hot)
    assert document["tree"], document
    assert document["sentence"] in page.text
    assert document["tree"][0]["sentence"] in page.text
    (table,) = [text for text in page.contents["table"] if "share outside" in text]
    assert "version = 6.04" in table
    values = [int(each["value"] or 0) for each in page.of("data") if (each["value"] or "").isdigit()]
    assert [document["sessions"], document["hot"]] == values[values.index(document["sessions"]) :][:2]


def test_links_go_on_and_keep_their_filters(hot: App) -> None:
    page, document = shown(hot)
    href = document["tree"][0]["href"]
    assert href in page.links()
    answer = hot.get("/reports/cpu", HTML, version="6.04")
    assert answer.status == 200
    further = Page(answer.body.decode())
    assert ("version", "6.04") in [(each.get("name"), each.get("value")) for each in further.of("input")]
    worst = urlsplit(document["worst"][0]["href"])
    assert hot.request("GET", worst.path, query=worst.query.encode(), headers={"Accept": HTML}).status == 200


def test_empty_fields_say_nothing(hot: App) -> None:
    shown(hot, where="", version="", to="")


def test_formats_by_link(hot: App) -> None:
    assert hot.get("/reports/cpu", format="text").body.startswith(b"Last 12 hours")
    assert hot.get("/reports/cpu", HTML, format="json").json()["sessions"] >= 40
    assert hot.get("/reports/cpu", format="csv").problem(400)
    assert hot.get("/reports/cpu", HTML, threshold="hot").media_type == HTML


def test_the_built_in_page_begins_with_its_sentence(best_database_url: str) -> None:
    with App(best_database_url, Clock()) as app:
        assert app.post(msgspec.json.encode({"session": "one", "cpu": 90.0}), path="/sessions").status == 204
        app.clock.advance(60)
        sentence = app.get("/reports/cpu").json()["sentence"]
        assert "1 session" in sentence
        # The first look may be at a page whose report is still being made, which then is there.
        app.call(app.service.cpu_report(Question()))
        assert any(sentence in Page(app.get("/", HTML).body.decode()).text for _ in range(5))
