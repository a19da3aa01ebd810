"""The page made of the OpenAPI document: whole, self-contained, and safe whatever is in the document or in a header."""

import re
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
from tests.harness.html import Page

HERE = "http://collector.example:8080"


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


def test_it_carries_what_it_needs(page: Page) -> None:
    page.check_alone(look())


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
