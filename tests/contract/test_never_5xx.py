"""Whatever comes in as method, path, query, headers and body: an answer below 500, and a problem document where it is a
refusal.
"""

from urllib.parse import quote_from_bytes

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.contract.driver import NDJSON, PROBLEM, Answer, App, Table
from tests.strategies import VALID, chunkings, streams

token = st.text(st.characters(codec="ascii", categories=["Lu", "Ll", "Nd"]), min_size=1, max_size=12)
header_values = st.one_of(
    st.binary(max_size=40).map(lambda data: data.translate(None, b"\r\n\0")),
    st.sampled_from(
        [b"", b"gzip", b"zstd", b"application/json", NDJSON.encode(), b"text/csv", b"*/*", b"1", b"-1", b'""', b'"a"']
    ),
)
header_names = st.one_of(
    st.sampled_from(
        [
            b"content-type",
            b"content-encoding",
            b"content-length",
            b"idempotency-key",
            b"stream-offset",
            b"accept",
            b"accept-encoding",
            b"transfer-encoding",
            b"range",
            b"if-none-match",
            b"cookie",
            b"host",
            b"expect",
            b"origin",
            b"x-forwarded-for",
        ]
    ),
    token.map(lambda name: name.lower().encode()),
)
headers = st.lists(st.tuples(header_names, header_values), max_size=6)
parameter_names = st.one_of(
    st.sampled_from([b"customer", b"content", b"from", b"to", b"limit", b"next", b"endpoint"]), st.binary(max_size=8)
)
parameter_values = st.one_of(
    st.binary(max_size=30),
    st.sampled_from([b"0", b"1", b"9" * 50, b"2026-01-01T00:00:00Z", b"\xed\xa0\x80", b"\xff", b"\0", b"W10", b""]),
    st.datetimes().map(lambda time: time.isoformat().encode()),
)
queries = st.one_of(
    st.binary(max_size=40),
    st.lists(st.tuples(parameter_names, parameter_values), max_size=4).map(
        lambda pairs: "&".join(f"{quote_from_bytes(name)}={quote_from_bytes(value)}" for name, value in pairs).encode()
    ),
)
paths = st.one_of(
    st.sampled_from(
        ["/", "/stats", "/stats/", "//stats", "/streams/", "/streams/k", "/health/ready", "/health/live", "/metrics"]
    ),
    st.sampled_from(["/openapi.json", "/docs", "/schema", "/nowhere", "/STATS", "/streams/" + "k" * 300]),
    st.text(max_size=20).map(lambda text: "/" + text),
    st.text(max_size=20).map(lambda text: "/streams/" + text),
)
methods = st.one_of(
    st.sampled_from(["GET", "POST", "HEAD", "OPTIONS", "PUT", "DELETE", "PATCH", "TRACE", "CONNECT"]), token
)
bodies = st.one_of(streams, st.binary(max_size=200), st.just(VALID))


def check(answer: Answer, method: str) -> None:
    assert answer.status < 500, answer
    if answer.status >= 400 and method != "HEAD":
        assert answer.media_type == PROBLEM
        assert answer.json()["status"] == answer.status


@settings(max_examples=200)
@given(method=methods, path=paths, query=queries, given_headers=headers, body=bodies, data=st.data())
def test_any_request(
    app: App,
    method: str,
    path: str,
    query: bytes,
    given_headers: list[tuple[bytes, bytes]],
    body: bytes,
    data: st.DataObject,
) -> None:
    chunks = data.draw(chunkings(body))
    cut = data.draw(st.booleans())
    check(app.request(method, path, query=query, headers=given_headers, chunks=chunks, cut=cut), method)


@settings(max_examples=300)
@given(given_headers=headers, body=bodies, cut=st.booleans(), data=st.data())
def test_any_post(
    app: App, given_headers: list[tuple[bytes, bytes]], body: bytes, cut: bool, data: st.DataObject
) -> None:
    kind = data.draw(st.sampled_from([b"application/json", NDJSON.encode()]))
    chunks = data.draw(chunkings(body))
    every = [(b"content-type", kind), *given_headers]
    check(app.request("POST", "/stats", headers=every, chunks=chunks, cut=cut), "POST")


@settings(max_examples=300)
@given(query=queries, given_headers=headers)
def test_any_query(app: App, query: bytes, given_headers: list[tuple[bytes, bytes]]) -> None:
    check(app.request("GET", "/stats", query=query, headers=given_headers), "GET")


def test_and_it_goes_on(app: App, table: Table) -> None:
    """After all of the above, in the same process."""
    before = table.rows("SELECT count(*) FROM payload")[0][0]
    assert app.post(VALID).status == 204
    assert table.rows("SELECT count(*) FROM payload")[0][0] == before + 1
    assert app.get("/health/ready").status == 200
