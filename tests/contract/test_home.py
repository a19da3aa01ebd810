"""GET /: the page has the numbers of the endpoints, whatever the range and the filters, and says what is wrong."""

import gzip
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collector.store.overview import PARTS, TOP, OverviewQuery, Sums
from collector.web import overview, problem
from collector.web.audience import SHOWN_HOURS
from tests.conftest import Serve
from tests.contract.driver import App, Clock, Table, payload, unique
from tests.harness.html import Page
from tests.harness.server import free_port
from tests.strategies import encoded
from tests.web.examples import HOSTILE

HTML = "text/html"
BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8"
STEP = timedelta(minutes=5)


def home(app: App, **parameters: object) -> Page:
    answer = app.get("/", BROWSER, **parameters)
    assert answer.status == 200, answer.body
    assert answer.media_type == HTML
    assert answer.headers["content-security-policy"] == overview.look().policy
    page = Page(answer.body.decode())
    page.check_alone(overview.look())
    return page


def exact(page: Page) -> list[int]:
    """Every number of the page, from its markup."""
    return [int(attributes["value"] or "") for attributes in page.of("data")]


def endpoint_rows(app: App, page: Page) -> list[dict[str, Any]]:
    """What the endpoint behind the page's CSV link has."""
    (link,) = [urlsplit(href) for href in page.links() if href.startswith("/stats?")]
    query = {("from_" if name == "from" else name): value for name, value in parse_qsl(link.query)}
    assert query.pop("format") == "csv"
    rows: list[dict[str, Any]] = app.get("/stats", **query).json()["rows"]
    return rows


def test_its_numbers_are_the_endpoints(app: App) -> None:
    name = unique("home")
    for turn in range(7):
        app.single(payload(f"{name}-a", turn, session_duration=1000, content=f"film {turn % 3}"))
        app.single(payload(f"{name}-b", 10**17 + turn))
        app.clock.advance(200)
    for parameters in ({}, {"hours": 1}, {"customer": f"{name}-a"}, {"customer": f"{name}-b", "content": "film"}):
        page = home(app, **parameters)
        rows = endpoint_rows(app, page)
        assert rows
        sums = {column: sum(row[column] for row in rows) for column in ("cdn", "p2p", "sessions")}
        assert exact(page)[:3] == [sums["cdn"] + sums["p2p"], sums["p2p"], sums["sessions"]]
        by_time = Counter({row["time"]: 0 for row in rows})
        for row in rows:
            by_time[row["time"]] += row["cdn"]
        if parameters.get("hours") == 1:
            assert set(by_time.values()) <= set(exact(page))


def test_what_does_not_follow_the_filters_says_so(app: App) -> None:
    name = unique("filtered")
    app.single(payload(name, 1))
    app.clock.advance(1)
    assert "all customers" not in home(app).text
    titles = home(app, customer=name).contents["h2"]
    assert {"CPU of clients all customers", "Audience all customers", "Ingest all customers", "Traffic"} <= set(titles)


def test_the_csv_of_the_audience_has_every_hour_that_is_shown(app: App) -> None:
    """A day of hours, and the day before; not the hour before those."""
    this = app.clock.now // 3600 * 3600
    hits = [{"timestamp": round((this - back * 3600) * 1000), "user": "u", "kind": "click"} for back in range(50)]
    assert app.stream([msgspec.json.encode(hit) for hit in hits], path="/analytics").summary()[0] == len(hits)
    app.single(payload(unique("home"), 1))
    (link,) = [urlsplit(href) for href in home(app).links() if href.startswith("/analytics/range?")]
    (since,) = [value for name, value in parse_qsl(link.query) if name == "from"]
    lines = app.get("/analytics/range", from_=since, format="csv").body.decode().splitlines()
    assert len(lines) - 1 == 2 * SHOWN_HOURS


NAMES_OF_ANY_KIND = (HOSTILE, "'; DROP TABLE payload; --", "مرحبا", "🎬 film & <i>", " spaces ", "%00", "a" * 256)


