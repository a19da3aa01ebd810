"""The page made of the OpenAPI document: whole, self-contained, and safe whatever is in the document or in a header."""

import base64
import hashlib
import re
from html.parser import HTMLParser
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from litestar import Request
from litestar.testing import RequestFactory

from collector.openapi import document
from collector.openapi.ingest import BASE
from collector.openapi.page import look, render
from collector.routes.docs import address
from collector.routes.health import live, ready
from collector.routes.metrics import metrics
from collector.routes.stats import get_stats
from collector.routes.streams import get_stream
from collector.web.layout import LINKS

HERE = "http://collector.example:8080"
VOID = {"meta", "link", "wbr", "br", "input"}


class Page(HTMLParser):
    """Elements with their attributes, ids and links; fails where a tag is not closed."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.contents: dict[str, list[str]] = {}
        self._open: list[str] = []
        self.feed(html)
        self.close()
        assert not self._open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self.contents.setdefault(tag, []).append("")
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        for tag in set(self._open):
            self.contents[tag][-1] += data

    def attributes(self, name: str) -> list[str]:
        return [value for _, attributes in self.elements if (value := attributes.get(name)) is not None]


@pytest.fixture(scope="module")
def described() -> dict[str, Any]:
    return document([get_stats, get_stream, live, ready, metrics])


@pytest.fixture(scope="module")
def page(described: dict[str, Any]) -> Page:
    return Page(render(described, HERE))


def test_every_operation_and_schema_has_its_place(page: Page, described: dict[str, Any]) -> None:
    ids = page.attributes("id")
    assert len(ids) == len(set(ids))
    operations = [operation for methods in described["paths"].values() for operation in methods.values()]
    assert {operation["operationId"] for operation in operations} <= set(ids)
    assert {f"schema-{name}" for name in described["components"]["schemas"]} <= set(ids)


def test_links_lead_somewhere(page: Page) -> None:
    """On the page, or to another one, or to the document; nowhere else."""
    ids = set(page.attributes("id"))
    links = [attributes["href"] for tag, attributes in page.elements if tag == "a"]
    assert links
    known = {"/openapi.json", *(href for href, _ in LINKS)}
    for link in links:
        assert link is not None
        assert link in known or (link[0] == "#" and link[1:] in ids), link


def test_nothing_is_loaded_from_elsewhere(page: Page) -> None:
    assert not page.attributes("src")
    (icon,) = [attributes["href"] or "" for tag, attributes in page.elements if tag == "link"]
    assert icon.startswith("data:")
    (style,) = page.contents["style"]
    assert "url(" not in style
    assert "@import" not in style
    assert not page.attributes("style")
    assert not [name for _, attributes in page.elements for name in attributes if name.startswith("on")]


def test_the_policy_allows_its_own_style_and_script_only(page: Page) -> None:
    allowed = dict(part.strip().split(" ", 1) for part in look().policy.split(";"))
    assert allowed["default-src"] == "'none'"
    for tag in ("style", "script"):
        (text,) = page.contents[tag]
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert allowed[f"{tag}-src"] == f"'sha256-{digest}'"


def test_samples_have_the_address_of_the_client(page: Page, described: dict[str, Any]) -> None:
    text = "".join(page.contents["pre"])
    assert BASE not in text
    samples = [
        sample["source"].replace(BASE, HERE)
        for methods in described["paths"].values()
        for operation in methods.values()
        for sample in operation["x-codeSamples"]
    ]
    assert samples
    for sample in samples:
        assert sample in page.contents["pre"]


HOSTILE = "</style></script><img src=x onerror=alert(1)>\"'&`{}"


def test_whatever_is_in_the_document_stays_text(described: dict[str, Any]) -> None:
    def hostile(value: Any, key: str = "") -> Any:
        if isinstance(value, dict):
            return {name: hostile(each, name) for name, each in value.items()}
        if isinstance(value, list):
            return [hostile(each, key) for each in value]
        return (
            value + HOSTILE if isinstance(value, str) and key not in ("$ref", "operationId", "name", "tags") else value
        )

    made = Page(render(hostile(described), HERE))
    assert "img" not in made.contents
    assert not [name for _, attributes in made.elements for name in attributes if name.startswith("on")]


def asked(**headers: str) -> Request[Any, Any, Any]:
    return RequestFactory(server="inside").get("/docs", headers=headers)


@pytest.mark.parametrize("host", ["127.0.0.1:8080", "collector.example", "[::1]:8080", "a-b.c_d:1"])
def test_the_address_is_the_host_that_was_asked(host: str) -> None:
    assert address(asked(host=host)) == f"http://{host}"
    assert address(asked(host=host, **{"x-forwarded-proto": "https"})) == f"https://{host}"


@pytest.mark.parametrize(
    "host",
    ["", "a b", "a;reboot", "$(reboot)", "`reboot`", "a'b", 'a"b', "<b>", "a/b", "a\\b", "a|b", "a&b", "a:b", "u@h"],
)
def test_a_host_that_could_do_harm_in_a_shell_is_not_shown(host: str) -> None:
    assert address(asked(host=host)) == BASE


@given(st.text(st.characters(min_codepoint=32, max_codepoint=126)))
def test_no_host_gets_out_of_its_word(host: str) -> None:
    assert re.fullmatch(r"https?://[A-Za-z0-9._:\[\]-]+", address(asked(host=host)))
