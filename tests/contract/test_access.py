"""API keys over HTTP: every path without one, with the wrong and with the right one; what belongs to whom; and the form
for people.
"""

import re
from collections.abc import Callable, Iterator
from http.cookies import SimpleCookie
from typing import Any
from urllib.parse import urlencode

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collector.access.entrance import OPEN
from collector.access.keys import new_key
from collector.access.login import local
from collector.commands.keyring import create
from collector.database.chosen import Database
from collector.endpoints import ENDPOINTS
from tests.contract.driver import NDJSON, Answer, App, Table, payload, running, unique
from tests.harness.engines import Engine
from tests.harness.html import Page
from tests.strategies import encoded

SINGLE_MESSAGES: dict[str, Callable[[], bytes]] = {
    "/stats": lambda: encoded(payload(unique("access"))),
    "/payloads": lambda: encoded(payload(unique("access"))),
    "/sessions": lambda: b'{"session":"access","cpu":1}',
    "/sessions/logs": lambda: b'{"session":"access","seq":1,"time":%d}' % 1_767_225_600_000,
    "/analytics": lambda: b"",
}


class Keyed:
    """An application that asks for keys, and keys."""

    def __init__(self, app: App, url: str) -> None:
        self.app = app
        self.table = Table(url)
        self._url = url
        self.ingest, self.other_ingest, self.read = (self.make(scope) for scope in ("ingest", "ingest", "read"))

    def make(self, scope: Any, rate: float | None = None) -> str:
        return create(Database(self._url), unique("key"), scope, rate).key

    def ask(self, method: str, path: str, key: str | None = None, **options: Any) -> Answer:
        given = {} if key is None else {"Authorization": f"Bearer {key}"}
        return self.app.request(method, path, headers={**given, **options.pop("headers", {})}, **options)


@pytest.fixture(scope="module")
def keyed(best_engine: Engine) -> Iterator[Keyed]:
    with best_engine.database() as url, running(url, api_keys="on") as app:
        found = Keyed(app, url)
        yield found
        found.table.close()


def post(keyed: Keyed, path: str, key: str | None) -> Answer:
    query = b"timestamp=1&user=a&click" if path == "/analytics" else b""
    return keyed.ask("POST", path, key, query=query, chunks=[SINGLE_MESSAGES[path]()])


@pytest.mark.parametrize("path", [endpoint.path for endpoint in ENDPOINTS])
def test_measurements_take_an_ingest_key(keyed: Keyed, path: str) -> None:
    document = post(keyed, path, None).problem(401)
    assert "Authorization" in document["detail"]
    assert post(keyed, path, keyed.read).problem(403)
    assert post(keyed, path, new_key()[1]).problem(401)
    assert post(keyed, path, keyed.ingest).status in (202, 204)


READING = ("/stats", "/analytics?timestamp=1", "/analytics/range", "/sessions/a", "/metrics")


@pytest.mark.parametrize("target", READING)
def test_reading_takes_a_read_key(keyed: Keyed, target: str) -> None:
    path, _, query = target.partition("?")
    options: dict[str, Any] = {"query": query.encode()}
    keyed.ask("GET", path, **options).problem(401)
    keyed.ask("GET", path, keyed.ingest, **options).problem(403)
    assert keyed.ask("HEAD", path, **options).status == 401
    assert keyed.ask("GET", path, keyed.read, **options).status == 200
    for scheme in ("bearer", "BEARER", "Bearer  "):
        headers = {"Authorization": f"{scheme} {keyed.read}"}
        assert keyed.ask("GET", path, headers=headers, **options).status == 200
    for wrong in (f"Basic {keyed.read}", keyed.read, "Bearer", "Bearer ", f"Token {keyed.read}"):
        keyed.ask("GET", path, headers={"Authorization": wrong}, **options).problem(401)


def test_what_is_open_to_all(keyed: Keyed) -> None:
    for path in ("/health/live", "/health/ready", "/docs", "/openapi.json", "/login"):
        assert keyed.ask("GET", path).status == 200


@pytest.mark.parametrize("key", [None, "ingest"])
@pytest.mark.parametrize(
    "path",
    [
        *("/", "/nowhere", "//stats", "/stats/", "/STATS", "/docs/", "/docs/../metrics", "/health/live/../../metrics"),
        *("/streams/../metrics", "/streams/../stats", "/health", "/metrics/", "//metrics", "/./metrics", "/é"),
    ],
)
def test_what_is_not_listed_is_closed(keyed: Keyed, path: str, key: str | None) -> None:
    """With an ingest key some of these are names of streams that nobody knows."""
    answer = keyed.ask("GET", path, keyed.ingest if key else None)
    if key is None:
        answer.problem(401)
    else:
        assert answer.status in (403, 404)


