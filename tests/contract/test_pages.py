"""Every page that there is: it loads nothing from outside, under a strict Content-Security-Policy."""

import re
from collections.abc import Iterator

import pytest

from collector.access.entrance import OPEN
from collector.commands.keyring import create
from collector.database.chosen import Database
from tests.contract.driver import Answer, App, running
from tests.harness.engines import Engine

BROWSER = {"Accept": "text/html,application/xhtml+xml;q=0.9,*/*;q=0.8"}
LOADS = re.compile(
    r"""<(?:script|img|link|iframe|object|embed|source|video|audio)\b[^>]*?\b(?:src|href|data)=["']?([^"'\s>]+)"""
)
IN_STYLES = re.compile(r"""(?:url\(|@import)\s*["']?([^"')\s;]+)""")


@pytest.fixture(scope="module", params=["on", "off"], ids=["keys", "no keys"])
def asked(request: pytest.FixtureRequest, best_engine: Engine) -> Iterator[tuple[App, dict[str, str]]]:
    """With and without keys: an application, and headers that let a reader in."""
    with best_engine.database() as url, running(url, api_keys=request.param) as app:
        key = create(Database(url), "reader", "read", None).key
        yield app, {"Authorization": f"Bearer {key}"} if request.param == "on" else {}


def pages(app: App, headers: dict[str, str]) -> Iterator[tuple[str, Answer]]:
    """Everything that a browser gets HTML for, let in or not."""
    described = app.get("/openapi.json").json()["paths"]
    for path in {"/", "/docs", "/nowhere", *OPEN, *described}:
        for shown in ({}, headers):
            answer = app.request("GET", path.replace("{", "").replace("}", ""), headers={**BROWSER, **shown})
            if answer.media_type == "text/html":
                yield path, answer


def test_pages_load_nothing_from_outside_under_a_strict_policy(asked: tuple[App, dict[str, str]]) -> None:
    found = set()
    for path, answer in pages(*asked):
        found.add(path)
        policy = directives(answer.headers["content-security-policy"])
        assert policy["default-src"] in (["'none'"], ["'self'"]), path
        assert policy.get("base-uri") == ["'none'"], path
        assert policy.get("frame-ancestors") == ["'none'"], path
        for name, sources in policy.items():
            for source in sources:
                assert re.fullmatch(r"'none'|'self'|'sha(256|384|512)-[\w+/=]+'|data:", source), (path, name, source)
            assert "data:" not in sources or name == "img-src", (path, name)
        text = answer.body.decode()
        for target in [*LOADS.findall(text), *IN_STYLES.findall(text)]:
            assert target.startswith(("data:image/", "#")) or re.match(r"/[^/\\]", target), (path, target)
    assert "/docs" in found
    assert "/login" in found or not asked[1]


def directives(policy: str) -> dict[str, list[str]]:
    return {name: sources for name, *sources in (part.split() for part in policy.split(";") if part.strip())}
