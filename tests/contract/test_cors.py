"""Web pages of other origins: which may post, what their browsers are told, and that nothing is readable for them."""

from collections.abc import Iterator

import pytest

from collector.endpoints import ENDPOINTS
from tests.contract.driver import NDJSON, Answer, App, Table, payload, running, unique
from tests.strategies import encoded

PAGE = "https://shop.example"
OTHER = "http://localhost:8000"
STRANGER = "https://stranger.example"
TEXT = "text/plain;charset=UTF-8"
GRANTS = "access-control-"


@pytest.fixture(scope="module")
def open_app(module_url: str) -> Iterator[App]:
    """Open to two origins."""
    with running(module_url, cors_origins=f"{PAGE}, {OTHER}") as app:
        yield app


@pytest.fixture(scope="module")
def public_app(module_url: str) -> Iterator[App]:
    """Open to all."""
    with running(module_url, cors_origins="*") as app:
        yield app


def ask(app: App, path: str, origin: str | None, method: str | None = "POST") -> Answer:
    """A preflight."""
    headers = {"Access-Control-Request-Headers": "content-type"}
    headers |= {"Origin": origin} if origin is not None else {}
    headers |= {"Access-Control-Request-Method": method} if method is not None else {}
    return app.request("OPTIONS", path, headers=headers)


def grants(answer: Answer) -> dict[str, str]:
    return {name.removeprefix(GRANTS): value for name, value in answer.headers.items() if name.startswith(GRANTS)}


@pytest.mark.parametrize("path", [endpoint.path for endpoint in ENDPOINTS])
def test_a_preflight_of_an_allowed_page_is_granted(open_app: App, path: str) -> None:
    for origin in (PAGE, OTHER, PAGE.upper().replace("HTTPS", "https")):
        answer = ask(open_app, path, origin)
        assert (answer.status, answer.body) == (204, b"")
        granted = grants(answer)
        assert granted["allow-origin"] == origin
        assert granted["allow-credentials"] == "true"
        assert granted["allow-methods"] == "POST"
        assert {"content-type", "idempotency-key", "stream-offset", "authorization"} <= set(
            granted["allow-headers"].split(", ")
        )
        assert int(granted["max-age"]) > 0
        assert answer.headers["vary"] == "Origin"


@pytest.mark.parametrize("origin", [STRANGER, "null", "https://shop.example:8443", "https://shop.example.evil", "é"])
def test_a_preflight_of_another_page_is_refused(open_app: App, origin: str) -> None:
    answer = ask(open_app, "/stats", origin)
    assert "COLLECTOR_CORS_ORIGINS" in answer.problem(403)["detail"]
    assert not grants(answer)


@pytest.mark.parametrize(("origin", "method"), [(None, "POST"), (PAGE, None), (None, None)])
def test_other_options_are_what_they_were(app: App, open_app: App, origin: str | None, method: str | None) -> None:
    for path in ("/stats", "/sessions"):
        assert ask(open_app, path, origin, method) == ask(app, path, origin, method)


def test_a_page_sees_the_answer_to_its_post(open_app: App, table: Table) -> None:
    customer = unique("page")
    for number in range(3):
        answer = open_app.single(payload(customer, number), origin=PAGE)
        assert answer.status == 204
        assert grants(answer)["allow-origin"] == PAGE
        assert "retry-after" in grants(answer)["expose-headers"]
    # The grant of one request is not in the answer to the next.
    assert not grants(open_app.single(payload(customer, 3)))
    assert len(table.payloads(customer)) == 4
    refused = open_app.post(b"{}", origin=PAGE)
    refused.problem(400)
    assert grants(refused)["allow-origin"] == PAGE


def test_lines_and_receipts_of_a_page(open_app: App) -> None:
    customer = unique("page")
    answer = open_app.stream([payload(customer, 1), payload(customer, 2)], origin=OTHER, accept=NDJSON)
    assert answer.lines()[-1]["accepted"] == 2
    assert grants(answer)["allow-origin"] == OTHER


def test_a_string_of_send_beacon_is_json_from_an_allowed_page(open_app: App, app: App, table: Table) -> None:
    customer = unique("beacon")
    body = encoded(payload(customer))
    assert open_app.post(body, TEXT, origin=PAGE).status == 204
    open_app.post(body, TEXT, origin=STRANGER).problem(415)
    open_app.post(body, TEXT).problem(415)
    app.post(body, TEXT, origin=PAGE).problem(415)
    assert len(table.payloads(customer)) == 1


def test_a_hit_of_a_page_is_in_the_query(open_app: App) -> None:
    query = b"timestamp=1767225600000&user=page&click"
    answer = open_app.request("POST", "/analytics", query=query, headers={"Origin": PAGE, "Content-Length": "0"})
    assert answer.status == 204
    assert grants(answer)["allow-origin"] == PAGE


def test_the_post_of_another_page_gets_no_grant(open_app: App) -> None:
    """It is stored, as any client's is: the browser asked nobody before it sent it, and what is not allowed is to see
    the answer.
    """
    answer = open_app.single(payload(unique("stranger")), origin=STRANGER)
    assert answer.status == 204
    assert not grants(answer)


@pytest.mark.parametrize("path", ["/stats", "/analytics/range", "/health/live", "/metrics", "/openapi.json"])
def test_nothing_is_readable_for_pages(open_app: App, public_app: App, path: str) -> None:
    for each in (open_app, public_app):
        answer = each.request("GET", path, headers={"Origin": PAGE})
        assert answer.status == 200
        assert not grants(answer)


def test_any_page_without_credentials(public_app: App) -> None:
    """A browser does not take `*` where it sends credentials, and the collector has no use for any."""
    answer = ask(public_app, "/stats", STRANGER)
    assert answer.status == 204
    assert grants(answer)["allow-origin"] == "*"
    assert "allow-credentials" not in grants(answer)
    posted = public_app.post(encoded(payload(unique("any"))), TEXT, origin=STRANGER)
    assert posted.status == 204
    assert grants(posted)["allow-origin"] == "*"


def test_closed_by_default(app: App) -> None:
    assert not grants(ask(app, "/stats", PAGE))
    assert not grants(app.single(payload(unique("closed")), origin=PAGE))