@settings(max_examples=200)
@given(st.sampled_from(["GET", "POST", "HEAD", "PUT", "DELETE", "OPTIONS"]), st.text(max_size=20))
def test_no_path_lets_anybody_in(keyed: Keyed, method: str, path: str) -> None:
    answer = keyed.ask(method, "/" + path)
    assert answer.status == 401 or "/" + path in OPEN


def test_a_stream_belongs_to_its_api_key(keyed: Keyed) -> None:
    """The same Idempotency-Key of two API keys is two streams, and nobody sees another's."""
    customer, key = unique("access"), unique("stream")
    headers = {"Content-Type": NDJSON, "Idempotency-Key": key}
    one, two = (encoded(payload(customer, number)) + b"\n" for number in (1, 2))
    assert keyed.ask("POST", "/stats", keyed.ingest, headers=headers, chunks=[one]).summary() == (1, 0, [])
    keyed.ask("GET", f"/streams/{key}", keyed.other_ingest).problem(404)
    keyed.ask("GET", f"/streams/{key}", keyed.read).problem(403)
    assert keyed.ask("GET", f"/streams/{key}", keyed.ingest).json() == {"committed": 1, "rejected": 0, "complete": True}
    assert keyed.ask("POST", "/stats", keyed.other_ingest, headers=headers, chunks=[two]).summary() == (1, 0, [])
    keyed.ask("POST", "/stats", keyed.ingest, headers=headers, chunks=[two]).problem(422)
    assert len(keyed.table.payloads(customer)) == 2


def test_a_single_key_belongs_to_its_api_key(keyed: Keyed) -> None:
    customer, key = unique("access"), {"Idempotency-Key": unique("single")}
    for api_key in (keyed.ingest, keyed.other_ingest):
        for replayed in (None, "true"):
            answer = keyed.ask("POST", "/stats", api_key, headers=key, chunks=[encoded(payload(customer))])
            assert (answer.status, answer.headers.get("idempotent-replayed")) == (204, replayed)
    assert len(keyed.table.payloads(customer)) == 2


def test_rejected_lines_say_whose_they_were(keyed: Keyed) -> None:
    headers = {"Content-Type": NDJSON, "Idempotency-Key": (name := unique("rejected"))}
    keyed.ask("POST", "/stats", keyed.ingest, headers=headers, chunks=[b"bad\n"]).problem(400)
    ((source,),) = keyed.table.rows("SELECT source FROM rejected WHERE source LIKE %s", f"%{name}")
    assert re.fullmatch(rf"/stats@[a-z0-9]{{8}} {name}", source)
    assert source.partition("@")[2][:8] == keyed.ingest[3:11]


def test_too_many_requests(keyed: Keyed) -> None:
    key = keyed.make("ingest", 0.01)
    assert post(keyed, "/stats", key).status == 204
    answer = post(keyed, "/stats", key)
    assert "0.01" in answer.problem(429)["detail"]
    assert 1 <= int(answer.headers["retry-after"]) <= 100
    assert post(keyed, "/stats", keyed.ingest).status == 204


def test_headers_are_bounded(keyed: Keyed, app: App) -> None:
    for headers in ({"X": "x" * 100_000}, {f"X-{number}": "x" * 4_000 for number in range(9)}):
        keyed.ask("POST", "/stats", keyed.ingest, headers=headers).problem(431)
        app.request("GET", "/stats", headers=headers).problem(431)


def test_keys_that_nobody_asks_for_do_no_harm(app: App) -> None:
    customer = unique("access")
    answer = app.post(encoded(payload(customer)), authorization="Bearer whatever", key="mine")
    assert answer.status == 204
    assert app.get("/streams/mine").status == 200
    assert app.get("/login").headers["location"] == "/"


# For people

BROWSER = {"Accept": "text/html,application/xhtml+xml;q=0.9,*/*;q=0.8"}


def test_a_browser_gets_a_form_and_then_the_page(keyed: Keyed) -> None:
    answer = keyed.ask("GET", "/stats", headers=BROWSER, query=b"customer=a&limit=3")
    assert (answer.status, answer.media_type) == (401, "text/html")
    assert 'name="to" value="/stats?customer=a&amp;limit=3"' in answer.body.decode()
    assert answer.headers["www-authenticate"].startswith("Bearer")
    body = urlencode({"key": f" {keyed.read} ", "to": "/stats?customer=a&limit=3"}).encode()
    told = keyed.ask("POST", "/login", headers=BROWSER, chunks=[body])
    assert (told.status, told.headers["location"], told.body) == (303, "/stats?customer=a&limit=3", b"")
    cookie = told.headers["set-cookie"]
    for attribute in ("HttpOnly", "SameSite=Strict", "Path=/", "Max-Age="):
        assert attribute in cookie
    assert "Secure" not in cookie
    value = SimpleCookie(cookie)["collector_key"].value
    cookies = {"Cookie": f"theme=dark; collector_key={value}; a=b"}
    assert keyed.ask("GET", "/stats", headers=cookies).status == 200
    assert keyed.ask("GET", "/metrics", headers={**cookies, **BROWSER}).status == 200


