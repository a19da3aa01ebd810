"""What an answer looks like: a link's `format` goes before `Accept`, and one that is not offered is told."""

import pytest

from tests.contract.driver import App, payload, unique

CSV, NDJSON, JSON = "text/csv", "application/x-ndjson", "application/json"


@pytest.mark.parametrize(
    ("accept", "given", "media_type"),
    [
        (None, None, JSON),
        ("*/*", None, JSON),
        (CSV, None, CSV),
        (NDJSON, None, NDJSON),
        ("text/csv;q=0.5, application/json", None, JSON),
        ("text/html,*/*;q=0.8", None, JSON),
        ("image/png", None, JSON),
        ("text/html", "csv", CSV),
        (CSV, "json", JSON),
        (None, "ndjson", NDJSON),
    ],
)
def test_stats(app: App, accept: str | None, given: str | None, media_type: str) -> None:
    customer = unique("format")
    app.single(payload(customer))
    answer = app.get("/stats", accept, customer=customer, format=given)
    assert (answer.status, answer.media_type) == (200, media_type)
    assert ("content-disposition" in answer.headers) == (given == "csv")
    assert "Accept" in answer.headers["vary"]


@pytest.mark.parametrize("path", ["/stats", "/analytics/range", "/sessions/a"])
def test_what_is_not_offered_is_told(app: App, path: str) -> None:
    detail = app.get(path, format="xml").problem(400)["detail"]
    assert "json" in str(detail)


def test_hours_as_a_file(app: App) -> None:
    answer = app.get("/analytics/range", format="csv")
    assert answer.media_type == CSV
    assert answer.headers["content-disposition"] == 'attachment; filename="analytics.csv"'


def test_a_page_of_csv_names_the_next_one(app: App) -> None:
    customer = unique("paged")
    for content in ("a", "b"):
        app.single(payload(customer, content=content))
    answer = app.get("/stats", customer=customer, limit=1, format="csv")
    assert "format=csv" in answer.headers["link"]
