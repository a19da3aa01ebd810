"""Every shape of JSON and of what is nearly JSON, in every place of a message, to every endpoint: never a 5xx; as a
line its neighbours are stored, and it is the one that is named.
"""

import json
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any
from urllib.parse import quote_from_bytes

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collector.messages.decoding import RAW_KEPT_BYTES
from collector.segment import ERRORS_SPELLED_OUT
from tests.contract.driver import BEGIN_S, App, Table, running, unique
from tests.harness.engines import Engine
from tests.harness.messages import KINDS, Kind
from tests.json_shapes import BAD, EITHER, ENCODINGS, GOOD, WHOLE

KNOWN = {
    "/stats": "timespan",
    "/payloads": "token",
    "/sessions": "cpu",
    "/sessions/logs": "session",
    "/analytics": "timestamp",
}
VALUES = GOOD | BAD | ENCODINGS | EITHER
PLACES = [(kind, place) for kind in KINDS for place in ("alone", "unknown", "known", "key")]
"""The whole line; the value of a field that nobody knows; of one that is known; and a key."""
IN_PROPERTIES = [(kind, place) for kind in KINDS if kind.path.startswith("/sessions") for place in ("all", "inside")]
"""What a session's properties are, and a value in them."""
by_place = pytest.mark.parametrize(
    ("kind", "place"), PLACES + IN_PROPERTIES, ids=lambda each: each if isinstance(each, str) else each.path
)


def message(kind: Kind, identity: str) -> bytes:
    """A good one; what has a time has one that fits the clock of these tests."""
    line = kind.line("shapes", identity)
    if kind.path == "/sessions/logs":
        line = msgspec.json.encode(msgspec.json.decode(line) | {"time": int(BEGIN_S * 1000)})
    return line


def placed(kind: Kind, place: str, shape: bytes, identity: str) -> bytes:
    """A message with the shape in this place of it."""
    good = message(kind, identity)
    if place == "alone":
        return shape
    if place == "unknown":
        return good[:-1] + b',"unknown":' + shape + b"}"
    if place == "key":
        return good[:-1] + b"," + shape + b":1}"
    name = KNOWN[kind.path] if place == "known" else "properties"
    document = {key: value for key, value in msgspec.json.decode(good).items() if key != name}
    return msgspec.json.encode(document)[:-1] + b',"%b":%b}' % (
        name.encode(),
        b'{"a":%b}' % shape if place == "inside" else shape,
    )


def must_be_taken(kind: Kind, place: str, name: str) -> bool | None:
    """None where it is the collector's to choose: what parsers differ about, and bytes that nobody looks at."""
    if name in BAD | WHOLE or place == "alone":
        return False
    if name in ENCODINGS:
        return False if place in ("known", "all", "inside") else None
    if name in EITHER or place == "known":
        return None
    if place == "key":
        return name.startswith("string, ")
    if place == "all":
        return GOOD[name].strip().startswith(b"{") or name == "literal null"
    return True  # unknown fields are ignored, and whatever is inside of properties is the client's own


def check_lines(app: App, table: Table, kind: Kind, lines: dict[str, bytes]) -> set[str]:
    """Send the lines, each between good ones. Returns the names of those that were taken."""
    name = unique("shape")
    neighbours = [f"{name}/good:{number}" for number in range(len(lines) + 1)]
    sent = [message(kind, neighbours[0])]
    places: dict[int, str] = {}
    for neighbour, (shape, line) in zip(neighbours[1:], lines.items(), strict=True):
        sent.append(line)
        places[len(sent)] = shape
        sent.append(message(kind, neighbour))
    answer = app.stream(sent, path=kind.path, key=name)
    assert answer.status in (200, 202), answer
    document = answer.json()
    assert stored(table, f"{name}/good") == set(neighbours), "a neighbour was not stored"
    rejected = table.rejected(f"{kind.path} {name}")
    named = [line for line, _, _ in rejected]
    assert set(named) <= places.keys(), "a neighbour was named"
    assert document["accepted"] + len(named) == len(sent)
    assert document["rejected"] == len(named) == len(set(named))
    spelled_out = [(error["line"], error["detail"]) for error in document["errors"]]
    assert spelled_out == [(line, why.partition(": ")[2]) for line, why, _ in rejected[:ERRORS_SPELLED_OUT]]
    for number, _, raw in rejected:
        assert raw == sent[number - 1][:RAW_KEPT_BYTES]
    return set(places.values()) - {places[number] for number in named}


def stored(table: Table, name: str) -> set[str]:
    """Identities that begin so, wherever they are."""
    rows = table.rows(
        """SELECT token FROM payload WHERE starts_with(token, %s)
           UNION ALL SELECT token FROM payload_queue WHERE starts_with(token, %s)
           UNION ALL SELECT session || ':' || seq FROM session_message WHERE starts_with(session, %s)
           UNION ALL SELECT "user" FROM hit WHERE starts_with("user", %s)""",
        *[name] * 4,
    )
    assert len(rows) == len(set(rows)), "twice"
    return {identity for (identity,) in rows}


def each_placed(kind: Kind, place: str, shapes: dict[str, bytes]) -> dict[str, bytes]:
    """Messages by the names of their shapes, with an identity each."""
    return {name: placed(kind, place, shape, f"{unique('odd')}/x:1") for name, shape in shapes.items()}