def test_who_came_with_a_cookie_can_sign_out(keyed: Keyed) -> None:
    cookie = {"Cookie": f"collector_key={keyed.read}", **BROWSER}
    for path in ("/", "/reports/cpu", "/sessions/nobody", "/docs", "/nowhere"):
        answer = keyed.ask("GET", path, headers=cookie)
        (form,) = [each for each in Page(answer.body.decode()).of("form") if each.get("action") == "/logout"]
        assert form["method"] == "post"
        assert "Cookie" in answer.headers["vary"]
        told = keyed.ask("GET", path, keyed.read, headers=BROWSER)
        assert "/logout" not in told.body.decode(), "nothing to sign out of"


def test_the_cookie_only_reads(keyed: Keyed) -> None:
    """No other site can make a browser write with it, and an ingest key in it opens nothing."""
    for key in (keyed.read, keyed.ingest):
        cookie = {"Cookie": f"collector_key={key}"}
        keyed.ask("POST", "/stats", headers=cookie, chunks=[encoded(payload("a"))]).problem(401)
        keyed.ask("GET", "/streams/a", headers=cookie).problem(401)
        keyed.ask("POST", "/nowhere", headers=cookie).problem(401)
    keyed.ask("GET", "/stats", headers={"Cookie": f"collector_key={keyed.ingest}"}).problem(403)


def test_over_https_the_cookie_stays_there(keyed: Keyed) -> None:
    body = urlencode({"key": keyed.read}).encode()
    told = keyed.ask("POST", "/login", headers={"X-Forwarded-Proto": "https"}, chunks=[body])
    assert "; Secure" in told.headers["set-cookie"]
    assert told.headers["location"] == "/"


def test_wrong_keys_are_told_in_the_form(keyed: Keyed) -> None:
    for key, status in (("nonsense", 401), (new_key()[1], 401), (keyed.ingest, 403), ("", 401)):
        answer = keyed.ask("POST", "/login", chunks=[urlencode({"key": key, "to": '/"><script>'}).encode()])
        text = answer.body.decode()
        assert (answer.status, answer.media_type) == (status, "text/html")
        assert 'role="alert"' in text
        assert "<script" not in text
        assert "set-cookie" not in answer.headers
        assert not key or key not in text
    keyed.ask("POST", "/login", chunks=[b"key=" + b"x" * 5_000]).problem(413)
    keyed.ask("POST", "/login", chunks=[b"key="], cut=True).problem(400)
    assert keyed.ask("POST", "/login", chunks=[b"\xff\x00&&&=%zz"]).status == 401


def test_logging_out_takes_the_cookie_away(keyed: Keyed) -> None:
    answer = keyed.ask("POST", "/logout")
    assert (answer.status, answer.headers["location"]) == (303, "/login")
    assert "collector_key=; " in answer.headers["set-cookie"]
    assert "Max-Age=0" in answer.headers["set-cookie"]


@pytest.mark.parametrize(
    "elsewhere",
    [
        "https://evil.example",
        "//evil.example",
        "/\\evil.example",
        "\\\\evil",
        "javascript:alert(1)",
        "/\tx",
        "/\r\nX: y",
        "",
        "é",
    ],
)
def test_the_form_leads_nowhere_else(keyed: Keyed, elsewhere: str) -> None:
    body = urlencode({"key": keyed.read, "to": elsewhere}).encode()
    assert keyed.ask("POST", "/login", chunks=[body]).headers["location"] == "/"


@given(st.text())
def test_wherever_it_leads_is_here(text: str) -> None:
    to = local(text)
    assert re.fullmatch(r"/([^/\\\x00-\x20\x7f-\U0010ffff][ -\[\]-~]*)?|/ [ -\[\]-~]*", to), to


def test_who_is_turned_away_is_counted_and_nothing_else(keyed: Keyed) -> None:
    def samples() -> dict[str, float]:
        text = keyed.ask("GET", "/metrics", keyed.read).body.decode()
        return {name: float(value) for name, value in re.findall(r"^(collector_\S+) (\S+)$", text, re.MULTILINE)}

    before = samples()
    for number in range(50):
        keyed.ask("GET", f"/nowhere/{number}")
        keyed.ask("POST", "/stats", f"ck_{number:08}_x")
    after = samples()
    assert after.keys() == before.keys()
    counted = 'collector_turned_away_total{status="401"}'
    assert after[counted] - before[counted] == 100
    assert msgspec.json.encode(sorted(name for name in after if "ck_" in name)) == b"[]"
