"""Query parameters: a misspelt or repeated one is told, and so is a text that cannot be stored."""

from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st
from litestar import Request

from collector.errors import BadRequest
from collector.http.parameters import known_only, of_form, storable
from tests.strategies import texts

NAMES = {"customer", "from", "limit"}


def request(query: bytes) -> Request[Any, Any, Any]:
    return Request({"type": "http", "method": "GET", "path": "/", "query_string": query, "headers": []})  # type: ignore[arg-type]


@given(st.lists(st.sampled_from(sorted(NAMES)), unique=True), texts)
def test_known_ones_are_taken_once_each_whatever_their_value(names: list[str], value: str) -> None:
    known_only(request(urlencode([(name, value) for name in names]).encode()), NAMES)


@given(texts)
def test_unknown_ones_are_named_with_those_that_are_known(name: str) -> None:
    if name in NAMES:
        return
    with pytest.raises(BadRequest) as caught:
        known_only(request(urlencode([("limit", "1"), (name, "x")]).encode()), NAMES)
    assert repr(name[:40]) in caught.value.detail
    assert "customer, from, limit" in caught.value.detail
    assert len(caught.value.detail) < 600


def test_twice_is_once_too_often() -> None:
    with pytest.raises(BadRequest, match="limit: given more than once"):
        known_only(request(b"limit=1&customer=x&limit=1"), NAMES)


@given(texts)
def test_any_text_that_can_be_stored_is_itself(text: str) -> None:
    assert storable(text, "customer") == text
    assert storable(None, "customer") is None


@given(st.text(), st.sampled_from(["\0", "\ud800", "\udfff"]), st.text())
def test_nul_and_surrogates_are_refused(before: str, bad: str, after: str) -> None:
    with pytest.raises(BadRequest, match=r"^customer: "):
        storable(before + bad + after, "customer")


def test_a_form_says_nothing_in_empty_fields_and_means_utc() -> None:
    query = b"from=2026-01-01T12%3A00&to=2026-01-01T12%3A00%3A30&customer=2026-01-01T12%3A00&content=&hours="
    assert sorted(of_form(request(query))) == [
        ("customer", "2026-01-01T12:00"),
        ("from", "2026-01-01T12:00:00Z"),
        ("to", "2026-01-01T12:00:30Z"),
    ]
    assert of_form(request(b"from=2026-01-01T12%3A00%2B01%3A00")) == [("from", "2026-01-01T12:00+01:00")]