@by_place
def test_as_a_line(app: App, table: Table, kind: Kind, place: str) -> None:
    shapes = {name: shape for name, shape in VALUES.items() if b"\n" not in shape}
    if place == "alone":
        shapes |= WHOLE
    taken = check_lines(app, table, kind, each_placed(kind, place, shapes))
    for name in shapes:
        expected = must_be_taken(kind, place, name)
        assert expected is None or (name in taken) == expected, name


@pytest.fixture(scope="module")
def best_app(best_engine: Engine) -> Iterator[App]:
    with best_engine.database() as url, running(url) as app:
        yield app


@by_place
def test_as_a_single_message(best_app: App, kind: Kind, place: str) -> None:
    """The same, and what spans lines, which is one message here. A hit is in the query, and its body is not read."""
    spanning = {"spanning lines": b"[\n1,\n2\n]", "newlines around": b"\n1\n"}
    for name, shape in (VALUES | spanning | (WHOLE if place == "alone" else {})).items():
        body = placed(kind, place, shape, f"{unique('single')}/x:1")
        query = b"timestamp=1&click&user=" + quote_from_bytes(body[:1_000]).encode()
        if kind.path == "/analytics":
            answer = best_app.request("POST", kind.path, query=query, chunks=[body])
        else:
            answer = best_app.post(body, path=kind.path)
        if answer.status >= 300:
            document = answer.problem(413 if len(body) > 65_536 and kind.path != "/analytics" else 400)
            assert len(document["detail"]) < 400
        if kind.path != "/analytics" and name in VALUES:
            expected = must_be_taken(kind, place, name)
            assert expected is None or (answer.status < 300) == expected, (name, answer)


@pytest.mark.parametrize("kind", [KINDS[2], KINDS[3]], ids=lambda kind: kind.path)
def test_what_is_taken_into_properties_is_stored_as_it_is(app: App, table: Table, kind: Kind) -> None:
    """A value that every parser takes is the same value afterwards; of one that parsers differ about, what was taken
    can be read.
    """
    session = unique("kept")
    names = [name for name in GOOD | EITHER if b"\n" not in VALUES[name]]
    lines = [placed(kind, "inside", VALUES[name], f"{session}/x:{number}") for number, name in enumerate(names)]
    assert app.stream(lines, path=kind.path).status == 200
    rows = dict(
        table.rows("SELECT seq, (properties -> 'a')::text FROM session_message WHERE session = %s", f"{session}/x")
    )
    for number, name in enumerate(names):
        if name in GOOD:
            assert document(rows[number]) == document(VALUES[name].decode()), name
        elif number in rows:
            document(rows[number])
    assert len(rows) > len(GOOD)


def document(text: str) -> Any:
    """What Python's own parser makes of it, exactly."""
    return json.loads(text, parse_float=Decimal, parse_int=Decimal)


def test_the_corpus_is_right_about_itself() -> None:
    """By another parser: nothing in it is called bad that is JSON, or good that is not."""

    def refuse(constant: str) -> None:
        raise ValueError(constant)

    def takes(shape: bytes) -> bool:
        try:
            json.loads((b'{"a":' + shape + b"}").decode(), parse_constant=refuse)
        except (ValueError, RecursionError):
            return False
        return True

    assert [name for name, shape in GOOD.items() if not takes(shape)] == []
    assert [name for name, shape in (BAD | ENCODINGS).items() if takes(shape)] == []
    assert min(len(GOOD), len(BAD)) > 150
    assert not GOOD.keys() & BAD.keys()
    assert len(VALUES) == sum(map(len, (GOOD, BAD, ENCODINGS, EITHER)))


@st.composite
def nearly_json(draw: st.DrawFn) -> bytes:
    """Any of the shapes, put into each other, and a few bytes changed."""
    shape: Callable[[], bytes] = lambda: draw(st.sampled_from(list(VALUES.values())))[:2_000]  # noqa: E731
    value = shape()
    for _ in range(draw(st.integers(0, 4))):
        value = draw(
            st.sampled_from(
                [b"[%b]" % value, b'{"a":%b}' % value, b"[%b,%b]" % (value, shape()), b"{%b:%b}" % (shape(), value)]
            )
        )
    data = bytearray(value)
    for _ in range(draw(st.integers(0, 2))):
        at = draw(st.integers(0, len(data)))
        data[at : at + draw(st.integers(0, 2))] = draw(st.binary(max_size=3))
    return bytes(data).replace(b"\n", b" ")


@settings(max_examples=200, deadline=None)
@given(where=st.sampled_from(PLACES + IN_PROPERTIES), shapes=st.lists(nearly_json(), min_size=1, max_size=8))
def test_whatever_it_is_its_neighbours_are_stored(
    app: App, table: Table, where: tuple[Kind, str], shapes: list[bytes]
) -> None:
    kind, place = where
    lines = {f"drawn {number}": shape for number, shape in enumerate(shapes) if shape.strip()}
    if lines:
        messages = each_placed(kind, place, lines)
        check_lines(app, table, kind, messages)
        for body in messages.values():
            assert app.post(body, path=kind.path).status < 500
