"""GET /sessions/{session} for browsers: the messages of the endpoint as a page, with links back to the report."""

from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

import msgspec
import pytest

from collector.web import session
from tests.contract.driver import BEGIN_S, NDJSON, App, unique
from tests.harness.html import Page
from tests.web.examples import HOSTILE

HTML = "text/html"


def store(app: App, name: str, samples: int = 5) -> None:
    at = int(app.clock.now * 1000)
    lines: list[dict[str, Any]] = [
        {"session": name, "seq": 0, "time": at, "event": "indexing", "phase": "begin", "properties": {"files": 8}}
    ]
    lines += [
        {"session": name, "seq": place, "time": at + place * 1000, "cpu": 10.5 * place} for place in range(1, samples)
    ]
    lines.append({"session": name, "seq": samples, "time": at + samples * 1000, "event": "indexing", "phase": "end"})
    body = b"".join(msgspec.json.encode(line) + b"\n" for line in lines)
    answer = app.post(body, NDJSON, path="/sessions")
    assert answer.summary()[0] == samples + 1, answer.body


def shown(app: App, name: str, **parameters: object) -> Page:
    answer = app.get(f"/sessions/{name}", HTML, **parameters)
    assert (answer.status, answer.media_type) == (200, HTML), answer.body
    page = Page(answer.body.decode())
    page.check_alone(session.look())
    return page


@pytest.mark.parametrize("kind", ["plain", HOSTILE, "with/slashes/..", "%41 #?&", "שלום"])
def test_its_numbers_are_the_endpoints(app: App, kind: str) -> None:
    name = f"{kind}{unique('session')}"
    store(app, name)
    page = shown(app, name)
    assert name in page.contents["h1"]
    rows = app.get(f"/sessions/{name}").json()["rows"]
    values = [float(each["value"] or "") for each in page.of("data")]
    assert values == [row["cpu"] for row in rows if row["cpu"] is not None]
    assert "indexing" in page.text
    assert "files: 8" in page.text
    (data,) = [href for href in page.links() if href.endswith("format=json")]
    assert urlsplit(data).path == f"/sessions/{quote(name, safe='')}"


def test_range_and_threshold_are_kept_on_the_way_back(app: App) -> None:
    name = unique("way")
    store(app, name, 10)
    at = int(app.clock.now)
    page = shown(app, name, from_=(at + 2) * 1000, to=(at + 5) * 1000, threshold=12)
    assert len(page.of("data")) == 3
    (report,) = [urlsplit(href) for href in page.links() if href.startswith("/reports/cpu?")]
    assert parse_qs(report.query)["threshold"] == ["12"]
    assert {"from", "to"} <= parse_qs(report.query).keys()
    assert [each for each in page.of("path") if each.get("class") == "threshold"]


def test_nothing_is_known(app: App) -> None:
    assert "Nothing is known" in shown(app, unique("nobody")).text
    name = unique("elsewhen")
    store(app, name)
    assert "Nothing is known" in shown(app, name, to=int(BEGIN_S * 1000) - 1).text


@pytest.mark.parametrize(
    "parameters", [{"threshold": -1}, {"threshold": "nan"}, {"threshold": "hot"}, {"from_": "x"}, {"q": 1}]
)
def test_bad_parameters(app: App, parameters: dict[str, Any]) -> None:
    answer = app.get("/sessions/a", HTML, **parameters)
    assert (answer.status, answer.media_type) == (400, HTML)
    assert app.get("/sessions/a", **parameters).problem(400)