def test_names_of_any_kind_are_shown_and_filter(app: App) -> None:
    for number, kind in enumerate(NAMES_OF_ANY_KIND):
        name = f"{kind}{unique('')}"[-256:]
        assert app.single(payload(name, number, token=unique("token"), content=name)).status == 204
        page = home(app, customer=name, content=name)
        assert name in page.contents["bdi"]
        assert {"customer", "content"} <= {each["name"] for each in page.of("input")}
        assert [each["value"] for each in page.of("input") if each["name"] in ("customer", "content")] == [name, name]
        assert len(endpoint_rows(app, page)) == 1


def test_an_absolute_range_is_what_the_endpoint_has(app: App) -> None:
    name = unique("absolute")
    begin = app.clock.to_boundary()
    for minute in range(0, 30, 2):
        app.clock.now = max(app.clock.now, begin + minute * 60)
        app.single(payload(name, minute))
    since, until = (datetime.fromtimestamp(begin + minutes * 60, UTC) for minutes in (5, 20))
    page = home(app, customer=name, from_=f"{since:%Y-%m-%dT%H:%M}", to=f"{until:%Y-%m-%dT%H:%M}")
    rows = endpoint_rows(app, page)
    assert [row["time"] for row in rows] == [f"{since + STEP * place:%Y-%m-%dT%H:%M:%SZ}" for place in (3, 2, 1)]
    assert exact(page)[1] == sum(row["p2p"] for row in rows)
    assert [each["value"] for each in page.of("input") if each["type"] == "datetime-local"] == [
        f"{since:%Y-%m-%dT%H:%M}", f"{until:%Y-%m-%dT%H:%M}",
    ]  # fmt: skip


def test_empty_fields_of_the_form_say_nothing(app: App) -> None:
    app.single(payload(unique("form")))
    page = home(app, customer="", content="", from_="", to="", hours="6")
    assert "last 6 hours" in page.text


def test_where_there_is_nothing_it_says_what_to_do(app: App, module_url: str) -> None:
    app.single(payload(unique("some")))
    name = unique("nobody")
    page = home(app, customer=name)
    assert f"No payload of {name}" in page.text
    assert "/?hours=72&customer=" + name in page.links()


def test_an_empty_collector_says_how_to_send(best_database_url: str) -> None:
    with App(best_database_url, Clock()) as app:
        page = home(app)
        assert "curl" in page.text
        assert "http://collector/stats" in page.text
        app.single(payload("first"))
        assert "curl" not in home(app).text


BAD = [
    ({"hours": "0"}, "hours"),
    ({"hours": "1.5"}, "hours"),
    ({"hours": "9" * 5}, "hours"),
    ({"from_": "yesterday"}, "from"),
    ({"from_": "2026-01-02T12:00", "to": "2026-01-01T12:00"}, "from"),
    ({"from_": "2020-01-01T12:00", "to": "2026-01-01T12:00"}, "from, to"),
    ({"to": "9999-12-31T23:59"}, "to"),
    ({"customer": "a\0"}, "customer"),
    ({"colour": "red"}, "colour"),
]


@pytest.mark.parametrize(("parameters", "names"), BAD)
def test_bad_parameters_are_told(app: App, parameters: dict[str, str], names: str) -> None:
    answer = app.get("/", BROWSER, **parameters)
    assert answer.status == 400
    assert answer.media_type == HTML
    page = Page(answer.body.decode())
    page.check_alone(problem.look())
    assert names in page.text
    assert app.get("/", "application/problem+json", **parameters).problem(400)["detail"] in page.text


def test_programs_get_json(app: App) -> None:
    assert app.get("/", "application/json").json()["openapi"] == "/openapi.json"
    assert app.get("/").media_type == HTML
    assert app.get("/nowhere").problem(404)
    lost = app.get("/nowhere", BROWSER)
    assert lost.status == 404
    assert lost.media_type == HTML
    assert app.get("/stats", BROWSER, limit=0).media_type == HTML
    assert app.get("/stats", limit=0).problem(400)


def test_a_page_says_that_the_database_is_away() -> None:
    with App(f"postgresql://nobody@127.0.0.1:{free_port()}/none", Clock()) as app:
        answer = app.get("/", BROWSER)
        assert answer.status == 503
        assert answer.headers["retry-after"] == "1"
        page = Page(answer.body.decode())
        page.check_alone(problem.look())
        assert "database is away" in page.text
        assert app.get("/").problem(503)


NAMES = [f"n{number}" for number in range(TOP + 3)]
ROWS = st.lists(
    st.tuples(
        st.integers(0, 11),
        st.sampled_from(NAMES),
        st.sampled_from(["film", "series", HOSTILE]),
        st.integers(0, 2**62),
        st.integers(0, 2**62),
        st.booleans(),
    ),
    min_size=1,
    max_size=60,
)
_day = iter(range(10_000))


@given(rows=ROWS, customer=st.none() | st.sampled_from(NAMES), minutes=st.sampled_from([5, 15, 60]))
@settings(max_examples=25, deadline=None)
def test_the_cuts_are_what_the_rows_come_to(
    app: App, table: Table, rows: list[tuple[Any, ...]], customer: str | None, minutes: int
) -> None:
    begin = datetime(2026, 2, 1, tzinfo=UTC) + timedelta(days=next(_day))
    table.insert([(begin + STEP * window, *values) for window, *values in rows])
    step = timedelta(minutes=minutes)
    query = OverviewQuery(begin, begin + 12 * STEP, step, customer)
    found = app.call(app.service.store.overview(query))
    chosen = [row for row in rows if customer in (None, row[1])]

    def sums(of: list[tuple[Any, ...]]) -> tuple[int, int, int]:
        return sum(row[4] for row in of), sum(row[3] for row in of), sum(row[5] for row in of)

    def said(of: Sums) -> tuple[int, int, int]:
        return of.cdn, of.p2p, of.sessions

    assert said(found.total) == sums(chosen)
    for at, whole in found.at.items():
        assert said(whole) == sums([row for row in chosen if at <= begin + STEP * row[0] < at + step])
    for named, keys in ((found.customers, (1,)), (found.contents, (1, 2))):
        assert said(sum((each.sums for each in named), Sums())) == sums(chosen)
        every = {tuple(row[key] for key in keys) for row in chosen}
        assert sum(each.names for each in named) == len(every)
        tops = [each for each in named if each.customer is not None]
        assert len(tops) == min(TOP, len(every))
        for each in tops:
            own = [row for row in chosen if row[1] == each.customer and each.content in (None, row[2])]
            assert said(each.sums) == sums(own)
        assert [each.sums.bytes for each in tops] == sorted((each.sums.bytes for each in tops), reverse=True)
    assert sum(part.name is not None for part in found.parts) <= PARTS
    assert sum(each.sessions for part in found.parts for each in part.at.values()) == sums(chosen)[2]
    key = 1 if customer is None else 2
    for part in found.parts:
        if part.name is not None:
            own = [row for row in chosen if row[key] == part.name]
            assert said(sum(part.at.values(), Sums())) == sums(own)


def test_a_page_is_small_on_its_way(app: App) -> None:
    app.single(payload(unique("gzip")))
    plain = app.get("/", BROWSER)
    packed = app.request("GET", "/", headers={"Accept": BROWSER, "Accept-Encoding": "gzip, br"})
    assert packed.headers["content-encoding"] == "gzip"
    assert "content-encoding" not in plain.headers
    assert {"Accept", "Accept-Encoding", "Cookie"} == set(packed.headers["vary"].split(", "))
    assert len(packed.body) * 4 < len(plain.body)
    Page(gzip.decompress(packed.body).decode()).check_alone(overview.look())


def test_every_worker_knows_what_all_take_in(best_database_url: str, serve: Serve) -> None:
    server = serve(best_database_url, workers=2)
    for number in range(20):
        assert server.client.post(encoded(payload("workers", number))).status == 204
    for _ in range(6):
        page = Page(server.client.get("/", {"Accept": BROWSER}).body.decode())
        (table,) = [text for text in page.contents["table"] if "Messages by endpoint" in text]
        assert "/stats" in table
        assert exact(page)[-3:] == [20, 0, 0], table
